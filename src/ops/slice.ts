/** @file Slice. Its gradient is padding. */
import { intsAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { type Dim, dimsOf, type Node, type Value } from '../ir/graph.ts'
import { i64, takeAlong } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import type { KeptIndices, OpDef, PatchEdit, Vjp } from './define.ts'
import { moves } from './eight-bit.ts'
import { foldLimit } from './fold.ts'
import { slice as sliceMap } from './index-map.ts'
import { inputOf, intsOf, link, outputOf, ref, typed, wrapAxis } from './rules.ts'
import { contentOf, resolveSlice, sliceIndices, type SliceRange } from './shape-data.ts'

/** The sliced axes (non-negative), each with its range where that is known; undefined where not even the axes are. */
function rangesOf(node: Node, rank: number): Map<number, SliceRange | undefined> | undefined {
  const read = (name: string, index: number): readonly Dim[] | undefined => intsAttribute(node, name) ?? contentOf(node.inputs[index])
  const starts = read('starts', 1)
  const ends = read('ends', 2)
  const count = starts?.length ?? ends?.length
  const axes = intsOf(node, 'axes', 3) ?? (node.inputs[3] || count === undefined ? undefined : Array.from({ length: count }, (_, i) => i))
  const steps = node.inputs[4] ? contentOf(node.inputs[4]) : undefined
  if (!axes) return undefined
  return new Map(
    axes.map((axis, i) => {
      const start = starts?.[i]
      const end = ends?.[i]
      const step = node.inputs[4] ? steps?.[i] : 1
      const known = typeof start === 'number' && typeof end === 'number' && typeof step === 'number'
      return [wrapAxis(axis, rank), known ? { start, end, step } : undefined]
    }),
  )
}

/** True for a range that takes the whole axis, whatever its length. */
function isWhole({ start, end, step }: SliceRange): boolean {
  return start === 0 && end >= 2 ** 31 - 1 && step === 1
}

/** Lengths after slicing; undefined where a length or a range is not known. */
function slicedDims(shape: readonly Dim[], ranges: ReadonlyMap<number, SliceRange | undefined> | undefined): Dim[] {
  return shape.map((d, axis) => {
    if (!ranges) return undefined
    if (!ranges.has(axis)) return d
    const range = ranges.get(axis)
    if (range && isWhole(range)) return d
    return range && typeof d === 'number' ? resolveSlice(range, d).count : undefined
  })
}

/** Puts dy back where it was taken from, zeros elsewhere: reversed, spread out by the step, padded. */
const sliceVjp: Vjp = (b, node, [dy]) => {
  const x = dimsOf(inputOf(node, 0))
  const put = (flowing: Value): Value => {
    const ranges = rangesOf(node, x.length)
    if (!ranges) throw new Error(`Slice "${node.name}": the gradient needs constant axes`)
    const before = x.map(() => 0)
    const after = x.map(() => 0)
    let g = flowing
    for (const [axis, range] of ranges) {
      if (!range) throw new Error(`Slice "${node.name}": the gradient needs constant starts, ends and steps`)
      const { start, step, count } = resolveSlice(range, x[axis]!)
      const stride = Math.abs(step)
      if (step < 0) g = reversed(b, g, axis)
      if (stride > 1) g = spread(b, g, axis, stride)
      const first = step < 0 ? start + (count - 1) * step : start
      before[axis] = first
      after[axis] = x[axis]! - first - dimsOf(g)[axis]!
    }
    return [...before, ...after].some((p) => p !== 0) ? b.op('Pad', [g, b.ints([...before, ...after])]) : g
  }
  return [dy && (() => put(dy))]
}

function reversed(b: Emitter, v: Value, axis: number): Value {
  // The end lies before the first element: INT_MIN is beyond plain numbers, any end below -length will do.
  const length = dimsOf(v)[axis]!
  return b.op('Slice', [v, b.ints([-1]), b.ints([-length - 1]), b.ints([axis]), b.ints([-1])])
}

/** Puts step - 1 zeros between elements along an axis: [n] to [(n - 1) step + 1]. */
function spread(b: Emitter, v: Value, axis: number, step: number): Value {
  const dims = dimsOf(v)
  const split = [...dims.slice(0, axis + 1), 1, ...dims.slice(axis + 1)]
  const pads = split.map(() => 0)
  const padded = b.op('Pad', [b.reshape(v, split), b.ints([...pads, ...pads.map((_, i) => (i === axis + 1 ? step - 1 : 0))])])
  const flat = b.reshape(padded, dims.map((d, i) => (i === axis ? d * step : d)))
  return b.op('Slice', [flat, b.ints([0]), b.ints([(dims[axis]! - 1) * step + 1]), b.ints([axis])])
}

/** New bounds of the sliced axes that were cut: the kept elements lie side by side in the shortened axis. */
function patchSlice(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  const ranges = rangesOf(node, x.shape?.length ?? 0)
  if (!ranges) return
  const starts = intsOf(node, 'starts', 1)
  const ends = intsOf(node, 'ends', 2)
  let changed = false
  ;[...ranges].forEach(([axis, range], i) => {
    const left = kept(ref(x, axis))
    const length = x.shape?.[axis]
    if (!left || !range || isWhole(range)) return
    if (typeof length !== 'number' || !starts || !ends) throw new Error(`Slice "${node.name}": the bounds of axis ${axis} are not known, so they cannot be patched`)
    const { start, step } = resolveSlice(range, length)
    const count = kept(ref(y, axis))?.length ?? (y.shape?.[axis] as number)
    const below = (limit: number): number => left.filter((k) => k < limit).length
    starts[i] = step > 0 ? below(start) : below(start + 1) - 1
    // Downwards to the first element: an end below -length, for -1 would mean the last one.
    ends[i] = step > 0 ? starts[i]! + count : starts[i]! - count >= 0 ? starts[i]! - count : -left.length - 1
    changed = true
  })
  if (!changed) return
  if (node.attributes.has('starts')) {
    setAttribute(node, 'starts', bounds(starts!))
    setAttribute(node, 'ends', bounds(ends!))
  } else {
    edit.setConstant(node, 1, i64(bounds(starts!)))
    edit.setConstant(node, 2, i64(bounds(ends!)))
  }
}

/** The largest bounds ("to the end") round up beyond int64 as plain numbers: any beyond every axis will do. */
function bounds(values: readonly number[]): number[] {
  return values.map((v) => Math.max(-(2 ** 53), Math.min(v, 2 ** 53)))
}

export const slice: OpDef = {
  type: 'Slice',
  shape(node) {
    const x = inputOf(node, 0)
    return typed(x.dtype, x.shape && slicedDims(x.shape, rangesOf(node, x.shape.length)))
  },
  vjp: sliceVjp,
  channels(node) {
    const x = inputOf(node, 0)
    const y = outputOf(node)
    const ranges = rangesOf(node, x.shape?.length ?? 0)
    if (!ranges) return { links: [] }
    const refs = (x.shape ?? []).map((d, axis) => ({ d, axis, range: ranges.get(axis), from: ref(x, axis), to: ref(y, axis) }))
    return {
      links: refs.flatMap(({ d, axis, range, from, to }) => {
        if (!ranges.has(axis) || (range && isWhole(range))) return [link(from, to)]
        if (!range || typeof d !== 'number' || Math.abs(range.step) !== 1) return []
        return [link(from, to, sliceMap(resolveSlice(range, d).start, range.step))]
      }),
      blocked: refs.flatMap(({ axis, range, from }) => {
        if (!ranges.has(axis) || (range && Math.abs(range.step) === 1)) return []
        return [{ ref: from, reason: range ? 'a slice with a step cannot follow a cut axis' : 'the bounds of the slice are computed in the graph' }]
      }),
    }
  },
  patch: patchSlice,
  fold(node, inputs) {
    const x = inputs[0]
    const ranges = x && rangesOf(node, x.dims.length)
    if (!x || !ranges || x.data.length > foldLimit) return undefined
    let out = x
    for (const [axis, range] of ranges) {
      if (!range) return undefined
      out = takeAlong(out, axis, sliceIndices(range, x.dims[axis]!))
    }
    return [out]
  },
  eightBit: moves,
}
