/** @file Prune plans: which original indices of which initializers are kept. Plain JSON, replayable on the original file or the checkpoint it came from. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import { type ChannelGroup, indicesOf } from './groups.ts'

const cutSchema = z
  .strictObject({
    /** Name of the initializer. */
    name: z.string(),
    axis: z.int().nonnegative(),
    /** Length of the axis before the cut. */
    length: z.int().positive(),
    /** Indices that this group keeps, ascending; what belongs to other groups of the same axis is kept here too. */
    keep: z.array(z.int().nonnegative()).min(1, 'keeps nothing; at least one index must stay'),
  })
  .superRefine(({ name, length, keep }, context) => {
    const at = keep.findIndex((index, i) => index >= length || (i > 0 && index <= keep[i - 1]!))
    if (at < 0) return
    const fault = keep[at]! >= length ? `is beyond its axis of length ${length}` : 'is out of order or there twice'
    context.addIssue({ code: 'custom', path: ['keep', at], message: `index ${keep[at]} of "${name}" ${fault}` })
  })

const groupSchema = z.strictObject({
  id: z.string(),
  channelsBefore: z.int().positive(),
  channelsAfter: z.int().positive(),
  initializers: z.array(cutSchema).min(1),
})

const planSchema = z.strictObject({
  version: z.literal(1),
  /** The file that the indices belong to. */
  model: z.strictObject({ file: z.string(), sha256: z.string().optional() }).optional(),
  /** How the channels were chosen. */
  method: z.string(),
  seed: z.union([z.number(), z.string()]).optional(),
  groups: z.array(groupSchema),
})

/** Where several groups share an axis, what all of them keep is kept. */
export type PrunePlan = z.infer<typeof planSchema>
type Cut = z.infer<typeof cutSchema>
type PlanGroup = z.infer<typeof groupSchema>

/** What a plan says beside its groups. */
export type PlanOrigin = Pick<PrunePlan, 'model' | 'method' | 'seed'>

/**
 * A plan that keeps the given units of each group (by group id); groups that are left out or keep all their units stay whole.
 * Throws UserError where a group is unknown or must stay whole, or its units are wrong.
 */
export function makePlan(groups: readonly ChannelGroup[], keptUnits: ReadonlyMap<string, readonly number[]>, origin: PlanOrigin): PrunePlan {
  const byId = new Map(groups.map((g) => [g.id, g]))
  for (const id of keptUnits.keys()) {
    if (!byId.has(id)) throw new UserError(`the model has no channel group "${id}"; its groups are: ${[...byId.keys()].join(', ')}`)
  }
  const planned: PlanGroup[] = []
  for (const group of groups) {
    const kept = keptUnits.get(group.id)
    if (!kept) continue
    const units = new Set(kept)
    for (const unit of units) {
      if (!Number.isInteger(unit) || unit < 0 || unit >= group.channels) throw new UserError(`group "${group.id}" has no channel ${unit}: it has ${group.channels}`)
    }
    if (units.size !== kept.length) throw new UserError(`group "${group.id}": a channel is listed twice among those to keep`)
    if (units.size === 0) throw new UserError(`group "${group.id}" would lose all its channels; keep at least one`)
    if (units.size === group.channels) continue
    if (!group.prunable) throw new UserError(`group "${group.id}" cannot be cut: ${group.reason}`)
    const removed = Array.from({ length: group.channels }, (_, k) => k).filter((k) => !units.has(k))
    planned.push({ id: group.id, channelsBefore: group.channels, channelsAfter: units.size, initializers: cutsOf(group, removed) })
  }
  return { version: 1, ...origin, groups: planned }
}

function cutsOf(group: ChannelGroup, removed: readonly number[]): Cut[] {
  return group.members.flatMap((member) => {
    const dims = member.value.initializer?.dims
    if (!dims) return []
    const length = dims[member.axis]!
    return [{ name: member.value.name, axis: member.axis, length, keep: without(length, indicesOf(member, removed)) }]
  })
}

/** 0..length-1 without `removed`. */
export function without(length: number, removed: Iterable<number>): number[] {
  const gone = new Set(removed)
  return Array.from({ length }, (_, i) => i).filter((i) => !gone.has(i))
}

/** Reads a plan; throws UserError naming `file` and the place of the fault. */
export function parsePlan(text: string, file: string): PrunePlan {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${file}: is no JSON; a plan written by espalier was wanted`, { cause })
  }
  const parsed = planSchema.safeParse(json)
  if (!parsed.success) throw new UserError(`${file}: is no valid prune plan:\n${z.prettifyError(parsed.error)}`)
  mergeCuts(parsed.data, file)
  return parsed.data
}

/** What one axis of one initializer keeps, over all groups of a plan. */
export interface MergedCut {
  readonly name: string
  readonly axis: number
  readonly length: number
  readonly keep: readonly number[]
}

/** The cuts of a plan, one for each (initializer, axis): the intersection of what its groups keep. */
export function mergeCuts(plan: PrunePlan, source = 'the plan'): MergedCut[] {
  const merged = new Map<string, MergedCut>()
  for (const group of plan.groups) {
    for (const { name, axis, length, keep } of group.initializers) {
      const key = keyOf({ name, axis })
      const other = merged.get(key)
      if (other && other.length !== length) {
        throw new UserError(`${source}: group "${group.id}" says that axis ${axis} of "${name}" is ${length} long, another group says ${other.length}; the plan is mixed from two models`)
      }
      const here = other && new Set(keep)
      const both = other && here ? other.keep.filter((i) => here.has(i)) : keep
      if (both.length === 0) throw new UserError(`${source}: its groups together keep nothing of axis ${axis} of "${name}"; at least one index must stay`)
      merged.set(key, { name, axis, length, keep: both })
    }
  }
  return [...merged.values()]
}

/**
 * One plan for two cuts in a row: `second` was made on the model that `first` leaves. The result is in the indices that `first`
 * is in, so a working copy that is cut step by step has one plan for the original file. Throws where the first cut changed the groups themselves.
 */
export function composePlans(first: PrunePlan, second: PrunePlan): PrunePlan {
  const before = new Map(mergeCuts(first).map((cut) => [keyOf(cut), cut]))
  const groups = new Map<string, PlanGroup>(first.groups.map((g) => [g.id, g]))
  for (const step of second.groups) {
    const earlier = groups.get(step.id)
    if (earlier && earlier.channelsAfter !== step.channelsBefore) {
      throw new Error(`group "${step.id}" has ${earlier.channelsAfter} channels after the first plan, the second starts from ${step.channelsBefore}; no one plan can say both where a cut changes what belongs together, as it does where a grouped convolution is left with one channel a group`)
    }
    const own = new Map(earlier?.initializers.map((cut) => [keyOf(cut), cut]))
    for (const cut of step.initializers) {
      const key = keyOf(cut)
      const cutBefore = before.get(key)
      if ((cutBefore?.keep.length ?? cut.length) !== cut.length) {
        throw new Error(`axis ${cut.axis} of "${cut.name}" has ${cutBefore?.keep.length} entries after the first plan, the second starts from ${cut.length}`)
      }
      const original = cutBefore?.keep ?? without(cut.length, [])
      const stays = new Set(cut.keep)
      const gone = original.filter((_, i) => !stays.has(i))
      const length = cutBefore?.length ?? cut.length
      const ownBefore = own.get(key)?.keep ?? without(length, [])
      const lost = new Set(gone)
      own.set(key, { name: cut.name, axis: cut.axis, length, keep: ownBefore.filter((i) => !lost.has(i)) })
    }
    groups.set(step.id, {
      id: step.id,
      channelsBefore: earlier?.channelsBefore ?? step.channelsBefore,
      channelsAfter: step.channelsAfter,
      initializers: [...own.values()],
    })
  }
  return { ...first, method: first.method === second.method ? first.method : `${first.method}, ${second.method}`, groups: [...groups.values()] }
}

function keyOf({ name, axis }: { name: string; axis: number }): string {
  return `${axis} ${name}`
}
