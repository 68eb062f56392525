/** @file BatchNormalization: inference and training form, with gradients of both. */
import { UserError } from '../tensor/error.ts'
import { floatAttribute, intAttribute } from '../ir/attributes.ts'
import { constantOf, dimsOf, type Node, type Value } from '../ir/graph.ts'
import { f32, sizeOf } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import { channelSum } from './conv-gradient.ts'
import type { Affine, ChannelRule, OpDef, ShapeRule, TrainingForm, Vjp } from './define.ts'
import { inputOf, link, linkAll, outputOf, ref } from './rules.ts'

const epsilonOf = (node: Node): number => floatAttribute(node, 'epsilon', 1e-5)
const isTraining = (node: Node): boolean => intAttribute(node, 'training_mode', 0) !== 0

const shape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  const statistic = { dtype: inputOf(node, 3).dtype, shape: inputOf(node, 3).shape }
  return node.outputs.map((_, i) => (i === 0 ? { dtype: x.dtype, shape: x.shape } : statistic))
}

const channels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  const perChannel = [...node.inputs.slice(1), ...node.outputs.slice(1)].filter((v): v is Value => v !== undefined)
  const links = isTraining(node) ? [link(ref(x, 1), ref(y, 1))] : linkAll(x, y)
  return { links: [...links, ...perChannel.map((v) => link(ref(v, 0), ref(x, 1)))] }
}

/** A per-channel vector in the shape that broadcasts along axis 1 of `like`. */
function alongChannels(b: Emitter, v: Value, like: Value): Value {
  const dims = dimsOf(like)
  return b.reshape(v, dims.map((n, axis) => (axis === 1 ? n : 1)))
}

/** Sum of x . y over all but axis 1, [C]. A product of rows with columns costs a fraction of Mul and ReduceSum. */
function channelDot(b: Emitter, x: Value, y: Value): Value {
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const positions = sizeOf(spatial)
  if (positions === 1) return b.sum(b.mul(b.reshape(x, [n, c]), b.reshape(y, [n, c])), [0])
  const column = b.transpose(b.reshape(y, [n * c, 1, positions]), [0, 2, 1])
  return b.sum(b.reshape(b.op('MatMul', [b.reshape(x, [n * c, 1, positions]), column]), [n, c]), [0])
}

/** Mean and population variance of this run's batch, [C] each. */
function batchStatistics(b: Emitter, node: Node): readonly [Value, Value] {
  const [, mean, variance] = node.outputs
  if (mean && variance && floatAttribute(node, 'momentum', 0.9) === 0) return [mean, variance]
  const [, m, v] = trainingNode(b, node)
  return [m!, v!]
}

/**
 * With a momentum of 0 (ONNX's is the weight of the old value) the runtime returns the batch's own statistics. It writes
 * them over the statistics it was given, be they inputs or weights: so it gets zeros that nothing else reads.
 */
function trainingNode(b: Emitter, node: Node): Value[] {
  const scratch = [3, 4].map((i) => b.mul(inputOf(node, i), b.scalar(0)))
  return b.ops('BatchNormalization', [...node.inputs.slice(0, 3), ...scratch], 3, { epsilon: { float: epsilonOf(node) }, momentum: { float: 0 }, training_mode: 1 })
}

const vjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const scale = inputOf(node, 1)
  const parts = once(() => {
    const [mean, variance] = isTraining(node) ? batchStatistics(b, node) : [inputOf(node, 3), inputOf(node, 4)]
    return { mean, inverse: b.op('Reciprocal', [b.op('Sqrt', [b.add(variance, b.scalar(epsilonOf(node)))])]) }
  })
  const sum = once(() => channelSum(b, dy))
  /** Sum of dy times the normalised x. */
  const weighted = once(() => {
    const { mean, inverse } = parts()
    return b.mul(inverse, b.sub(channelDot(b, dy, x), b.mul(mean, sum())))
  })
  const dx = (): Value => {
    const { mean, inverse } = parts()
    const gain = b.mul(scale, inverse)
    const direct = b.mul(dy, alongChannels(b, gain, dy))
    if (!isTraining(node)) return direct
    // dx = gain (dy - sum/n - xhat weighted/n), as dx = gain dy + (slope x + level) with three numbers a channel:
    // BatchNormalization itself is the fastest way to evaluate the second part.
    const count = sizeOf(dimsOf(x)) / dimsOf(x)[1]!
    const perElement = b.mul(gain, b.scalar(-1 / count))
    const slope = b.mul(perElement, b.mul(inverse, weighted()))
    const level = b.mul(perElement, sum())
    const ones = b.constant(f32(new Float32Array(dimsOf(scale)[0]!).fill(1)), 'ones')
    const rest = b.op('BatchNormalization', [x, slope, level, mean, ones], { epsilon: { float: 0 } })
    return b.add(direct, rest)
  }
  return [dx, weighted, sum]
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** y = scale (x - mean) / sqrt(variance + epsilon) + bias, where all four are float32 constants. */
function affine(node: Node): Affine | undefined {
  // Scales a position (opset 7, spatial = 0) are no scales a channel.
  if (isTraining(node) || intAttribute(node, 'spatial', 1) === 0) return undefined
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => constantOf(node.inputs[i])?.data)
  if (!(scale instanceof Float32Array && bias instanceof Float32Array && mean instanceof Float32Array && variance instanceof Float32Array)) return undefined
  const factor = scale.map((s, i) => s / Math.sqrt(variance[i]! + epsilonOf(node)))
  return { scale: factor, shift: bias.map((v, i) => v - mean[i]! * factor[i]!) }
}

/**
 * The training form. `momentum` is torch's: the weight of this batch in the running statistics (0.1 by default there);
 * the running variance takes the unbiased variance n/(n-1), as torch's does.
 */
function training(b: Emitter, node: Node, momentum: number): TrainingForm {
  const [y, mean, variance] = trainingNode(b, node)
  const dims = dimsOf(inputOf(node, 0))
  const count = sizeOf(dims) / dims[1]!
  if (count < 2) throw new UserError(`BatchNormalization "${node.name}" would see one value a channel, which has no variance; train with batches of at least 2 images`)
  const blend = (state: Value, batch: Value, weight: number): Value => {
    const part = b.mul(batch, b.scalar(weight))
    // At 1 the old state must not be read: the runtime would take its product with 0 for the scratch above, which is written over.
    return momentum === 1 ? part : b.add(b.mul(state, b.scalar(1 - momentum)), part)
  }
  const [oldMean, oldVariance] = [inputOf(node, 3), inputOf(node, 4)]
  return {
    outputs: [y!],
    updates: [
      { state: oldMean, next: blend(oldMean, mean!, momentum) },
      { state: oldVariance, next: blend(oldVariance, variance!, (momentum * count) / (count - 1)) },
    ],
  }
}

export const batchNormalization: OpDef = { type: 'BatchNormalization', shape, vjp, channels, weights: [1, 2, 3, 4], trainable: [1, 2], affine, training }
