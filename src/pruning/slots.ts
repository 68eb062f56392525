/** @file Union-find over slots: one slot for each index of each axis of each value, with the reason why a class stays whole. */
import type { Model, Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import type { AxisRef } from '../ops/define.ts'
import { forEachPair, type IndexMap } from '../ops/index-map.ts'

/** One axis of a value and where its slots lie. */
export interface AxisSlots {
  readonly value: Value
  readonly axis: number
  readonly start: number
  /** 0 where the length is not known. */
  readonly length: number
}

export interface SlotTable {
  readonly axes: readonly AxisSlots[]
  /** The axis called by `ref`, or undefined where the value has no known rank or no such axis. */
  axisOf(ref: AxisRef): AxisSlots | undefined
  /** The number that stands for the slot's class. */
  find(slot: number): number
  tie(from: AxisRef, to: AxisRef, map: IndexMap): void
  /** Keeps every slot of an axis whole. The first reason given is the one that is told. */
  block(ref: AxisRef, reason: string): void
  /** Why the class of `slot` stays whole; undefined where it may be cut. */
  reasonOf(slot: number): string | undefined
}

export function createSlots(model: Model): SlotTable {
  const axes: AxisSlots[] = []
  const firstAxis = new Map<Value, number>()
  let total = 0
  for (const value of valuesOf(model.graph)) {
    if (!value.shape) continue
    firstAxis.set(value, axes.length)
    for (const [axis, dim] of value.shape.entries()) {
      const length = typeof dim === 'number' ? dim : 0
      axes.push({ value, axis, start: total, length })
      total += length
    }
  }
  const parent = Int32Array.from({ length: total }, (_, i) => i)
  const reasonAt = new Int32Array(total)
  const reasons: string[] = []
  const blockedAxes = new Set<AxisSlots>()

  const axisOf = ({ value, axis }: AxisRef): AxisSlots | undefined => {
    const first = firstAxis.get(value)
    return first === undefined || axis < 0 || axis >= value.shape!.length ? undefined : axes[first + axis]
  }
  const find = (slot: number): number => {
    while (parent[slot] !== slot) {
      parent[slot] = parent[parent[slot]!]!
      slot = parent[slot]!
    }
    return slot
  }
  const earlier = (a: number, b: number): number => (a === 0 ? b : b === 0 ? a : Math.min(a, b))
  const union = (a: number, b: number): void => {
    const x = find(a)
    const y = find(b)
    if (x === y) return
    const [low, high] = x < y ? [x, y] : [y, x]
    parent[high] = low
    reasonAt[low] = earlier(reasonAt[low]!, reasonAt[high]!)
  }
  const block = (ref: AxisRef, reason: string): void => {
    const at = axisOf(ref)
    if (!at || blockedAxes.has(at)) return
    blockedAxes.add(at)
    reasons.push(reason)
    for (let i = 0; i < at.length; i++) {
      const root = find(at.start + i)
      reasonAt[root] = earlier(reasonAt[root]!, reasons.length)
    }
  }
  return {
    axes,
    axisOf,
    find,
    block,
    tie(from, to, map) {
      const a = axisOf(from)
      const b = axisOf(to)
      if (a?.length && b?.length) forEachPair(map, a.length, b.length, (i, j) => union(a.start + i, b.start + j))
      else {
        // One side cannot be followed: the other must stay as it is.
        if (a?.length) block(from, `axis ${to.axis} of "${to.value.name}", tied to it, has no known length`)
        if (b?.length) block(to, `axis ${from.axis} of "${from.value.name}", tied to it, has no known length`)
      }
    },
    reasonOf(slot) {
      const reason = reasonAt[find(slot)]!
      return reason === 0 ? undefined : reasons[reason - 1]
    },
  }
}
