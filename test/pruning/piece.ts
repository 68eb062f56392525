/** @file A piece of a random net, and what the pieces share. */
import type { Value } from '../../src/ir/graph.ts'
import type { Rng } from '../../src/tensor/rng.ts'
import type { Net } from './nets.ts'

/** Continues the stream `x` [N,C,H,W]; N may be a symbol. `name` is for its weights. */
export type Piece = (net: Net, x: Value, name: string, rng: Rng) => Value

export const channelsOf = (x: Value): number => x.shape![1] as number
export const spatialOf = (x: Value): number[] => x.shape!.slice(2) as number[]
export const drawn = (rng: Rng): number => 2 + rng.int(5)

/** Activations by the opset that brought them. */
const still: readonly (readonly [type: string, since: number])[] = [['Relu', 9], ['LeakyRelu', 9], ['Elu', 9], ['Tanh', 9], ['Abs', 9], ['Erf', 9], ['HardSwish', 14], ['Mish', 18], ['Gelu', 20]]
const nonZero: typeof still = [['Sigmoid', 9], ['Softplus', 9], ['HardSigmoid', 9], ['Cos', 9]]

function draw(net: Net, types: typeof still, rng: Rng): string {
  const there = types.filter(([, since]) => net.b.opset >= since)
  return there[rng.int(there.length)]![0]
}

/** An activation of any kind. */
export function act(net: Net, x: Value, rng: Rng): Value {
  return net.act(draw(net, rng.int(2) ? still : nonZero, rng), x)
}

/** An activation that leaves something where its input is 0. */
export function lively(net: Net, x: Value, rng: Rng): Value {
  return net.act(draw(net, nonZero, rng), x)
}

/** For norms: dividing by a spread near 0 would make differences of rounding large. */
export const steady = { epsilon: 0.1 }
