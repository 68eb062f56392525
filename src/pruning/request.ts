/** @file What a pruning is asked for: the budget as the user gives it, the groups that may pay for it, one step of several. */
import type { Model } from '../ir/graph.ts'
import { savedSize } from '../onnx/save.ts'
import { modelCost } from '../passes/cost.ts'
import { UserError } from '../tensor/error.ts'
import { refuseUnprunable } from './channel-links.ts'
import type { BudgetGoals, BudgetOptions, Reference } from './goals.ts'
import { perUnit } from './group-widths.ts'
import { type ChannelGroup, findGroups } from './groups.ts'
import { withoutKept } from './keep.ts'
import type { LatencyLimit, WidthsOptions } from './widths.ts'

/** "inner": channels that one layer produces, as the paper prunes; "all": residual streams too. */
export type GroupChoice = 'inner' | 'all'

/** "uniform": each group keeps the best of its own; "global": the channels of all groups stand in one order, on the model before the cut. */
export const rankings = ['uniform', 'global'] as const
export type Ranking = (typeof rankings)[number]

export interface BudgetRequest extends Omit<BudgetGoals, 'latency'> {
  /** How long a run may take. */
  readonly latency?: LatencyLimit
  /** No width is given: each group keeps what greedy selection chooses until the loss settles. */
  readonly adaptive?: boolean
  /** Widths are multiples of this. */
  readonly round: number
  readonly groups: GroupChoice
  /** Patterns of layers to leave as they are (see withoutKept). */
  readonly keep?: readonly string[]
  /** Default: uniform. */
  readonly ranking?: Ranking
  /** Default: uniform. */
  readonly widths?: Pick<WidthsOptions, 'rule' | 'images' | 'limit'>
}

/** The groups of a model that may be cut. Throws UserError when there are none, or the model is quantized. */
export function chooseGroups({ model }: { readonly model: Model }, { groups: choice, keep = [] }: Pick<BudgetRequest, 'groups' | 'keep'>): ChannelGroup[] {
  refuseUnprunable(model)
  const groups = findGroups(model)
  const chosen = groups.filter((g) => g.prunable && (choice === 'all' || !g.coupled))
  if (chosen.length === 0) throw new UserError(`the model has no channel group to cut (${groups.length} groups, all must stay whole; see inspect)`)
  const untouched = new Set(withoutKept(model, groups, keep))
  const left = chosen.filter((g) => untouched.has(g))
  if (left.length === 0) throw new UserError(`--keep leaves no channel group to cut: it touches all ${chosen.length}; keep less, or allow more groups`)
  return left
}

/** The budget of a request, but for the latency, on the groups of `model`. */
export function budgetOptions(model: Model, groups: readonly ChannelGroup[], request: BudgetRequest, reference?: Reference): BudgetOptions {
  const { removeParams, removeMacs, removeChannels, maxSize, round } = request
  return { model, groups, removeParams, removeMacs, removeChannels, maxSize, round, reference }
}

/** Costs of the uncut model, which all steps of a pruning count from. */
export function referenceOf(model: Model, groups: readonly ChannelGroup[]): Required<Reference> & { readonly bytes: number } {
  const { params, macs } = modelCost(model)
  return { params, macs, channels: groups.reduce((sum, g) => sum + perUnit(g) * g.channels, 0), bytes: savedSize(model) }
}

/**
 * What is asked for after step `round` of `rounds`: what is left shrinks by the same factor in every step. `wholeMs` and `bytes` are the uncut model's;
 * the last step is the request itself.
 */
export function requestOfRound(request: BudgetRequest, round: number, rounds: number, { bytes, wholeMs = 0 }: { readonly bytes: number; readonly wholeMs?: number }): BudgetRequest {
  if (round === rounds) return request
  const part = round / rounds
  const share = (remove: number | undefined): number | undefined => (remove === undefined ? undefined : 1 - (1 - remove) ** part)
  const between = (from: number, to: number): number => (to >= from ? to : from * (to / from) ** part)
  const { removeParams, removeMacs, removeChannels, maxSize, latency } = request
  return {
    ...request,
    removeParams: share(removeParams),
    removeMacs: share(removeMacs),
    removeChannels: share(removeChannels),
    maxSize: maxSize === undefined ? undefined : Math.floor(between(bytes, maxSize)),
    latency: latency && { ...latency, limitMs: between(wholeMs, latency.limitMs) },
  }
}
