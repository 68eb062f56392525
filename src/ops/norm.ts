/** @file Normalisations: per image, per position, over groups of channels and over neighbouring ones. BatchNormalization has its own file. */
import { floatAttribute, intAttribute, intsAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { batchNormalization } from './batch-norm.ts'
import type { Emitter } from './emitter.ts'
import type { ChannelLinks, ChannelRule, KeptIndices, OpDef, ShapeRule, Vjp } from './define.ts'
import { block, type IndexMap, within } from './index-map.ts'
import { inputOf, link, outputOf, ref, sameAs, wrapAxis } from './rules.ts'

interface NormGradient {
  readonly dx: () => Value
  /** dy times the normalised x, not yet summed. */
  readonly weighted: () => Value
}

/** Gradients of y = scale (x - mean) / sqrt(variance + epsilon), statistics over `axes` of the same x. `scale` broadcasts against x. */
function normGradient(b: Emitter, x: Value, dy: Value, scale: Value | undefined, axes: readonly number[], epsilon: number): NormGradient {
  const mean = (v: Value): Value => b.op('ReduceMean', [v, b.ints(axes)], { keepdims: 1 })
  const centred = b.sub(x, mean(x))
  const inverse = b.op('Reciprocal', [b.op('Sqrt', [b.add(mean(b.mul(centred, centred)), b.scalar(epsilon))])])
  const normalised = b.mul(centred, inverse)
  return {
    dx: () => {
      const g = scale ? b.mul(dy, scale) : dy
      return b.mul(inverse, b.sub(b.sub(g, mean(g)), b.mul(normalised, mean(b.mul(g, normalised)))))
    },
    weighted: () => b.mul(dy, normalised),
  }
}

const allAxes = (x: Value): number[] => [...(x.shape ?? []).keys()]

/** Axes over which statistics are taken stay whole, for zeros would count in them; the others pass. */
function statisticsOver(node: Node, axes: readonly number[], why: string): ChannelLinks {
  const x = inputOf(node, 0)
  return {
    links: allAxes(x).filter((axis) => !axes.includes(axis)).flatMap((axis) => node.outputs.flatMap((y) => (y ? [link(ref(x, axis), ref(y, axis))] : []))),
    blocked: axes.map((axis) => ({ ref: ref(x, axis), reason: `${node.opType} ${why}` })),
  }
}

const instanceVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const dims = dimsOf(x)
  const axes = allAxes(x)
  const others = axes.filter((axis) => axis !== 1)
  const scale = b.reshape(inputOf(node, 1), dims.map((n, axis) => (axis === 1 ? n : 1)))
  const g = normGradient(b, x, dy, scale, axes.slice(2), floatAttribute(node, 'epsilon', 1e-5))
  return [g.dx, () => b.sum(g.weighted(), others), () => b.sum(dy, others)]
}

const instanceChannels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const found = statisticsOver(node, allAxes(x).slice(2), 'takes its statistics over the positions')
  return { ...found, links: [...found.links, ...[1, 2].map((i) => link(ref(inputOf(node, i), 0), ref(x, 1)))] }
}

const layerAxis = (node: Node): number => wrapAxis(intAttribute(node, 'axis', -1), inputOf(node, 0).shape?.length ?? 0)

const layerShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  // stash_type 1, the default, is float32.
  const statistics = { dtype: intAttribute(node, 'stash_type', 1) === 1 ? 'float32' as const : x.dtype, shape: x.shape?.map((n, axis) => (axis < layerAxis(node) ? n : 1)) }
  return node.outputs.map((_, i) => (i === 0 ? { dtype: x.dtype, shape: x.shape } : statistics))
}

const layerVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const axes = allAxes(x).slice(layerAxis(node))
  const g = normGradient(b, x, dy, inputOf(node, 1), axes, floatAttribute(node, 'epsilon', 1e-5))
  return [g.dx, g.weighted, () => dy]
}

const layerChannels: ChannelRule = (node) => statisticsOver(node, allAxes(inputOf(node, 0)).slice(layerAxis(node)), 'takes its statistics over this axis')

/** Opset 18 had a scale a group; since 21 it is one a channel. */
const groupVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const groups = intAttribute(node, 'num_groups', 1)
  const dims = [n, groups, c / groups, ...spatial]
  const scale = b.reshape(inputOf(node, 1), dims.map((d, axis) => (axis === 1 || axis === 2 ? d : 1)))
  const g = normGradient(b, b.reshape(x, dims), b.reshape(dy, dims), scale, [...dims.keys()].slice(2), floatAttribute(node, 'epsilon', 1e-5))
  const perChannel = (v: Value): Value => b.sum(v, [0, ...[...spatial.keys()].map((i) => i + 2)])
  return [() => b.reshape(g.dx(), dimsOf(x)), () => perChannel(b.reshape(g.weighted(), dimsOf(x))), () => perChannel(dy)]
}

/** Groups take their statistics each by itself: whole groups can go. */
const groupChannels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const channels = x.shape?.[1]
  const groups = intAttribute(node, 'num_groups', 1)
  const found = statisticsOver(node, allAxes(x).slice(2), 'takes its statistics over the positions')
  if (typeof channels !== 'number' || channels % groups !== 0) return { links: [] }
  const size = channels / groups
  const scales = [1, 2].map((i) => {
    const map: IndexMap = inputOf(node, i).shape?.[0] === groups ? block(size) : { kind: 'identity' }
    return link(ref(inputOf(node, i), 0), ref(x, 1), map)
  })
  return { ...found, links: [...found.links, ...scales, link(ref(x, 1), ref(x, 1), within(size))] }
}

function patchGroupNorm(node: Node, kept: KeptIndices): void {
  const channels = inputOf(node, 0).shape?.[1]
  const left = kept(ref(inputOf(node, 0), 1))
  if (left && typeof channels === 'number') setAttribute(node, 'num_groups', (left.length * intAttribute(node, 'num_groups', 1)) / channels)
}

/** dy / s^beta - 2 alpha beta / size x window(dy y / s), where y = x / s^beta and s = bias + alpha / size window(x^2). */
const lrnVjp: Vjp = (b, node, [dy]) => {
  const back = (flowing: Value): Value => {
    const x = inputOf(node, 0)
    const size = intAttribute(node, 'size', 1)
    const [alpha, beta, bias] = [floatAttribute(node, 'alpha', 1e-4), floatAttribute(node, 'beta', 0.75), floatAttribute(node, 'bias', 1)]
    const s = b.add(b.mul(windowMean(b, b.mul(x, x), size, false), b.scalar(alpha)), b.scalar(bias))
    const direct = b.mul(flowing, b.op('Pow', [s, b.scalar(-beta)]))
    const crossed = windowMean(b, b.div(b.mul(flowing, outputOf(node)), s), size, true)
    return b.sub(direct, b.mul(b.mul(x, crossed), b.scalar(2 * alpha * beta)))
  }
  return [dy && (() => back(dy))]
}

/** Mean over `size` neighbouring channels, zeros beyond the ends counted; windows of even size reach further up, those of the transpose further down. */
function windowMean(b: Emitter, x: Value, size: number, transposed: boolean): Value {
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const positions = spatial.reduce((a, d) => a * d, 1)
  const less = Math.floor((size - 1) / 2)
  const [before, after] = transposed ? [size - 1 - less, less] : [less, size - 1 - less]
  const pooled = b.op('AveragePool', [b.reshape(x, [n, 1, c, positions])], { kernel_shape: [size, 1], strides: [1, 1], pads: [before, 0, after, 0], count_include_pad: 1 })
  return b.reshape(pooled, dimsOf(x))
}

const lpAxis = (node: Node): number => wrapAxis(intAttribute(node, 'axis', -1), inputOf(node, 0).shape?.length ?? 0)

/** Norm 2: (dy - y sum(dy y)) / norm; norm 1: (dy - sign(x) sum(dy y)) / norm. */
const lpVjp: Vjp = (b, node, [dy]) => {
  const x = inputOf(node, 0)
  const axis = lpAxis(node)
  const p = intAttribute(node, 'p', 2)
  const back = (flowing: Value): Value => {
    const y = outputOf(node)
    const norm = b.op(p === 1 ? 'ReduceL1' : 'ReduceL2', [x, b.ints([axis])], { keepdims: 1 })
    return b.div(b.sub(flowing, b.mul(p === 1 ? b.op('Sign', [x]) : y, b.sum(b.mul(flowing, y), [axis], true))), norm)
  }
  return [dy && (() => back(dy))]
}

/** A zero adds nothing to the norm: its axis can be cut. */
const lpChannels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  return { links: allAxes(x).map((axis) => link(ref(x, axis), ref(outputOf(node), axis))), contracts: [ref(x, lpAxis(node))] }
}

const meanVarianceAxes = (node: Node): number[] => (intsAttribute(node, 'axes') ?? [0, 2, 3]).map((a) => wrapAxis(a, inputOf(node, 0).shape?.length ?? 0))

export const norm: readonly OpDef[] = [
  batchNormalization,
  { type: 'InstanceNormalization', shape: sameAs(0), vjp: instanceVjp, channels: instanceChannels, weights: [1, 2], trainable: [1, 2] },
  { type: 'LayerNormalization', shape: layerShape, vjp: layerVjp, channels: layerChannels, weights: [1, 2], trainable: [1, 2] },
  { type: 'GroupNormalization', shape: sameAs(0), vjp: groupVjp, channels: groupChannels, patch: patchGroupNorm, weights: [1, 2], trainable: [1, 2] },
  { type: 'LRN', shape: sameAs(0), vjp: lrnVjp, channels: (node) => statisticsOver(node, [1], 'mixes neighbouring channels'), float32: 'all' },
  { type: 'LpNormalization', shape: sameAs(0), vjp: lpVjp, channels: lpChannels, float32: 'all' },
  {
    type: 'MeanVarianceNormalization',
    shape: sameAs(0),
    // The runtime adds 1e-9 to the standard deviation.
    vjp: (b, node, [dy]) => [dy && (() => normGradient(b, inputOf(node, 0), dy, undefined, meanVarianceAxes(node), 1e-9).dx())],
    channels: (node) => statisticsOver(node, meanVarianceAxes(node), 'takes its statistics over this axis'),
    float32: 'all',
  },
]
