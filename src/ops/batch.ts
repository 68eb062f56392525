/** @file Constants that bake a batch of 1 into a node, by op: what they become when the batch grows. */
import { intsAttribute } from '../ir/attributes.ts'
import type { Node } from '../ir/graph.ts'
import { i64, sizeOf, type Tensor, toNumbers } from '../tensor/tensor.ts'
import { wrapAxis } from './rules.ts'
import { numbersOf } from './shape-data.ts'

/** How the node's first input grew, and what its first output was. */
export interface Growth {
  /** Shape of input 0 before. */
  readonly before: readonly number[]
  /** Shape of input 0 now. */
  readonly now: readonly number[]
  /** The axis on which they differ: the batch is the slowest part of its index. */
  readonly axis: number
  readonly factor: number
  /** Shape of output 0 before. */
  readonly output: readonly number[]
}

/** New constant inputs of a node, by input index; undefined where it needs none. Called only when input 0 grew. */
export type BatchRule = (node: Node, growth: Growth) => ReadonlyMap<number, Tensor> | undefined

/** The batch stays behind the same leading axes: row-major order is kept, so its axis is found by the product before it. */
const reshape: BatchRule = (node, { before, now, axis, factor, output }) => {
  const lead = sizeOf(before.slice(0, axis))
  const candidates = output.map((_, j) => j).filter((j) => sizeOf(output.slice(0, j)) === lead)
  const at = candidates.find((j) => output[j] === 1) ?? candidates[0]
  if (at === undefined) throw new Error(`Reshape "${node.name}" mixes the batch axis with others`)
  const wanted = output.map((d, j) => (j === at ? d * factor : d))
  const target = numbersOf(node.inputs[1])
  if (target && resolve(target, now)?.join() === wanted.join()) return undefined
  return new Map([[1, i64(wanted)]])
}

/** The shape a Reshape target stands for (0: as the input's, -1: what is left); undefined where it does not fit. */
function resolve(target: readonly number[], input: readonly number[]): number[] | undefined {
  const dims = target.map((d, i) => (d === 0 ? (input[i] ?? 0) : d))
  const known = sizeOf(dims.filter((d) => d !== -1))
  const rest = sizeOf(input) / known
  const out = dims.map((d) => (d === -1 ? rest : d))
  return Number.isInteger(rest) && sizeOf(out) === sizeOf(input) ? out : undefined
}

const resize: BatchRule = (node, { axis, factor, now }) => {
  const sizes = numbersOf(node.inputs[3])
  if (!sizes?.length) return undefined
  const axes = intsAttribute(node, 'axes')?.map((a) => wrapAxis(a, now.length)) ?? now.map((_, i) => i)
  const at = axes.indexOf(axis)
  return at < 0 || sizes[at] === now[axis] ? undefined : new Map([[3, i64(sizes.map((d, i) => (i === at ? d * factor : d)))]])
}

/** Beyond any axis: ends of 2^63 - 1 ("to the last") are no exact plain numbers. */
const farOff = 2 ** 31 - 1

/** A slice that took the whole batch axis goes on doing so. */
const slice: BatchRule = (node, { axis, before, now, output }) => {
  const ends = numbersOf(node.inputs[2])
  if (!ends || output[axis] !== before[axis]) return undefined
  const axes = numbersOf(node.inputs[3])?.map((a) => wrapAxis(a, now.length)) ?? ends.map((_, i) => i)
  const at = axes.indexOf(axis)
  const steps = node.inputs[4]?.initializer && toNumbers(node.inputs[4].initializer)
  if (at < 0 || ends[at]! >= now[axis]! || (steps && steps[at]! < 0)) return undefined
  return new Map([[2, i64(ends.map((e, i) => (i === at ? now[axis]! : Math.max(-farOff, Math.min(e, farOff)))))]])
}

export const batchRules: Readonly<Record<string, BatchRule>> = { Reshape: reshape, Resize: resize, Slice: slice }
