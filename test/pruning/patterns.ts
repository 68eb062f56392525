/** @file Pieces of random nets that exporters write in several nodes: attention in heads, group norms, shuffles of pixels, channels last. */
import type { Value } from '../../src/ir/graph.ts'
import { reduce, slice, split } from './forms.ts'
import type { Net } from './nets.ts'
import { act, channelsOf, drawn, lively, type Piece, spatialOf, steady } from './piece.ts'

const placesOf = (x: Value): number => spatialOf(x).reduce((a, d) => a * d, 1)

/** [N,C,H,W] to [N,H W,C]. */
function tokens(net: Net, x: Value): Value {
  return net.b.transpose(net.b.reshape(x, [0, channelsOf(x), placesOf(x)]), [0, 2, 1])
}

/** A linear layer on the last axis. */
function project(net: Net, x: Value, name: string, features: number): Value {
  const from = x.shape!.at(-1) as number
  return net.b.add(net.b.op('MatMul', [x, net.weight(`${name}.w`, [from, features], from)]), net.weight(`${name}.b`, [features], 4))
}

export const patterns: Readonly<Record<string, Piece>> = {
  'attention in heads': (net, x, name, rng) => {
    const { b } = net
    const [heads, depth, places] = [2 + rng.int(2), 1 + rng.int(2), placesOf(x)]
    const row = tokens(net, x)
    const inHeads = (part: string, perm: readonly number[]): Value => b.transpose(b.reshape(project(net, row, `${name}${part}`, heads * depth), [0, places, heads, depth]), perm)
    const scores = b.op('MatMul', [inHeads('q', [0, 2, 1, 3]), inHeads('k', [0, 2, 3, 1])])
    const mixed = b.op('MatMul', [b.op('Softmax', [b.mul(scores, b.scalar(0.5))], { axis: 3 }), inHeads('v', [0, 2, 1, 3])])
    const joined = b.reshape(b.transpose(mixed, [0, 2, 1, 3]), [0, places, heads * depth])
    const out = act(net, project(net, joined, `${name}o`, drawn(rng)), rng)
    return b.reshape(b.transpose(out, [0, 2, 1]), [0, out.shape![2] as number, ...spatialOf(x)])
  },
  'channels last': (net, x, name, rng) => {
    const { b } = net
    const c = drawn(rng)
    const y = project(net, b.transpose(x, [0, 2, 3, 1]), `${name}a`, c)
    const z = b.op('PRelu', [b.mul(y, net.weight(`${name}s`, [c], 1)), net.weight(`${name}p`, [1, 1, c], 1)])
    return b.transpose(b.add(project(net, lively(net, z, rng), `${name}b`, c), y), [0, 3, 1, 2])
  },
  'group norm by instance norm': (net, x, name, rng) => {
    const { b } = net
    const groups = 2 + rng.int(2)
    const y = net.conv(name, x, groups * (1 + rng.int(2)), 1)
    const flat = b.reshape(y, [0, groups, -1])
    const normed = b.op('InstanceNormalization', [flat, net.weight(`${name}g`, [groups], 1), net.weight(`${name}h`, [groups], 1)], steady)
    const back = b.reshape(normed, [0, channelsOf(y), ...spatialOf(x)])
    return act(net, b.add(b.mul(back, net.weight(`${name}s`, [channelsOf(y), 1, 1], 1)), net.weight(`${name}b`, [channelsOf(y), 1, 1], 1)), rng)
  },
  'pixel shuffle by reshape': (net, x, name, rng) => {
    const { b } = net
    const [h, w] = spatialOf(x) as [number, number]
    const c = drawn(rng)
    const deep = b.reshape(act(net, net.conv(name, x, 4 * c, 1), rng), [0, c, 2, 2, h, w])
    return b.reshape(b.transpose(deep, [0, 1, 4, 2, 5, 3]), [0, c, 2 * h, 2 * w])
  },
  'grouped and shuffled': (net, x, name, rng) => {
    const { b } = net
    const [h, w] = spatialOf(x) as [number, number]
    const per = 2 + rng.int(2)
    const y = act(net, net.grouped(`${name}a`, act(net, net.conv(`${name}c`, x, 2 * per, 1), rng), 2 * per, 2), rng)
    const turned = b.reshape(b.transpose(b.reshape(y, [0, 2, per, h, w]), [0, 2, 1, 3, 4]), [0, 2 * per, h, w])
    return net.grouped(`${name}b`, turned, 2 * per, rng.int(2) ? 2 : 2 * per)
  },
  'concat of places': (net, x, name, rng) => {
    const other = net.conv(name, x, channelsOf(x), 1)
    if (rng.int(2)) return net.b.op('Concat', [x, lively(net, other, rng)], { axis: 2 + rng.int(2) })
    const rows = [x, other].map((v) => net.b.reshape(v, [0, channelsOf(x), -1]))
    return net.b.reshape(net.b.op('Concat', rows, { axis: 2 }), [0, channelsOf(x), 2 * spatialOf(x)[0]!, spatialOf(x)[1]!])
  },
  'crop and flip of places': (net, x, name, rng) => {
    const [h] = spatialOf(x) as [number]
    const y = net.conv(name, x, drawn(rng), 1)
    return net.b.op('Concat', [slice(net, y, [0], [h > 1 ? -1 : 1], [2]), net.b.op('Gather', [y, net.b.ints([0])], { axis: 2 })], { axis: 2 })
  },
  'one value in both places': (net, x, _, rng) => [
    () => net.b.mul(x, x),
    () => net.b.add(x, x),
    () => net.b.sub(net.b.mul(x, net.act('Sigmoid', x)), x),
  ][rng.int(3)]!(),
  'operand per channel': (net, x, name, rng) => {
    const c = channelsOf(x)
    const operand = net.weight(`${name}s`, [[c, 1, 1], [1, c, 1, 1]][rng.int(2)]!, 1)
    return [
      () => net.b.op('Max', [operand, x]),
      () => net.b.op('Where', [net.b.op('Less', [x, operand]), operand, x]),
      () => net.b.div(x, net.b.add(net.b.op('Abs', [operand]), net.b.scalar(1))),
      () => net.b.op('Pow', [net.b.add(net.b.op('Abs', [x]), net.b.scalar(0.5)), operand]),
    ][rng.int(4)]!()
  },
  'map for all channels': (net, x, name, rng) => {
    const y = net.b.mul(x, net.weight(`${name}m`, [[1, 1, ...spatialOf(x)], spatialOf(x)][rng.int(2)]!, 1))
    return net.b.add(y, net.conv(name, x, 1, 1))
  },
  'shared depthwise': (net, x, name, rng) => {
    const c = channelsOf(x)
    const w = net.weight(`${name}.w`, [c, 1, 3, 3])
    const y = net.convWith(`${name}a`, x, w, undefined, c)
    return net.b.add(y, net.convWith(`${name}b`, lively(net, net.conv(`${name}c`, x, c, 1), rng), w, undefined, c))
  },
  'batch norm of vectors': (net, x, name, rng) => {
    const vector = net.norm(`${name}n`, net.linear(name, net.b.op('Flatten', [net.b.op('GlobalMaxPool', [x])]), channelsOf(x)))
    return net.b.mul(x, net.b.reshape(lively(net, vector, rng), [0, -1, 1, 1]))
  },
  'dead branch': (net, x, name, rng) => {
    const y = lively(net, net.conv(name, x, drawn(rng), 1), rng)
    net.conv(`${name}dead`, y, 3, 1)
    return y
  },
  'weight made in the graph': (net, x, name, rng) => {
    const { b } = net
    const c = drawn(rng)
    const v = net.weight(`${name}.v`, [c, channelsOf(x), 1, 1])
    const kernel = [
      // A softplus of the stored weight.
      () => b.op('Softplus', [v]),
      // Divided by its own norm over the inputs, which changes with them.
      () => b.mul(b.div(v, reduce(net, 'ReduceL2', v, [1, 2, 3])), net.weight(`${name}.g`, [c, 1, 1, 1], 1)),
    ][rng.int(2)]!()
    return act(net, net.b.add(net.conv(`${name}r`, x, c, 1), net.convWith(name, x, kernel)), rng)
  },
  'linear in parts': (net, x, name, rng) => {
    const c = drawn(rng)
    const [a, b, rest] = split(net, project(net, tokens(net, x), name, 3 * c), [c, c, c], -1)
    const y = net.b.add(net.b.mul(a!, net.act('Sigmoid', b!)), rest!)
    return net.b.reshape(net.b.transpose(rng.int(2) ? y : act(net, y, rng), [0, 2, 1]), [0, c, ...spatialOf(x)])
  },
  'products of all channels': (net, x, name) => {
    const flat = (v: Value): Value => net.b.reshape(v, [0, channelsOf(v), placesOf(x)])
    const [a, b] = [net.conv(`${name}a`, x, 3, 1), net.conv(`${name}b`, x, 4, 1)]
    const products = net.b.op('MatMul', [flat(a), net.b.transpose(flat(b), [0, 2, 1])])
    // Two axes that can be cut, summed over at once.
    const size = net.b.reshape(net.b.add(reduce(net, 'ReduceL2', products, [1, 2]), net.b.scalar(1)), [-1, 1, 1, 1])
    return net.b.div(net.b.op('Concat', [a, b], { axis: 1 }), size)
  },
  'three-dimensional convolution': (net, x, name) => {
    const c = channelsOf(x)
    const deep = net.b.reshape(x, [0, c, 1, ...spatialOf(x)])
    const y = net.b.op('Conv', [deep, net.weight(`${name}.w`, [4, c, 1, 1, 1]), net.weight(`${name}.b`, [4])], { kernel_shape: [1, 1, 1] })
    return net.b.reshape(net.act('Sigmoid', y), [0, 4, ...spatialOf(x)])
  },
}
