/** @file How much of a model channel pruning reaches. */
import type { Model, Value } from '../ir/graph.ts'
import { lookup } from '../ops/registry.ts'
import { type ChannelGroup, indicesOf, wholeReason } from './groups.ts'

export interface WeightShare {
  /** Name of the weight. */
  readonly name: string
  /** Its elements. */
  readonly params: number
  /** Share of its elements with an index, on the output or the input axis, that a group holds which can lose some. */
  readonly prunable: number
  /** Share of its elements that go when every prunable group keeps a single unit. */
  readonly removable: number
}

/** Over all weights of ops that mix channels (kernels of Conv and Gemm; no biases, no statistics). */
export interface PrunableShare extends Omit<WeightShare, 'name'> {
  /** In graph order, each weight once. */
  readonly weights: readonly WeightShare[]
}

/** The share of the weights that the groups of `model` reach, and the share that they could remove. */
export function prunableShare(model: Model, groups: readonly ChannelGroup[]): PrunableShare {
  const held: Axes = new Map()
  const lost: Axes = new Map()
  for (const group of groups) {
    // A group of one unit keeps it.
    if (wholeReason(group) !== undefined) continue
    const units = Array.from({ length: group.channels }, (_, k) => k)
    for (const member of group.members) {
      if (!member.value.initializer) continue
      mark(held, member.value, member.axis, indicesOf(member, units))
      mark(lost, member.value, member.axis, indicesOf(member, units.slice(1)))
    }
  }
  const weights = [...weightsOf(model)].map((value): WeightShare => {
    const { dims, data } = value.initializer!
    return { name: value.name, params: data.length, prunable: covered(held.get(value), dims), removable: covered(lost.get(value), dims) }
  })
  const params = weights.reduce((n, w) => n + w.params, 0)
  const total = (key: 'prunable' | 'removable'): number => (params === 0 ? 0 : weights.reduce((n, w) => n + w.params * w[key], 0) / params)
  return { params, prunable: total('prunable'), removable: total('removable'), weights }
}

/** Indices by value and axis. */
type Axes = Map<Value, Map<number, Set<number>>>

function mark(axes: Axes, value: Value, axis: number, indices: readonly number[]): void {
  const byAxis = axes.get(value) ?? new Map<number, Set<number>>()
  axes.set(value, byAxis)
  const marked = byAxis.get(axis) ?? new Set<number>()
  byAxis.set(axis, marked)
  for (const i of indices) marked.add(i)
}

/** Share of the elements with a marked index on some axis. */
function covered(marked: ReadonlyMap<number, ReadonlySet<number>> | undefined, dims: readonly number[]): number {
  return 1 - dims.reduce((left, length, axis) => left * (1 - (marked?.get(axis)?.size ?? 0) / length), 1)
}

/** Constants that ops which mix channels have for kernels; where such an op's axes are not understood, its weight counts all the same. */
function weightsOf(model: Model): Set<Value> {
  const found = new Set<Value>()
  for (const node of model.graph.nodes) {
    const weight = node.inputs[lookup(node.opType, node.domain)?.scored?.input ?? -1]
    if (weight?.initializer) found.add(weight)
  }
  return found
}
