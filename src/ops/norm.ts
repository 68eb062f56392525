/** @file Normalisations: per image, per position and over neighbouring channels. BatchNormalization has its own file. */
import { floatAttribute, intAttribute } from '../ir/attributes.ts'
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { batchNormalization } from './batch-norm.ts'
import type { Emitter } from './emitter.ts'
import { type ChannelRule, notDifferentiable, opaque, type OpDef, type ShapeRule, type Vjp } from './define.ts'
import { inputOf, link, outputOf, ref, sameAs, wrapAxis } from './rules.ts'

interface NormGradient {
  readonly dx: () => Value
  /** dy times the normalised x, not yet summed. */
  readonly weighted: () => Value
}

/** Gradients of y = scale (x - mean) / sqrt(variance + epsilon), statistics over `axes` of the same x. `scale` broadcasts against x. */
function normGradient(b: Emitter, x: Value, dy: Value, scale: Value, axes: readonly number[], epsilon: number): NormGradient {
  const mean = (v: Value): Value => b.op('ReduceMean', [v, b.ints(axes)], { keepdims: 1 })
  const centred = b.sub(x, mean(x))
  const inverse = b.op('Reciprocal', [b.op('Sqrt', [b.add(mean(b.mul(centred, centred)), b.scalar(epsilon))])])
  const normalised = b.mul(centred, inverse)
  return {
    dx: () => {
      const g = b.mul(dy, scale)
      return b.mul(inverse, b.sub(b.sub(g, mean(g)), b.mul(normalised, mean(b.mul(g, normalised)))))
    },
    weighted: () => b.mul(dy, normalised),
  }
}

const instanceVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const dims = dimsOf(x)
  const axes = dims.map((_, axis) => axis)
  const others = axes.filter((axis) => axis !== 1)
  const scale = b.reshape(inputOf(node, 1), dims.map((n, axis) => (axis === 1 ? n : 1)))
  const g = normGradient(b, x, dy, scale, axes.slice(2), floatAttribute(node, 'epsilon', 1e-5))
  return [g.dx, () => b.sum(g.weighted(), others), () => b.sum(dy, others)]
}

const instanceChannels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  return {
    links: [link(ref(x, 0), ref(y, 0)), link(ref(x, 1), ref(y, 1)), link(ref(inputOf(node, 1), 0), ref(x, 1)), link(ref(inputOf(node, 2), 0), ref(x, 1))],
    blocked: (x.shape ?? []).map((_, axis) => axis).slice(2).map((axis) => ({ ref: ref(x, axis), reason: 'InstanceNormalization takes its statistics over the positions' })),
  }
}

const layerAxis = (node: Node): number => wrapAxis(intAttribute(node, 'axis', -1), inputOf(node, 0).shape?.length ?? 0)

const layerShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  const statistics = { dtype: x.dtype, shape: x.shape?.map((n, axis) => (axis < layerAxis(node) ? n : 1)) }
  return node.outputs.map((_, i) => (i === 0 ? { dtype: x.dtype, shape: x.shape } : statistics))
}

const layerVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const axes = dimsOf(x).map((_, axis) => axis).slice(layerAxis(node))
  const g = normGradient(b, x, dy, inputOf(node, 1), axes, floatAttribute(node, 'epsilon', 1e-5))
  return [g.dx, g.weighted, () => dy]
}

export const norm: readonly OpDef[] = [
  batchNormalization,
  { type: 'InstanceNormalization', shape: sameAs(0), vjp: instanceVjp, channels: instanceChannels, weights: [1, 2], trainable: [1, 2] },
  { type: 'LayerNormalization', shape: layerShape, vjp: layerVjp, channels: opaque('LayerNormalization takes its statistics over the channels it normalises'), weights: [1, 2], trainable: [1, 2] },
  { type: 'GroupNormalization', shape: sameAs(0), vjp: notDifferentiable, channels: opaque('GroupNormalization takes its statistics over groups of channels'), weights: [1, 2], trainable: [1, 2] },
  { type: 'LRN', shape: sameAs(0), vjp: notDifferentiable, channels: opaque('LRN mixes neighbouring channels') },
  { type: 'LpNormalization', shape: sameAs(0), vjp: notDifferentiable, channels: opaque('LpNormalization takes its norm over the channels') },
]
