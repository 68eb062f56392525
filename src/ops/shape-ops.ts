/** @file Shapes as data, and constants: what exporters compute reshape targets and grids with. */
import { intAttribute, tensorAttribute } from '../ir/attributes.ts'
import { type Dim, type Node, staticShape } from '../ir/graph.ts'
import type { DType } from '../tensor/dtype.ts'
import { f32, i64, scalar, sizeOf, type Tensor, tensor, toNumbers } from '../tensor/tensor.ts'
import { type ChannelLinks, notDifferentiable, opaque, type OpDef } from './define.ts'
import { allConstant, fill, foldLimit } from './fold.ts'
import { onlyTargets, shapeRange } from './lengths.ts'
import { free, inputOf, outputOf, ref, typed } from './rules.ts'
import { contentOf, numbersOf } from './shape-data.ts'
import { dtypeOfCode } from './type-codes.ts'

/** Axes whose lengths the graph computes with, or gives out: not those that only go on to reshape and resize targets. */
function lengthsRead(node: Node, rank: number): Set<number> {
  const [start, end] = shapeRange(node, rank)
  const all = Array.from({ length: end - start }, (_, i) => i)
  return new Set(all.filter((i) => !onlyTargets(outputOf(node), i)).map((i) => i + start))
}

function shapeChannels(node: Node): ChannelLinks {
  const x = inputOf(node, 0)
  const axes = [...(x.shape ?? []).keys()]
  const read = lengthsRead(node, axes.length)
  return {
    links: axes.filter((i) => !read.has(i)).map((i) => free(ref(x, i))),
    blocked: axes.filter((i) => read.has(i)).map((i) => ({ ref: ref(x, i), reason: 'the graph computes with the length of this axis' })),
  }
}

const shape: OpDef = {
  type: 'Shape',
  shape(node) {
    const rank = inputOf(node, 0).shape?.length
    if (rank === undefined) return typed('int64', [undefined])
    const [start, end] = shapeRange(node, rank)
    return typed('int64', [end - start])
  },
  vjp: notDifferentiable,
  channels: shapeChannels,
  fold(node) {
    const dims = staticShape(inputOf(node, 0))
    return dims && [i64(dims.slice(...shapeRange(node, dims.length)))]
  },
}

const size: OpDef = {
  type: 'Size',
  shape: () => typed('int64', []),
  vjp: notDifferentiable,
  channels: opaque('Size counts all elements'),
  fold(node) {
    const dims = staticShape(inputOf(node, 0))
    return dims && [i64([sizeOf(dims)], [])]
  },
}

function constantTensor(node: Node): Tensor {
  const value = tensorAttribute(node, 'value')
  if (value) return value
  for (const [name, a] of node.attributes) {
    if (name === 'value_float' && a.kind === 'float') return scalar(a.value)
    if (name === 'value_floats' && a.kind === 'floats') return f32(a.value)
    if (name === 'value_int' && a.kind === 'int') return tensor('int64', [], BigInt64Array.of(a.value))
    if (name === 'value_ints' && a.kind === 'ints') return tensor('int64', [a.value.length], BigInt64Array.from(a.value))
    if (name === 'value_string' && a.kind === 'string') return tensor('string', [], [a.value])
    if (name === 'value_strings' && a.kind === 'strings') return tensor('string', [a.value.length], [...a.value])
  }
  throw new Error(`Constant "${node.name}" has no value that is supported (${[...node.attributes.keys()].join(', ')})`)
}

const constant: OpDef = {
  type: 'Constant',
  shape(node) {
    const t = constantTensor(node)
    return typed(t.dtype, t.dims)
  },
  vjp: notDifferentiable,
  channels: opaque('its content is no initializer that could be cut; fold constants first'),
  fold: (node) => [constantTensor(node)],
}

const fillValue = (node: Node): Tensor => tensorAttribute(node, 'value') ?? f32([0])

const constantOfShape: OpDef = {
  type: 'ConstantOfShape',
  shape(node) {
    const rank = node.inputs[0] && staticShape(node.inputs[0])?.[0]
    return typed(fillValue(node).dtype, contentOf(node.inputs[0]) ?? (rank === undefined ? undefined : new Array<Dim>(rank).fill(undefined)))
  },
  vjp: notDifferentiable,
  channels: opaque('its size is computed in the graph'),
  fold(node, [dims]) {
    const to = dims && toNumbers(dims)
    const { dtype, data } = fillValue(node)
    if (!to || sizeOf(to) > foldLimit || dtype === 'string') return undefined
    return [fill(dtype, to, () => data[0] as number | bigint)]
  },
}

const range: OpDef = {
  type: 'Range',
  shape(node) {
    const [start, limit, delta] = node.inputs.map((v) => numbersOf(v)?.[0])
    const known = start !== undefined && limit !== undefined && delta !== undefined
    return typed(inputOf(node, 0).dtype, [known ? rangeLength(start, limit, delta) : undefined])
  },
  vjp: notDifferentiable,
  channels: opaque('its length is computed in the graph'),
  float32: 'all',
  fold(_, inputs) {
    if (!allConstant(inputs, 3)) return undefined
    const [start, limit, delta] = inputs.map((t) => toNumbers(t)[0]!) as [number, number, number]
    const length = rangeLength(start, limit, delta)
    const { dtype } = inputs[0]!
    // Integers only: the runtime adds floats up step by step, with its own rounding.
    return length <= foldLimit && (dtype === 'int64' || dtype === 'int32') ? [fill(dtype, [length], (i) => start + i * delta)] : undefined
  },
}

function rangeLength(start: number, limit: number, delta: number): number {
  return Math.max(0, Math.ceil((limit - start) / delta))
}

const eyeLike: OpDef = {
  type: 'EyeLike',
  shape(node) {
    const x = inputOf(node, 0)
    const code = intAttribute(node, 'dtype', 0)
    const dtype: DType | undefined = code === 0 ? x.dtype : dtypeOfCode(code)
    return typed(dtype, x.shape)
  },
  vjp: notDifferentiable,
  channels: opaque('a diagonal has no channels to remove'),
}

export const shapeOps: readonly OpDef[] = [shape, size, constant, constantOfShape, range, eyeLike]
