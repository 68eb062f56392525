/** @file The pieces that random nets are made of: layers, and the ways in which streams meet. */
import type { Value } from '../../src/ir/graph.ts'
import type { Rng } from '../../src/tensor/rng.ts'
import { clip, pad, reduce, resize, split, unsqueeze } from './forms.ts'
import { moves } from './moves.ts'
import { patterns } from './patterns.ts'
import { act, channelsOf, drawn, lively, type Piece, spatialOf, steady } from './piece.ts'

const layers: Readonly<Record<string, Piece>> = {
  chain: (net, x, name, rng) => {
    const kernel = rng.int(2) ? 3 : 1
    const stride = spatialOf(x).every((n) => n > 3) ? 1 + rng.int(2) : 1
    const w = net.weight(`${name}.w`, [drawn(rng), channelsOf(x), kernel, kernel])
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride] }
    const pads = rng.int(2) ? new Array<number>(4).fill((kernel - 1) / 2) : [kernel - 1, 0, 0, kernel - 1]
    return act(net, net.b.op('Conv', [x, w], rng.int(3) ? { ...attributes, pads } : { ...attributes, auto_pad: 'SAME_UPPER' }, name), rng)
  },
  'batch normalization': (net, x, name, rng) => act(net, net.norm(`${name}n`, net.conv(name, x, drawn(rng), 3, rng.int(2) === 1)), rng),
  'f(0) != 0': (net, x, name, rng) => lively(net, net.conv(name, x, drawn(rng), 1), rng),
  depthwise: (net, x, name, rng) => act(net, net.grouped(name, x, channelsOf(x) * (1 + rng.int(2)), channelsOf(x)), rng),
  'grouped convolution': (net, x, name, rng) => {
    const groups = 2 + rng.int(2)
    const wide = channelsOf(x) % groups ? act(net, net.conv(`${name}a`, x, groups * (1 + rng.int(3)), 1), rng) : x
    return act(net, net.grouped(name, wide, groups * (1 + rng.int(3)), groups), rng)
  },
  'transposed convolution': (net, x, name, rng) => {
    const kind = rng.int(3)
    const c = channelsOf(x)
    // Plain, depthwise, in groups of two channels each.
    const [out, group] = kind === 0 ? [drawn(rng), 1] : kind === 1 ? [1, c] : [1 + rng.int(3), c % 2 ? 1 : c / 2]
    const size = spatialOf(x).some((n) => n > 6) ? 1 : 2
    const w = net.weight(`${name}.w`, [c, out, size, size], c)
    return act(net, net.b.op('ConvTranspose', [x, w, net.weight(`${name}.b`, [out * group], 4)], { kernel_shape: [size, size], strides: [size, size], group }, name), rng)
  },
  'instance normalization': (net, x, name) => net.b.op('InstanceNormalization', [x, net.weight(`${name}s`, [channelsOf(x)], 1), net.weight(`${name}b`, [channelsOf(x)], 1)], steady),
  prelu: (net, x, name, rng) => {
    const slopes = [[channelsOf(x), 1, 1], [1, 1, 1], [1]][rng.int(3)]!
    return net.b.op('PRelu', [x, net.weight(`${name}p`, slopes, 1)])
  },
  pooling: (net, x, _, rng) => {
    const type = rng.int(2) ? 'MaxPool' : 'AveragePool'
    const stride = spatialOf(x).every((n) => n > 3) ? 1 + rng.int(2) : 1
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [stride, stride] }
    if (type === 'AveragePool') return net.b.op(type, [x], { ...attributes, count_include_pad: rng.int(2) })
    return net.b.op(type, [x], net.b.opset >= 10 ? { ...attributes, ceil_mode: rng.int(2) } : attributes)
  },
  resize: (net, x, _, rng) => {
    const [h, w] = spatialOf(x) as [number, number]
    const mode = rng.int(2) ? 'nearest' : 'linear'
    const by = h * w > 36 ? 1 : 2
    const [n, c] = x.shape as [unknown, number]
    return typeof n === 'number' && rng.int(2) ? resize(net, x, { sizes: [n, c, h * by, w * by] }, mode) : resize(net, x, { scales: [1, 1, by, by] }, mode)
  },
  'pad with a value': (net, x, _, rng) => {
    const mode = spatialOf(x).every((n) => n > 1) ? (['constant', 'constant', 'reflect', 'edge'] as const)[rng.int(4)]! : 'constant'
    return pad(net, x, [0, 0, 1, rng.int(2), 0, 0, 0, 1], mode, 1.5)
  },
  'linear at every place': (net, x, name, rng) => {
    const c = drawn(rng)
    if (net.b.opset >= 12 && rng.int(3) === 0) return act(net, net.b.op('Einsum', [x, net.weight(`${name}.w`, [c, channelsOf(x)])], { equation: 'nchw,dc->ndhw' }), rng)
    const y = net.b.op('MatMul', [net.b.transpose(x, [0, 2, 3, 1]), net.weight(`${name}.w`, [channelsOf(x), c], channelsOf(x))])
    return net.b.transpose(act(net, net.b.add(y, net.weight(`${name}.b`, [c], 4)), rng), [0, 3, 1, 2])
  },
  'flatten and linear': (net, x, name, rng) => {
    const [h, w] = spatialOf(x) as [number, number]
    const c = drawn(rng)
    const y = act(net, net.linear(name, net.b.op('Flatten', [x], { axis: 1 }), c * h * w), rng)
    return net.b.reshape(y, [rng.int(2) || typeof x.shape![0] !== 'number' ? 0 : x.shape![0], c, h, w])
  },
  'scale and shift': (net, x, name, rng) => {
    const c = channelsOf(x)
    const s = net.weight(`${name}s`, [1, c, 1, 1], 1)
    const y = net.b.add(net.b.mul(x, s), net.weight(`${name}b`, [c, 1, 1], 1))
    // The same constant again, on another stream.
    return rng.int(2) ? net.b.sub(y, net.b.mul(net.conv(name, x, c, 1), s)) : y
  },
  'scalar arithmetic': (net, x, _, rng) => [
    () => net.b.div(x, net.b.scalar(2)),
    () => net.b.sub(net.b.scalar(1), x),
    () => net.b.op('Pow', [x, net.b.scalar(2)]),
    () => net.b.op('Reciprocal', [net.b.add(net.b.op('Abs', [x]), net.b.scalar(1))]),
    () => net.b.div(clip(net, net.b.add(x, net.b.scalar(3)), 0, 6), net.b.scalar(6)),
  ][rng.int(5)]!(),
}

/** A weight that is used in several places. */
const shared: Readonly<Record<string, Piece>> = {
  'shared weights': (net, x, name, rng) => {
    const w = net.weight(`${name}.w`, [drawn(rng), channelsOf(x), 1, 1])
    const bias = rng.int(2) ? net.weight(`${name}.b`, [Number(w.shape![0])], 4) : undefined
    const two = [net.convWith(`${name}l`, x, w, bias), net.convWith(`${name}r`, act(net, x, rng), w, bias)]
    return rng.int(2) ? net.b.add(two[0]!, two[1]!) : net.b.op('Concat', two, { axis: 1 })
  },
  'shared head of two levels': (net, x, name, rng) => {
    const c = drawn(rng)
    const levels = [net.conv(`${name}a`, x, c, 1), net.conv(`${name}b`, net.b.op('AveragePool', [x], { kernel_shape: [1, 1] }), c, 3)]
    const w = net.weight(`${name}.w`, [drawn(rng), c, 3, 3])
    const [a, b] = levels.map((v, i) => net.convWith(`${name}h${i}`, act(net, v, rng), w))
    return net.b.op('Concat', [a!, b!, a!], { axis: 1 })
  },
  'shared normalization': (net, x, name, rng) => {
    const c = drawn(rng)
    const first = net.norm(`${name}n`, net.conv(`${name}a`, x, c, 1))
    const params = first.producer!.inputs.slice(1)
    return net.b.op('Concat', [first, net.b.op('BatchNormalization', [net.conv(`${name}b`, x, c, 1), ...params])], { axis: 1 })
  },
}

const globalMean = (net: Parameters<Piece>[0], x: Value, rng: Rng): Value => (rng.int(2) ? net.b.op('GlobalAveragePool', [x]) : reduce(net, 'ReduceMean', x, [2, 3]))

const joins: Readonly<Record<string, Piece>> = {
  residual: (net, x, name, rng) => net.b.add(x, net.conv(`${name}b`, act(net, net.conv(`${name}a`, x, drawn(rng)), rng), channelsOf(x))),
  'projected residual': (net, x, name, rng) => {
    const c = drawn(rng)
    return act(net, net.b.add(net.norm(`${name}n`, net.conv(`${name}p`, x, c, 1)), net.conv(`${name}b`, act(net, net.conv(`${name}a`, x, drawn(rng)), rng), c)), rng)
  },
  concat: (net, x, name, rng) => net.b.op('Concat', [act(net, net.conv(`${name}a`, x, drawn(rng)), rng), x, net.conv(`${name}b`, x, 3, 1)], { axis: rng.int(2) ? 1 : -3 }),
  'concat of itself': (net, x, _, rng) => net.b.op('Concat', [x, act(net, x, rng), x], { axis: 1 }),
  'squeeze-excitation': (net, x, name, rng) => {
    const down = act(net, net.conv(`${name}down`, globalMean(net, x, rng), 3, 1), rng)
    const up = net.conv(`${name}up`, down, channelsOf(x), 1)
    return net.b.mul(x, net.b.op(rng.int(2) ? 'Sigmoid' : 'HardSigmoid', [up]))
  },
  'squeeze-excitation by linear layers': (net, x, name, rng) => {
    const pooled = rng.int(2) ? reduce(net, 'ReduceMean', x, [2, 3], 0) : net.b.op('Flatten', [net.b.op('GlobalMaxPool', [x])], { axis: 1 })
    const gate = net.act('Sigmoid', net.linear(`${name}up`, act(net, net.linear(`${name}down`, pooled, 3), rng), channelsOf(x)))
    return net.b.mul(x, rng.int(2) ? unsqueeze(net, gate, [2, 3]) : net.b.reshape(gate, [0, channelsOf(x), 1, 1]))
  },
  'context added to every place': (net, x, name, rng) => net.b.add(act(net, net.conv(name, globalMean(net, x, rng), channelsOf(x), 1), rng), x),
  'spatial gate': (net, x, name) => net.b.mul(x, net.act('Sigmoid', net.conv(name, reduce(net, 'ReduceSum', x, [1]), 1, 3))),
  'norm over channels': (net, x, name) => {
    const length = net.b.add(reduce(net, 'ReduceL2', x, [1]), net.b.scalar(0.1))
    return net.b.mul(net.b.div(x, length), net.weight(`${name}s`, [channelsOf(x), 1, 1], 1))
  },
  'gate of halves': (net, x, name, rng) => {
    const [a, b] = split(net, net.conv(name, x, 2 * drawn(rng), 1), 2)
    return rng.int(2) ? net.b.mul(a!, net.act('Sigmoid', b!)) : net.b.op('Max', [a!, b!])
  },
  extremes: (net, x, name, rng) => net.b.op(['Max', 'Min', 'Sum', 'Mean'][rng.int(4)]!, [x, act(net, net.conv(name, x, channelsOf(x), 1), rng), net.act('Sigmoid', x)]),
  where: (net, x, name, rng) => net.b.op('Where', [net.b.op('Greater', [rng.int(2) ? x : net.conv(name, x, channelsOf(x), 1), net.b.scalar(0)]), x, net.b.mul(x, net.b.scalar(0.1))]),
  swish: (net, x, name, rng) => {
    const y = net.conv(name, x, drawn(rng), 1)
    return net.b.mul(y, net.act('Sigmoid', y))
  },
  attention: (net, x, name, rng) => {
    const places = spatialOf(x).reduce((a, d) => a * d, 1)
    const flat = (v: Value): Value => net.b.reshape(v, [0, channelsOf(v), places])
    const depth = drawn(rng)
    const [q, k, v] = [net.conv(`${name}q`, x, depth, 1), net.conv(`${name}k`, x, depth, 1), net.conv(`${name}v`, x, drawn(rng), 1)]
    const scores = net.b.op('Softmax', [net.b.op('MatMul', [net.b.transpose(flat(q), [0, 2, 1]), flat(k)])], { axis: 2 })
    const mixed = net.b.op('MatMul', [flat(v), net.b.transpose(scores, [0, 2, 1])])
    return net.b.reshape(mixed, [0, channelsOf(v), ...spatialOf(x)])
  },
}

/** Nothing that goes through these can be cut. */
const whole: Readonly<Record<string, Piece>> = {
  'softmax over channels': (net, x) => net.b.op('Softmax', [x], { axis: 1 }),
  'response normalization': (net, x) => net.b.op('LRN', [x], { size: 3 }),
  'mean over channels': (net, x) => net.b.mul(x, reduce(net, 'ReduceMean', x, [1])),
  // A zero would win.
  'extremes over channels': (net, x, name, rng) => {
    const gate = net.act('Sigmoid', x)
    const found = rng.int(2) ? reduce(net, 'ReduceMin', gate, [1]) : reduce(net, 'ReduceMax', net.b.op('Neg', [gate]), [1])
    return net.b.mul(x, net.conv(name, found, 1, 1))
  },
  'channels as images': (net, x, name) => {
    // A free batch would lose its symbol.
    if (typeof x.shape![0] !== 'number') return net.b.op('Softmax', [x], { axis: 1 })
    return net.b.reshape(net.convWith(name, net.b.reshape(x, [-1, 1, ...spatialOf(x)]), net.weight(`${name}.w`, [1, 1, 3, 3])), [-1, channelsOf(x), ...spatialOf(x)])
  },
}

/** By the name of the feature. */
export const pieces: Readonly<Record<string, Piece>> = { ...layers, ...shared, ...joins, ...moves, ...patterns, ...whole }

/** Features that a cut can go through. */
export const cuttable = Object.keys(pieces).filter((name) => !(name in whole))
