/** @file Pad. Its gradient is slicing, or the sum over all places that an element was copied to. */
import { stringAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { i64 } from '../tensor/tensor.ts'
import type { KeptIndices, OpDef, PatchEdit, Vjp } from './define.ts'
import { offset } from './index-map.ts'
import { contract, type Row } from './resize-gradient.ts'
import { inputOf, intsOf, link, outputOf, ref, typed, wrapAxis } from './rules.ts'

interface Pads {
  readonly axes: readonly number[]
  readonly before: readonly number[]
  readonly after: readonly number[]
}

/** Elements added before and after every axis (negative: taken away); undefined where they are computed in the graph. */
function padsOf(node: Node, rank: number): Pads | undefined {
  const given = intsOf(node, 'pads', 1)
  const axes = node.inputs[3] ? intsOf(node, 'axes', 3)?.map((a) => wrapAxis(a, rank)) : Array.from({ length: rank }, (_, i) => i)
  if (!given || !axes) return undefined
  const before = new Array<number>(rank).fill(0)
  const after = before.slice()
  axes.forEach((axis, i) => {
    before[axis] = given[i]!
    after[axis] = given[i + axes.length]!
  })
  return { axes, before, after }
}

const modeOf = (node: Node): string => stringAttribute(node, 'mode', 'constant')

/** Which element of an axis of `length` stands at place `at` (0: the first), in the modes that copy. */
function sourceOf(mode: string, at: number, length: number): number {
  const wrap = (i: number, n: number): number => ((i % n) + n) % n
  if (mode === 'edge') return Math.min(Math.max(at, 0), length - 1)
  if (mode === 'wrap') return wrap(at, length)
  const period = Math.max(1, 2 * (length - 1))
  const i = wrap(at, period)
  return i < length ? i : period - i
}

const vjp: Vjp = (b, node, [dy]) => {
  const x = dimsOf(inputOf(node, 0))
  const take = (flowing: Value): Value => {
    const mode = modeOf(node)
    const pads = padsOf(node, x.length)
    if (!pads) throw new Error(`Pad "${node.name}": no gradient with pads computed in the graph`)
    const { before, after } = pads
    const axes = [...before.keys()].filter((i) => before[i] !== 0 || after[i] !== 0)
    if (axes.length === 0) return flowing
    if (mode !== 'constant') {
      return axes.reduce((g, axis) => {
        const rows = Array.from({ length: x[axis]! + before[axis]! + after[axis]! }, (_, i): Row => [[sourceOf(mode, i - before[axis]!, x[axis]!), 1]])
        return contract(b, g, axis, rows, x[axis]!)
      }, flowing)
    }
    // A crop's gradient is padding again.
    if ([...before, ...after].some((p) => p < 0)) return b.op('Pad', [flowing, b.ints([...before, ...after].map((p) => -p))])
    return b.op('Slice', [flowing, b.ints(axes.map((i) => before[i]!)), b.ints(axes.map((i) => before[i]! + x[i]!)), b.ints(axes)])
  }
  return [dy && (() => take(dy))]
}

/** Where channels are padded (shortcuts without a projection), those that were added can go too. */
function patch(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const x = inputOf(node, 0)
  const pads = padsOf(node, x.shape?.length ?? 0)
  const given = intsOf(node, 'pads', 1)
  if (!pads || !given) return
  const next = [...given]
  pads.axes.forEach((axis, i) => {
    const left = kept(ref(outputOf(node), axis))
    const length = x.shape?.[axis]
    if (!left || typeof length !== 'number') return
    next[i] = left.filter((k) => k < pads.before[axis]!).length
    next[i + pads.axes.length] = left.filter((k) => k >= pads.before[axis]! + length).length
  })
  if (next.every((n, i) => n === given[i])) return
  if (node.attributes.has('pads')) setAttribute(node, 'pads', next)
  else edit.setConstant(node, 1, i64(next))
}

export const pad: OpDef = {
  type: 'Pad',
  shape(node) {
    const x = inputOf(node, 0)
    const pads = x.shape && padsOf(node, x.shape.length)
    return typed(x.dtype, x.shape?.map((d, i) => {
      if (!pads) return undefined
      const more = pads.before[i]! + pads.after[i]!
      return more === 0 ? d : typeof d === 'number' ? d + more : undefined
    }))
  },
  vjp,
  channels(node) {
    const x = inputOf(node, 0)
    const pads = padsOf(node, x.shape?.length ?? 0)
    if (!pads) return { links: [] }
    const axes = [...(x.shape ?? []).keys()]
    const grown = (i: number): boolean => pads.before[i] !== 0 || pads.after[i] !== 0
    const follows = (i: number): boolean => !grown(i) || (modeOf(node) === 'constant' && pads.before[i]! >= 0 && pads.after[i]! >= 0)
    return {
      links: axes.filter(follows).map((i) => link(ref(x, i), ref(outputOf(node), i), offset(pads.before[i]!))),
      blocked: axes.filter((i) => !follows(i)).map((i) => ({ ref: ref(x, i), reason: `the axis is ${modeOf(node) === 'constant' ? 'cropped' : 'padded with copies'}` })),
    }
  },
  patch,
}
