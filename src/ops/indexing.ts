/** @file Gather, Scatter and their kin: elements picked and placed by index. */
import { intAttribute, stringAttribute } from '../ir/attributes.ts'
import { constantOf, dimsOf, type Node, type Value } from '../ir/graph.ts'
import { i64, sizeOf, tensor, toNumbers } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import { type ChannelRule, type KeptIndices, opaque, type OpDef, type PatchEdit, type Vjp } from './define.ts'
import { moves } from './eight-bit.ts'
import { gatherTensor } from './fold.ts'
import { table } from './index-map.ts'
import { inputOf, link, outputOf, ref, sameAs, typed, wrapAxis, zerosLike } from './rules.ts'
import { numbersOf } from './shape-data.ts'

const axisOf = (node: Node): number => wrapAxis(intAttribute(node, 'axis', 0), inputOf(node, 0).shape?.length ?? 0)

/** Adds `updates` into zeros of `dims` at `indices` (of the updates' shape); equal indices add up. */
function scatterAdd(b: Emitter, dims: readonly number[], indices: Value, updates: Value, axis: number): Value {
  return b.op('ScatterElements', [zerosLike(b, dims), indices, updates], { axis, reduction: 'add' })
}

const gatherVjp: Vjp = (b, node, [dy]) => {
  const dims = dimsOf(inputOf(node, 0))
  const indices = inputOf(node, 1)
  const axis = axisOf(node)
  const back = (flowing: Value): Value => {
    const count = sizeOf(dimsOf(indices))
    const rows = dims.map((d, i) => (i === axis ? count : d))
    const updates = b.reshape(flowing, rows)
    const begin = consecutive(constantOf(indices) && numbersOf(indices), dims[axis]!)
    if (begin !== undefined) {
      const pads = [...dims.map((_, i) => (i === axis ? begin : 0)), ...dims.map((d, i) => (i === axis ? d - begin - count : 0))]
      return b.op('Pad', [updates, b.ints(pads)])
    }
    const inverse = invert(constantOf(indices) && numbersOf(indices), dims[axis]!)
    if (inverse) {
      // Adding up by index costs many times more than picking; what was not picked finds a zero at the end.
      const complete = count === dims[axis]!
      const ends = complete ? updates : b.op('Pad', [updates, b.ints([...dims.map(() => 0), ...dims.map((_, i) => (i === axis ? 1 : 0))])])
      return b.op('Gather', [ends, b.ints(inverse)], { axis })
    }
    const column = b.reshape(indices, dims.map((_, i) => (i === axis ? count : 1)))
    return scatterAdd(b, dims, b.op('Expand', [column, b.ints(rows)]), updates, axis)
  }
  return [dy && (() => back(dy))]
}

/** The first of indices that count upwards one by one: then the gradient is mere padding. */
function consecutive(indices: readonly number[] | undefined, length: number): number | undefined {
  const first = indices?.[0]
  if (first === undefined) return undefined
  const begin = first < 0 ? first + length : first
  return indices!.every((v, i) => (v < 0 ? v + length : v) === begin + i) ? begin : undefined
}

/** Where each of `length` elements was put by indices that are all different; one past the last where nowhere. */
function invert(indices: readonly number[] | undefined, length: number): number[] | undefined {
  if (!indices) return undefined
  const places = new Array<number>(length).fill(indices.length)
  for (const [j, v] of indices.entries()) {
    const i = v < 0 ? v + length : v
    if (places[i] !== indices.length) return undefined
    places[i] = j
  }
  return places
}

/** The constant indices of a Gather that keeps its axis (a vector of them), non-negative. */
function tableOf(node: Node): number[] | undefined {
  const constant = constantOf(node.inputs[1])
  const length = inputOf(node, 0).shape?.[axisOf(node)]
  if (constant?.dims.length !== 1 || typeof length !== 'number') return undefined
  return toNumbers(constant).map((v) => (v < 0 ? v + length : v))
}

const gatherChannels: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  const axis = axisOf(node)
  const rank = inputOf(node, 1).shape?.length
  if (rank === undefined) return { links: [] }
  const indices = tableOf(node)
  const links = (x.shape ?? []).flatMap((_, i) => (i === axis ? [] : [link(ref(x, i), ref(y, i < axis ? i : i + rank - 1))]))
  if (indices) return { links: [...links, link(ref(x, axis), ref(y, axis), table(indices))] }
  return { links, blocked: [{ ref: ref(x, axis), reason: 'Gather picks from this axis by a single or computed index' }] }
}

function patchGather(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const axis = axisOf(node)
  const left = kept(ref(inputOf(node, 0), axis))
  const indices = tableOf(node)
  if (!left || !indices) return
  const position = new Map(left.map((k, i) => [k, i]))
  const after = indices.flatMap((k) => position.get(k) ?? [])
  const constant = constantOf(node.inputs[1])!
  edit.setConstant(node, 1, constant.dtype === 'int32' ? tensor('int32', [after.length], Int32Array.from(after)) : i64(after))
}

const gather: OpDef = {
  type: 'Gather',
  shape(node) {
    const x = inputOf(node, 0)
    const indices = inputOf(node, 1).shape
    const axis = axisOf(node)
    return typed(x.dtype, x.shape && indices && [...x.shape.slice(0, axis), ...indices, ...x.shape.slice(axis + 1)])
  },
  vjp: gatherVjp,
  channels: gatherChannels,
  patch: patchGather,
  fold(node, [x, indices]) {
    if (x && indices) {
      const out = gatherTensor(x, indices, wrapAxis(intAttribute(node, 'axis', 0), x.dims.length))
      return out && [out]
    }
    // Single lengths of a shape that is not known in full.
    const known = node.inputs[0]?.producer?.opType === 'Shape' && indices ? numbersOf(outputOf(node)) : undefined
    return known && [i64(known, indices!.dims)]
  },
  eightBit: moves,
}

const gatherElements: OpDef = {
  type: 'GatherElements',
  shape: (node) => typed(inputOf(node, 0).dtype, inputOf(node, 1).shape),
  vjp: (b, node, [dy]) => [dy && (() => scatterAdd(b, dimsOf(inputOf(node, 0)), inputOf(node, 1), dy, axisOf(node)))],
  channels: opaque('every element is picked by an index of its own'),
}

/**
 * Scatters and the op that reads back what was put: for reduction "none" the indices must be unique (as ONNX demands), else the gradient of
 * the updates is not defined.
 */
function scatterVjp(scatter: string, gather: string, attributes: (node: Node) => Record<string, number>): Vjp {
  return (b, node, [dy]) => {
    const indices = inputOf(node, 1)
    const reduction = stringAttribute(node, 'reduction', 'none')
    if (!dy) return []
    if (reduction !== 'none' && reduction !== 'add') throw new Error(`${node.opType} "${node.name}": no gradient for reduction "${reduction}"`)
    const untouched = (): Value => b.op(scatter, [dy, indices, zerosLike(b, dimsOf(inputOf(node, 2)))], attributes(node))
    return [() => (reduction === 'none' ? untouched() : dy), undefined, () => b.op(gather, [dy, indices], attributes(node))]
  }
}

const scatterElementsVjp = scatterVjp('ScatterElements', 'GatherElements', (node) => ({ axis: axisOf(node) }))

const gatherND: OpDef = {
  type: 'GatherND',
  shape(node) {
    const x = inputOf(node, 0)
    const indices = inputOf(node, 1).shape
    const picked = indices?.at(-1)
    const batch = intAttribute(node, 'batch_dims', 0)
    const known = x.shape && indices && typeof picked === 'number'
    return typed(x.dtype, known ? [...indices.slice(0, -1), ...x.shape!.slice(batch + picked)] : undefined)
  },
  vjp(b, node, [dy]) {
    const back = (flowing: Value): Value => {
      if (intAttribute(node, 'batch_dims', 0) !== 0) throw new Error(`GatherND "${node.name}": no gradient with batch_dims`)
      return b.op('ScatterND', [zerosLike(b, dimsOf(inputOf(node, 0))), inputOf(node, 1), flowing], { reduction: 'add' })
    }
    return [dy && (() => back(dy))]
  },
  channels: opaque('elements are picked by index tuples'),
}

export const indexing: readonly OpDef[] = [
  gather,
  gatherElements,
  // Scatter is what it was called before opset 11.
  ...['ScatterElements', 'Scatter'].map((type): OpDef => ({ type, shape: sameAs(0), vjp: scatterElementsVjp, channels: opaque('every element is placed by an index of its own') })),
  gatherND,
  { type: 'ScatterND', shape: sameAs(0), vjp: scatterVjp('ScatterND', 'GatherND', () => ({})), channels: opaque('elements are placed by index tuples') },
]
