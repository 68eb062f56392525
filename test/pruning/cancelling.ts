/** @file A layer whose sums cancel: what is left is rounding, which depends on how the sum is split up, and so on how many terms it has. */
import type { Model, Value } from '../../src/ir/graph.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { Net } from './nets.ts'

const half = 1024

/** Units that keep both of a pair: any cut by these leaves the true sum as it was. */
export const pairs = (keep: (k: number) => boolean): number[] => Array.from({ length: 2 * half }, (_, k) => k).filter((k) => keep(k % half))

/**
 * Two 1x1 convolutions on x [N,C,H,W] with channels of about 10^6 between them, "big.w" and "rest.w"; channel k and channel k + 1024 are
 * equal and enter with opposite signs. Of the result [N,1,H,W] only rounding is left.
 */
export function cancellingLayers(net: Net, x: Value): Value {
  const channels = x.shape![1] as number
  const tiny = net.b.constant(f32(new Float32Array(2 * half * channels), [2 * half, channels, 1, 1]), 'big.w')
  const level = Float32Array.from({ length: half }, () => 1e6 * net.rng.uniform(0.5, 1.5))
  const share = Float32Array.from({ length: half }, () => net.rng.uniform(0.5, 1))
  const bias = net.b.constant(f32(Float32Array.from({ length: 2 * half }, (_, k) => level[k % half]!)), 'big.b')
  const weights = net.b.constant(f32(Float32Array.from({ length: 2 * half }, (_, k) => (k < half ? share[k]! : -share[k - half]!)), [1, 2 * half, 1, 1]), 'rest.w')
  return net.convWith('rest', net.convWith('big', x, tiny, bias), weights)
}

/** Such a layer beside a plain one; the output is "head". */
export function cancelling(): Model {
  const net = new Net(19, [1, 3, 4, 4])
  return net.model(net.b.add(net.conv('plain', net.x, 2, 1), cancellingLayers(net, net.x), 'head'))
}
