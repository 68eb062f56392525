/** @file Resize and Upsample. */
import { intsAttribute, stringAttribute } from '../ir/attributes.ts'
import type { Dim, Node, Value } from '../ir/graph.ts'
import { i64, toNumbers } from '../tensor/tensor.ts'
import type { ChannelRule, KeptIndices, Link, OpDef, PatchEdit, RuleContext, ShapeRule } from './define.ts'
import { originOf } from './lengths.ts'
import { resizeVjp } from './resize-gradient.ts'
import { inputOf, link, outputOf, ref, typed, wrapAxis } from './rules.ts'
import { contentOf, numbersOf } from './shape-data.ts'

/** What a node says of its factors, one entry an axis; undefined lists are not given, undefined entries not known. */
interface Factors {
  /** Axes that the node resizes; others keep their length. */
  readonly axes: readonly number[]
  readonly scales?: readonly (number | undefined)[]
  readonly sizes?: readonly Dim[]
  /** The input the sizes come from. */
  readonly from?: Value
}

/** Inputs: Upsample 7 has the attribute scales; Upsample 9 and Resize 10 (X, scales); Resize 11 and later (X, roi, scales, sizes). */
function factorsOf(node: Node, opset: number): Factors {
  const rank = inputOf(node, 0).shape?.length ?? 0
  const [, second, third, fourth] = node.inputs
  const old = node.opType === 'Upsample' || opset < 11
  const axes = intsAttribute(node, 'axes')?.map((a) => wrapAxis(a, rank)) ?? Array.from({ length: rank }, (_, axis) => axis)
  const placed = <T>(values: readonly T[]): (T | undefined)[] => Array.from({ length: rank }, (_, axis) => values[axes.indexOf(axis)])
  const attribute = node.attributes.get('scales')
  const scales = attribute?.kind === 'floats' ? attribute.value : numbersOf(old ? second : third)
  if (scales && scales.length > 0) return { axes, scales: placed(scales) }
  const sizes = old ? undefined : contentOf(fourth)
  return sizes && sizes.length > 0 ? { axes, sizes: placed(sizes), from: fourth } : { axes }
}

const shape = (node: Node, { opset }: RuleContext): ReturnType<ShapeRule> => {
  const x = inputOf(node, 0)
  if (!x.shape) return typed(x.dtype, undefined)
  const { axes, scales, sizes } = factorsOf(node, opset)
  const stretched = stringAttribute(node, 'keep_aspect_ratio_policy', 'stretch') === 'stretch'
  const cropped = stringAttribute(node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize'
  return typed(x.dtype, x.shape.map((n, axis) => {
    if (!axes.includes(axis)) return n
    if (sizes) return stretched ? sizes[axis] : undefined
    const scale = scales?.[axis]
    if (scale === undefined || cropped) return undefined
    if (scale === 1) return n
    // The runtime multiplies in float32: 0.1 of 30 must not fall below 3.
    return typeof n === 'number' ? Math.floor(Math.fround(n * Math.fround(scale))) : undefined
  }))
}

/** Axes whose length stays pass through; resized ones must stay whole. */
const channels: ChannelRule = (node, { opset }) => {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  const { axes, scales, sizes, from } = factorsOf(node, opset)
  const passes = (axis: number): boolean => {
    if (!axes.includes(axis) || scales?.[axis] === 1) return true
    // Constant sizes are mended with the cut (patch); lengths of an axis follow it; other computed ones are not followed.
    const follows = from?.initializer !== undefined || originOf(from, axes.indexOf(axis)) !== undefined
    return axis < 2 && follows && sizes?.[axis] !== undefined && sizes[axis] === x.shape?.[axis]
  }
  const origins = (axis: number): Link[] => {
    const origin = originOf(from, axes.indexOf(axis))
    return origin ? [link(origin, ref(y, axis))] : []
  }
  const all = (x.shape ?? []).map((_, axis) => axis)
  return {
    links: all.filter(passes).flatMap((axis) => [link(ref(x, axis), ref(y, axis)), ...origins(axis)]),
    blocked: all.filter((axis) => !passes(axis)).map((axis) => ({ ref: ref(x, axis), reason: `${node.opType} resizes this axis` })),
  }
}

/** Constant sizes name the channels too. */
function patch(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const { axes, from } = factorsOf(node, edit.opset)
  if (!from?.initializer) return
  const sizes = toNumbers(from.initializer)
  const next = sizes.map((n, i) => kept(ref(inputOf(node, 0), axes[i]!))?.length ?? n)
  if (next.some((n, i) => n !== sizes[i])) edit.setConstant(node, 3, i64(next))
}

/** Interpolated bytes would be cut off, not rounded. */
const eightBit: OpDef['eightBit'] = (node) => (stringAttribute(node, 'mode', 'nearest') === 'nearest' ? { kind: 'moves' } : undefined)

// ONNX has the scales in float32 alone; a roi stays with them.
export const resize: readonly OpDef[] = ['Resize', 'Upsample'].map((type) => ({ type, shape, vjp: resizeVjp, channels, patch, float32: [1, 2], eightBit }))
