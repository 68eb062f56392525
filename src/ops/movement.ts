/** @file Concat, Split, Transpose, Expand, Tile, Trilu, DepthToSpace, SpaceToDepth: elements move, none is computed. */
import { intAttribute, intsAttribute, stringAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { constantOf, type Dim, dimsOf, type Node, staticShape, type Value } from '../ir/graph.ts'
import { i64, toNumbers } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import type { KeptIndices, OpDef, PatchEdit } from './define.ts'
import { computes, moves } from './eight-bit.ts'
import { allConstant, concatTensors, expandTensor, transposeTensor } from './fold.ts'
import { block, offset, repeat, slice } from './index-map.ts'
import { originOf } from './lengths.ts'
import { broadcastDims, broadcastLinks, inputOf, intsOf, link, outputOf, presentInputs, ref, sameAs, typed, unaryVjp, wrapAxis, zerosLike } from './rules.ts'
import { contentOf, numbersOf } from './shape-data.ts'

const rankOf = (v: Value): number => v.shape?.length ?? 0
const times = (d: Dim, by: number): Dim => (typeof d === 'number' ? d * by : undefined)
const divided = (d: Dim, by: number): Dim => (typeof d === 'number' && d % by === 0 ? d / by : undefined)

/** Where each part begins along an axis; undefined from the first unknown length on. */
function starts(parts: readonly Dim[]): (number | undefined)[] {
  let at: number | undefined = 0
  return parts.map((d) => {
    const start = at
    at = at !== undefined && typeof d === 'number' ? at + d : undefined
    return start
  })
}

const concatAxis = (node: Node): number => wrapAxis(intAttribute(node, 'axis', 1), rankOf(inputOf(node, 0)))

const concat: OpDef = {
  type: 'Concat',
  shape(node) {
    const parts = presentInputs(node)
    const first = parts.find((v) => v.shape) ?? inputOf(node, 0)
    const axis = wrapAxis(intAttribute(node, 'axis', 1), rankOf(first))
    const along = parts.map((v) => v.shape?.[axis])
    const total = along.every((d): d is number => typeof d === 'number') ? along.reduce((a, d) => a + d, 0) : undefined
    const common = (i: number): Dim => parts.map((v) => v.shape?.[i]).reduce((a, d) => (typeof a === 'number' ? a : (d ?? a)))
    return typed(first.dtype, first.shape?.map((_, i) => (i === axis ? total : common(i))))
  },
  vjp(b, node, [dy]) {
    if (!dy) return []
    const axis = concatAxis(node)
    const begins = starts(node.inputs.map((v) => dimsOf(v!)[axis]))
    return node.inputs.map((v, i) => () => b.op('Slice', [dy, b.ints([begins[i]!]), b.ints([begins[i]! + dimsOf(v!)[axis]!]), b.ints([axis])]))
  },
  channels(node) {
    const y = outputOf(node)
    const axis = concatAxis(node)
    const begins = starts(node.inputs.map((v) => v?.shape?.[axis]))
    return {
      links: node.inputs.flatMap((v, i) =>
        (v?.shape ?? []).flatMap((_, a) => {
          if (a !== axis) return [link(ref(v!, a), ref(y, a))]
          return begins[i] === undefined ? [] : [link(ref(v!, a), ref(y, a), offset(begins[i]))]
        }),
      ),
    }
  },
  fold(node, inputs) {
    const known = allConstant(inputs, node.inputs.length) ? concatTensors(inputs, wrapAxis(intAttribute(node, 'axis', 1), inputs[0]!.dims.length)) : undefined
    return known && [known]
  },
  eightBit: computes,
}

const splitAxis = (node: Node): number => wrapAxis(intAttribute(node, 'axis', 0), rankOf(inputOf(node, 0)))

/** Lengths of a Split's parts: given, or equal ones (the last may be smaller). */
function splitLengths(node: Node): Dim[] {
  const given = intsOf(node, 'split', 1)
  const count = node.outputs.length
  if (given || node.inputs[1]) return given ?? new Array<Dim>(count).fill(undefined)
  const length = inputOf(node, 0).shape?.[splitAxis(node)]
  if (typeof length !== 'number') return new Array<Dim>(count).fill(undefined)
  const part = Math.ceil(length / count)
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(part, length - i * part)))
}

/** The parts' new lengths. Equal parts that stay equal need no mention. */
function patchSplit(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const axis = splitAxis(node)
  const before = splitLengths(node)
  const begins = starts(before)
  const left = kept(ref(inputOf(node, 0), axis))
  if (!left) return
  const after = before.map((d, i) => {
    const begin = begins[i]
    return typeof d === 'number' && begin !== undefined ? left.filter((k) => k >= begin && k < begin + d).length : undefined
  })
  if (after.every((d, i) => d === before[i])) return
  if (!after.every((d): d is number => typeof d === 'number')) throw new Error(`Split "${node.name}": the lengths of its parts are not known, so they cannot be patched`)
  const implicit = !node.inputs[1] && !node.attributes.has('split')
  if (implicit && after.every((d) => d === after[0])) return
  if (edit.opset < 13) setAttribute(node, 'split', after)
  else {
    node.attributes.delete('num_outputs')
    edit.setConstant(node, 1, i64(after))
  }
}

const split: OpDef = {
  type: 'Split',
  shape(node) {
    const x = inputOf(node, 0)
    const axis = splitAxis(node)
    return splitLengths(node).map((part) => ({ dtype: x.dtype, shape: x.shape?.map((d, i) => (i === axis ? part : d)) }))
  },
  vjp(b, node, cotangents) {
    const parts = node.outputs.map((out, i) => {
      const flowing = cotangents[i]
      return () => flowing ?? zerosLike(b, dimsOf(out!))
    })
    return [() => b.op('Concat', parts.map((part) => part()), { axis: splitAxis(node) })]
  },
  channels(node) {
    const x = inputOf(node, 0)
    const axis = splitAxis(node)
    const begins = starts(splitLengths(node))
    return {
      links: node.outputs.flatMap((out, i) =>
        (out?.shape ?? []).flatMap((_, a) => {
          if (a !== axis) return [link(ref(x, a), ref(out!, a))]
          return begins[i] === undefined ? [] : [link(ref(x, a), ref(out!, a), slice(begins[i]))]
        }),
      ),
    }
  },
  patch: patchSplit,
  eightBit: moves,
}

function permOf(node: Node): number[] {
  const rank = rankOf(inputOf(node, 0))
  return intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i)
}

const transpose: OpDef = {
  type: 'Transpose',
  shape(node) {
    const x = inputOf(node, 0)
    return typed(x.dtype, x.shape && permOf(node).map((p) => x.shape![p]))
  },
  vjp: unaryVjp((b, dy, _, y) => {
    const perm = permOf(y.producer!)
    return b.transpose(dy, perm.map((_p, axis) => perm.indexOf(axis)))
  }),
  channels(node) {
    const x = inputOf(node, 0)
    return { links: permOf(node).map((p, axis) => link(ref(x, p), ref(outputOf(node), axis))) }
  },
  fold: (node, [x]) => x && [transposeTensor(x, intsAttribute(node, 'perm') ?? x.dims.map((_, i) => x.dims.length - 1 - i))],
  eightBit: moves,
}

const expand: OpDef = {
  type: 'Expand',
  shape(node) {
    const x = inputOf(node, 0)
    const rank = node.inputs[1] && staticShape(node.inputs[1])?.[0]
    const target = contentOf(node.inputs[1]) ?? (rank === undefined ? undefined : new Array<Dim>(rank).fill(undefined))
    return typed(x.dtype, x.shape && target && broadcastDims(node, x.shape, target))
  },
  vjp: unaryVjp((_, dy) => dy),
  channels(node) {
    const y = outputOf(node)
    // A constant target is rewritten, a length of an axis follows it; others that the graph computes cannot be told another one.
    const constant = constantOf(node.inputs[1]) !== undefined
    const lead = rankOf(y) - (contentOf(node.inputs[1])?.length ?? 0)
    const origins = (y.shape ?? []).flatMap((_, axis) => {
      const origin = originOf(node.inputs[1], axis - lead)
      return origin ? [link(origin, ref(y, axis))] : []
    })
    const followed = new Set(origins.map((l) => l.to.axis))
    const links = [...broadcastLinks([inputOf(node, 0)], y).filter((l) => constant || followed.has(l.to.axis)), ...origins]
    return {
      links,
      blocked: (y.shape ?? []).flatMap((_, axis) => (links.some((l) => l.to.axis === axis) ? [] : [{ ref: ref(y, axis), reason: 'Expand repeats one element along this axis, or computes its length' }])),
    }
  },
  patch(node, kept, edit) {
    const target = constantOf(node.inputs[1])
    const y = outputOf(node)
    if (!target) return
    const values = toNumbers(target)
    const lead = rankOf(y) - values.length
    const after = values.map((d, i) => (d === 1 ? d : (kept(ref(y, i + lead))?.length ?? d)))
    if (after.some((d, i) => d !== values[i])) edit.setConstant(node, 1, i64(after))
  },
  fold(_, [x, target]) {
    const out = x && target && expandTensor(x, toNumbers(target))
    return out && [out]
  },
  eightBit: moves,
}

const tile: OpDef = {
  type: 'Tile',
  shape(node) {
    const x = inputOf(node, 0)
    const repeats = contentOf(node.inputs[1])
    return typed(x.dtype, x.shape?.map((d, i) => {
      const count = repeats?.[i]
      return count === 1 ? d : typeof count === 'number' ? times(d, count) : undefined
    }))
  },
  vjp: unaryVjp((b, dy, x, y) => {
    const repeats = numbersOf(y.producer!.inputs[1])
    if (!repeats) throw new Error(`Tile "${y.producer!.name}": the gradient needs constant repeats`)
    const parts = b.reshape(dy, dimsOf(x).flatMap((d, i) => [repeats[i]!, d]))
    return b.sum(parts, repeats.map((_, i) => 2 * i))
  }),
  channels(node) {
    const x = inputOf(node, 0)
    const repeats = numbersOf(node.inputs[1])
    return {
      links: (repeats ? x.shape ?? [] : []).flatMap((d, axis) => {
        if (repeats![axis] === 1) return [link(ref(x, axis), ref(outputOf(node), axis))]
        return typeof d === 'number' ? [link(ref(x, axis), ref(outputOf(node), axis), repeat(d, repeats![axis]!))] : []
      }),
    }
  },
  eightBit: moves,
}

/** Keeps the triangle above or below a diagonal of the last two axes. */
const trilu: OpDef = {
  type: 'Trilu',
  shape: sameAs(0),
  vjp: (b, node, [dy]) => [dy && (() => b.op('Trilu', [dy, node.inputs[1]], { upper: intAttribute(node, 'upper', 1) }))],
  channels(node) {
    const x = inputOf(node, 0)
    const rank = rankOf(x)
    return {
      links: [...Array(Math.max(0, rank - 2)).keys()].map((axis) => link(ref(x, axis), ref(outputOf(node), axis))),
      blocked: [rank - 2, rank - 1].map((axis) => ({ ref: ref(x, axis), reason: 'Trilu keeps a triangle by position' })),
    }
  },
}

const blockSize = (node: Node): number => intAttribute(node, 'blocksize', 1)
const columnsFirst = (node: Node): boolean => stringAttribute(node, 'mode', 'DCR') === 'CRD'

const depthToSpace: OpDef = {
  type: 'DepthToSpace',
  shape(node) {
    const n = blockSize(node)
    const { dtype, shape } = inputOf(node, 0)
    return typed(dtype, shape && [shape[0], divided(shape[1], n * n), times(shape[2], n), times(shape[3], n)])
  },
  vjp: unaryVjp((b, dy, x, y) => {
    const n = blockSize(y.producer!)
    return columnsFirst(y.producer!) ? packColumnsFirst(b, dy, dimsOf(x), n) : b.op('SpaceToDepth', [dy], { blocksize: n })
  }),
  channels(node) {
    const x = inputOf(node, 0)
    const y = outputOf(node)
    const n2 = blockSize(node) ** 2
    const depth = y.shape?.[1]
    if (typeof depth !== 'number') return { links: [] }
    // DCR: input channel = position * depth + channel; CRD: channel * n^2 + position.
    return { links: [link(ref(x, 0), ref(y, 0)), link(ref(y, 1), ref(x, 1), columnsFirst(node) ? block(n2) : repeat(depth, n2))] }
  },
}

/** The inverse of DepthToSpace in CRD mode: [N,C,H n,W n] to [N,C n n,H,W]. */
function packColumnsFirst(b: Emitter, dy: Value, dims: readonly number[], n: number): Value {
  const [batch, depth, height, width] = dims as readonly [number, number, number, number]
  const parts = b.reshape(dy, [batch, depth / (n * n), height, n, width, n])
  return b.reshape(b.transpose(parts, [0, 1, 3, 5, 2, 4]), dims)
}

const spaceToDepth: OpDef = {
  type: 'SpaceToDepth',
  shape(node) {
    const n = blockSize(node)
    const { dtype, shape } = inputOf(node, 0)
    return typed(dtype, shape && [shape[0], times(shape[1], n * n), divided(shape[2], n), divided(shape[3], n)])
  },
  vjp: unaryVjp((b, dy, _, y) => b.op('DepthToSpace', [dy], { blocksize: blockSize(y.producer!) })),
  channels(node) {
    const x = inputOf(node, 0)
    const y = outputOf(node)
    const depth = x.shape?.[1]
    if (typeof depth !== 'number') return { links: [] }
    return { links: [link(ref(x, 0), ref(y, 0)), link(ref(x, 1), ref(y, 1), repeat(depth, blockSize(node) ** 2))] }
  },
}

export const movement: readonly OpDef[] = [concat, split, transpose, expand, tile, trilu, depthToSpace, spaceToDepth]
