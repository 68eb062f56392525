/** @file Fits a plan to a model: the plan names initializers, the model's own groups say what else is cut with them. */
import type { Model, Value } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import type { KeptIndices } from '../ops/define.ts'
import { refuseUnprunable } from './channel-links.ts'
import { type ChannelGroup, findGroups, indicesOf } from './groups.ts'
import { mergeCuts, type PrunePlan, without } from './plan.ts'

/** What a plan removes from a model. */
export interface ResolvedCut {
  /** Kept indices by value and axis, for every axis that is cut. */
  readonly axes: ReadonlyMap<Value, ReadonlyMap<number, readonly number[]>>
  readonly kept: KeptIndices
}

/**
 * Checks that the plan cuts whole units of prunable groups of this model and nothing else, and returns every axis that is cut.
 * Throws UserError, naming `source` (the plan's file), where it does not fit.
 */
export function resolvePlan(model: Model, plan: PrunePlan, source = 'the plan'): ResolvedCut {
  refuseUnprunable(model)
  const removed = droppedIndices(model, plan, source)
  const lost = new Map<Value, Map<number, Set<number>>>()
  for (const group of findGroups(model)) {
    const units = removedUnits(group, removed, source)
    if (units.length === 0) continue
    if (!group.prunable) throw new UserError(`${source}: cuts channels of "${group.id}", which must stay whole: ${group.reason}`)
    for (const member of group.members) {
      const axes = lost.get(member.value) ?? new Map<number, Set<number>>()
      lost.set(member.value, axes)
      const all = axes.get(member.axis) ?? new Set<number>()
      axes.set(member.axis, all)
      for (const index of indicesOf(member, units)) all.add(index)
    }
  }
  for (const [value, axes] of removed) {
    for (const [axis, gone] of axes) {
      const odd = [...gone].find((i) => !lost.get(value)?.get(axis)?.has(i))
      if (odd !== undefined) throw new UserError(`${source}: index ${odd} on axis ${axis} of "${value.name}" belongs to no channel group of this model; was the plan made for another one?`)
    }
  }
  const axes = new Map([...lost].map(([value, byAxis]) => [value, new Map([...byAxis].map(([axis, gone]) => [axis, without(lengthOf(value, axis), gone)]))]))
  return { axes, kept: ({ value, axis }) => axes.get(value)?.get(axis) }
}

function lengthOf(value: Value, axis: number): number {
  const dim = value.shape?.[axis]
  if (typeof dim !== 'number') throw new Error(`axis ${axis} of "${value.name}" has no known length`)
  return dim
}

function droppedIndices(model: Model, plan: PrunePlan, source: string): Map<Value, Map<number, Set<number>>> {
  const initializers = new Map(model.graph.initializers.map((v) => [v.name, v]))
  const dropped = new Map<Value, Map<number, Set<number>>>()
  for (const { name, axis, length, keep } of mergeCuts(plan, source)) {
    const value = initializers.get(name)
    const dims = value?.initializer?.dims
    const hint = plan.model ? `; it was made for ${plan.model.file}` : '; was it made for another model?'
    if (!value || !dims) throw new UserError(`${source}: names the initializer "${name}", which the model lacks${hint}`)
    if (dims[axis] === undefined) throw new UserError(`${source}: cuts axis ${axis} of "${name}", which has only ${dims.length} axes${hint}`)
    if (dims[axis] !== length) throw new UserError(`${source}: axis ${axis} of "${name}" should be ${length} long, in this model it is ${dims[axis]}${hint}`)
    const beyond = keep.find((i) => i >= length)
    if (beyond !== undefined) throw new UserError(`${source}: keeps index ${beyond} on axis ${axis} of "${name}", which is ${length} long`)
    const axes = dropped.get(value) ?? new Map<number, Set<number>>()
    dropped.set(value, axes.set(axis, new Set(without(length, keep))))
  }
  return dropped
}

/** Units that the plan removes from every tied initializer; throws where it removes them from some only. */
function removedUnits(group: ChannelGroup, removed: ReadonlyMap<Value, ReadonlyMap<number, ReadonlySet<number>>>, source: string): number[] {
  const weights = group.members.filter((m) => m.value.initializer)
  if (!weights.some((m) => removed.get(m.value)?.get(m.axis)?.size)) return []
  const units: number[] = []
  for (let k = 0; k < group.channels; k++) {
    const cut = (m: (typeof weights)[number]): number => {
      const gone = removed.get(m.value)?.get(m.axis)
      return gone ? indicesOf(m, [k]).filter((i) => gone.has(i)).length : 0
    }
    const hit = weights.find((m) => cut(m) > 0)
    if (!hit) continue
    const whole = weights.find((m) => cut(m) < m.perUnit)
    if (whole) {
      const place = (m: (typeof weights)[number]): string => `${indicesOf(m, [k]).join(', ')} on axis ${m.axis} of "${m.value.name}"`
      throw new UserError(`${source}: cuts ${place(hit)} but not all of ${place(whole)}, which is tied to it; cut both or neither`)
    }
    units.push(k)
  }
  return units
}
