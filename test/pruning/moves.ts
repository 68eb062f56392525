/** @file Pieces of random nets that move channels about: split, slice, shuffle, pick, fold and unfold. */
import type { Value } from '../../src/ir/graph.ts'
import { type Rng, shuffled } from '../../src/tensor/rng.ts'
import { i64 } from '../../src/tensor/tensor.ts'
import { reduce, slice, split, squeeze, unsqueeze } from './forms.ts'
import type { Net } from './nets.ts'
import { act, channelsOf, drawn, lively, type Piece, spatialOf } from './piece.ts'

/** A layer on x with channels that `of` divides into longer parts. */
function multiple(net: Net, x: Value, of: number, name: string, rng: Rng): Value {
  return act(net, net.conv(`${name}m`, x, of * (of + 1 + rng.int(2)), 1), rng)
}

function shuffle(net: Net, x: Value, groups: number, rng: Rng): Value {
  const [h, w] = spatialOf(x) as [number, number]
  const c = channelsOf(x)
  const n = typeof x.shape![0] === 'number' && rng.int(2) ? x.shape![0] : 0
  const turned = net.b.transpose(net.b.reshape(x, [n, groups, c / groups, h, w]), [0, 2, 1, 3, 4])
  return net.b.reshape(turned, [[n, c, h, w], [n, -1, h, w], [0, c, h, w]][rng.int(3)]!)
}

const count = (x: Value): number[] => Array.from({ length: channelsOf(x) }, (_, i) => i)

export const moves: Readonly<Record<string, Piece>> = {
  split: (net, x, name, rng) => {
    const wide = channelsOf(x) > 1 ? x : net.conv(`${name}m`, x, 4, 1)
    const first = 1 + rng.int(channelsOf(wide) - 1)
    const [a, b] = split(net, wide, [first, channelsOf(wide) - first])
    // A part goes on by itself and the order changes.
    return net.b.op('Concat', [lively(net, b!, rng), net.conv(name, a!, drawn(rng), 1)], { axis: 1 })
  },
  'equal split': (net, x, name, rng) => {
    const parts = 2 + rng.int(2)
    const [a, ...rest] = split(net, multiple(net, x, parts, name, rng), parts)
    return net.b.op('Concat', [...rest, act(net, a!, rng)], { axis: 1 })
  },
  'slice of channels': (net, x, _, rng) => {
    const c = channelsOf(x)
    const start = rng.int(Math.ceil(c / 2))
    const end = c - rng.int(Math.ceil(c / 2))
    if (net.b.opset >= 10 && rng.int(4) === 0) return slice(net, x, [-1], [-c - 1], [1], [-1])
    const ends = end === c ? [2 ** 31 - 1, c, c + 5][rng.int(3)]! : rng.int(2) ? end : end - c
    return rng.int(2) ? slice(net, x, [start], [ends], [1]) : slice(net, x, [0, start - c], [2 ** 31 - 1, ends], [2, 1])
  },
  'shuffle by reshape': (net, x, name, rng) => {
    const groups = 2 + rng.int(2)
    return shuffle(net, multiple(net, x, groups, name, rng), groups, rng)
  },
  'shuffle by gather': (net, x, _, rng) => net.b.op('Gather', [x, net.b.constant(i64(shuffled(count(x), rng)), 'order')], { axis: 1 }),
  'gather that drops and repeats': (net, stream, name, rng) => {
    const x = rng.int(2) ? stream : act(net, net.conv(name, stream, 3 + rng.int(4), 1), rng)
    const c = channelsOf(x)
    const picks = Array.from({ length: 3 + rng.int(c) }, () => rng.int(2 * c) - c)
    return net.b.op('Gather', [x, net.b.constant(i64(picks), 'picks')], { axis: rng.int(2) ? 1 : -3 })
  },
  'shuffle unit': (net, x, name, rng) => {
    const [a, b] = split(net, multiple(net, x, 2, name, rng), 2)
    const inner = act(net, net.conv(`${name}a`, b!, drawn(rng), 1), rng)
    const branch = act(net, net.conv(`${name}c`, net.grouped(`${name}d`, inner, channelsOf(inner), channelsOf(inner)), channelsOf(b!), 1), rng)
    return shuffle(net, net.b.op('Concat', [a!, branch], { axis: 1 }), 2, rng)
  },
  'focus by slices': (net, x, name, rng) => {
    const even = spatialOf(x).every((n) => n % 2 === 0 && n > 2) ? x : net.b.op('ConvTranspose', [x, net.weight(`${name}u`, [channelsOf(x), 3, 2, 2])], { strides: [2, 2] })
    const [h, w] = spatialOf(even) as [number, number]
    if (net.b.opset < 10) return net.conv(name, net.b.op('SpaceToDepth', [even], { blocksize: 2 }), drawn(rng), 1)
    const quarter = (dy: number, dx: number): Value => slice(net, slice(net, even, [dy], [h], [2], [2]), [dx], [w], [3], [2])
    return net.b.op('Concat', [quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)], { axis: 1 })
  },
  'depth to space': (net, x, name, rng) => {
    const deep = net.conv(name, x, 4 * (2 + rng.int(2)), 1)
    return net.b.op('DepthToSpace', [act(net, deep, rng)], { blocksize: 2, ...(net.b.opset >= 11 && rng.int(2) && { mode: 'CRD' }) })
  },
  'space to depth': (net, x) => {
    const [h, w] = spatialOf(x) as [number, number]
    return h % 2 || w % 2 ? net.b.op('Concat', [x, x], { axis: 1 }) : net.b.op('SpaceToDepth', [x], { blocksize: 2 })
  },
  'rows and columns change places': (net, x) => net.b.transpose(x, [0, 1, 3, 2]),
  'flat and back': (net, x, _, rng) => {
    const [h, w] = spatialOf(x) as [number, number]
    const c = channelsOf(x)
    const flat = lively(net, net.b.reshape(x, rng.int(2) ? [0, c, -1] : [0, 0, h * w]), rng)
    return net.b.reshape(flat, rng.int(2) ? [0, 0, h, w] : [0, c, h, -1])
  },
  'reshape by computed sizes': (net, x, _, rng) => {
    const { b } = net
    const [h, w] = spatialOf(x) as [number, number]
    const lengths = b.op('Shape', [x])
    const batch = unsqueeze(net, b.op('Gather', [lengths, b.constant(i64([0], []))]), [0])
    const flat = lively(net, b.op('Reshape', [x, b.op('Concat', [batch, b.ints(rng.int(2) ? [channelsOf(x), -1] : [channelsOf(x), h * w])], { axis: 0 })]), rng)
    return b.op('Reshape', [flat, b.op('Concat', [batch, b.ints([channelsOf(x), h, w])], { axis: 0 })])
  },
  'pooled and expanded': (net, x, name, rng) => {
    const pooled = act(net, net.conv(name, reduce(net, 'ReduceMean', x, [2, 3]), drawn(rng), 1), rng)
    const spread = rng.int(2) ? net.b.op('Expand', [pooled, net.b.ints([1, rng.int(2) ? 1 : channelsOf(pooled), ...spatialOf(x)])]) : net.b.op('Tile', [pooled, net.b.ints([1, 1, ...spatialOf(x)])])
    return net.b.op('Concat', [x, spread], { axis: 1 })
  },
  'squeezed and unsqueezed': (net, x, name, rng) => {
    const vector = squeeze(net, net.b.op('GlobalAveragePool', [x]), [2, 3])
    const y = unsqueeze(net, act(net, net.linear(name, vector, channelsOf(x)), rng), [2, 3])
    return net.b.mul(x, y)
  },
  idle: (net, x, _, rng) => {
    const y = rng.int(2) ? net.b.op('Identity', [x]) : net.b.op('Dropout', [x])
    return act(net, rng.int(2) ? net.b.op('Identity', [y]) : y, rng)
  },
}
