/** @file Gradient of Resize: with static shapes nearest and linear resizing are products with one constant matrix an axis. */
import { intAttribute, intsAttribute, stringAttribute } from '../ir/attributes.ts'
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import { f32, sizeOf } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import type { Vjp } from './define.ts'
import { inputOf, outputOf, wrapAxis } from './rules.ts'
import { numbersOf } from './shape-data.ts'

/** Throws UserError for the forms that have no gradient here: cubic, antialiased, cropping. */
export const resizeVjp: Vjp = (b, node, [dy]) => dy ? [() => {
  const from = dimsOf(inputOf(node, 0))
  const to = dimsOf(outputOf(node))
  const changed = from.flatMap((n, axis) => (n === to[axis] ? [] : [axis]))
  const tables = changed.map((axis) => rowsOf(node, axis, from[axis]!, to[axis]!))
  const factor = commonBlock(tables)
  // Nearest by a whole factor: every input owns a block of outputs.
  if (factor !== undefined && changed.every((axis) => axis >= 2)) return sumBlocks(b, dy, from, changed, factor)
  let g = dy
  changed.forEach((axis, i) => (g = contract(b, g, axis, tables[i]!, from[axis]!)))
  return g
}] : []

/** One output's weights: pairs of input index and weight. */
export type Row = readonly (readonly [number, number])[]

function rowsOf(node: Node, axis: number, from: number, to: number): Row[] {
  const mode = stringAttribute(node, 'mode', 'nearest')
  const coordinates = stringAttribute(node, 'coordinate_transformation_mode', node.opType === 'Upsample' ? 'asymmetric' : 'half_pixel')
  const rounding = stringAttribute(node, 'nearest_mode', 'round_prefer_floor')
  if ((mode !== 'nearest' && mode !== 'linear') || intAttribute(node, 'antialias', 0) !== 0) {
    throw new UserError(`${node.opType} "${node.name}": mode ${mode}${mode === 'linear' ? ' with antialias' : ''} has no gradient; use nearest or linear, or prune a part that does not need its gradient`)
  }
  const scale = scaleOf(node, axis) ?? to / from
  return Array.from({ length: to }, (_, i) => {
    const at = sourceOf(node, coordinates, i, from, to, scale)
    if (mode === 'nearest') return [[clamp(round(at, rounding), from), 1]]
    const place = Math.min(Math.max(at, 0), from - 1)
    const low = Math.floor(place)
    const part = place - low
    return part === 0 ? [[low, 1]] : [[low, 1 - part], [low + 1, part]]
  })
}

function scaleOf(node: Node, axis: number): number | undefined {
  const scales = numbersOf(node.inputs[2])
  if (!scales || scales.length === 0) return undefined
  const axes = intsAttribute(node, 'axes')?.map((a) => wrapAxis(a, dimsOf(inputOf(node, 0)).length))
  return scales[axes ? axes.indexOf(axis) : axis]
}

/** Where output i reads the input, by ONNX's coordinate transformations. */
function sourceOf(node: Node, coordinates: string, i: number, from: number, to: number, scale: number): number {
  switch (coordinates) {
    case 'half_pixel': return (i + 0.5) / scale - 0.5
    case 'pytorch_half_pixel': return to > 1 ? (i + 0.5) / scale - 0.5 : 0
    case 'align_corners': return to > 1 ? (i * (from - 1)) / (to - 1) : 0
    case 'asymmetric': return i / scale
    default: throw new UserError(`${node.opType} "${node.name}": coordinate_transformation_mode ${coordinates} has no gradient; use half_pixel, align_corners or asymmetric`)
  }
}

function round(x: number, mode: string): number {
  switch (mode) {
    case 'floor': return Math.floor(x)
    case 'ceil': return Math.ceil(x)
    case 'round_prefer_ceil': return Math.floor(x + 0.5)
    default: return Math.ceil(x - 0.5)
  }
}

function clamp(i: number, length: number): number {
  return Math.min(Math.max(i, 0), length - 1)
}

/** The factor, where every table sends output i to input floor(i / factor), one factor for all. */
function commonBlock(tables: readonly (readonly Row[])[]): number | undefined {
  const first = tables[0]
  if (!first) return undefined
  const factor = first.filter((row) => row[0]![0] === 0).length
  const isBlock = (rows: readonly Row[]): boolean => rows.length % factor === 0 && rows.every((row, i) => row.length === 1 && row[0]![0] === Math.floor(i / factor))
  return factor > 1 && tables.every(isBlock) ? factor : undefined
}

/** Average of each block times its size. */
function sumBlocks(b: Emitter, dy: Value, from: readonly number[], axes: readonly number[], factor: number): Value {
  const kernel = from.slice(2).map((_, i) => (axes.includes(i + 2) ? factor : 1))
  return b.mul(b.op('AveragePool', [dy], { kernel_shape: kernel, strides: kernel }), b.scalar(sizeOf(kernel)))
}

/** dy contracted along `axis` with the matrix [to,from] that the rows spell out: the gradient of what they compute. */
export function contract(b: Emitter, dy: Value, axis: number, rows: readonly Row[], from: number): Value {
  const matrix = new Float32Array(rows.length * from)
  rows.forEach((row, i) => row.forEach(([j, weight]) => (matrix[i * from + j]! += weight)))
  const weights = b.constant(f32(matrix, [rows.length, from]), 'resize')
  const rank = dimsOf(dy).length
  const swap = Array.from({ length: rank }, (_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i))
  if (axis === rank - 1) return b.op('MatMul', [dy, weights])
  return b.transpose(b.op('MatMul', [b.transpose(dy, swap), weights]), swap)
}
