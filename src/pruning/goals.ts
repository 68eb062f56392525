/** @file What a budget asks for: shares to remove and limits to keep, as tests on what widths cost; the words where it cannot be met. */
import type { Model } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import { perUnit, type WidthOptions } from './group-widths.ts'
import type { ChannelGroup } from './groups.ts'
import { type Cost, widthBytes, widthCost } from './width-cost.ts'

/** What may be asked for; where several are, all are met. */
export interface BudgetGoals {
  /** Fraction (0 to 1) of the parameters to remove. */
  readonly removeParams?: number
  /** Fraction (0 to 1) of the multiply-accumulates to remove. */
  readonly removeMacs?: number
  /** Fraction (0 to 1) of the channels of the given groups to remove. */
  readonly removeChannels?: number
  /** Bytes that the model's file may take, by the bytes of its weights. */
  readonly maxSize?: number
  /** Milliseconds that one run may take, and what it takes where group i keeps `kept[i]` units. */
  readonly latency?: LatencyGoal
}

export interface LatencyGoal {
  readonly limitMs: number
  readonly of: (kept: readonly number[]) => number
}

export interface BudgetOptions extends WidthOptions, BudgetGoals {
  readonly model: Model
  /** The groups that may be cut: prunable groups of `model`. */
  readonly groups: readonly ChannelGroup[]
  /** What the fractions are of; default the model as it is. The original's, when a model is cut in several steps. */
  readonly reference?: Reference
}

/** Costs of a whole model; channels are those of its groups. */
export type Reference = Cost & { readonly channels?: number }

/** What widths cost; bytes and milliseconds where they are in the budget. */
export type Costs = Cost & { readonly channels: number; readonly bytes?: number; readonly ms?: number }

interface Goal {
  readonly key: keyof Costs
  readonly words: string
  /** To remove; undefined where the limit itself was asked for. */
  readonly fraction?: number
  /** Most that may be left. */
  readonly limit: number
}

/** What widths cost; all that the budget asks about. */
export function budgetCost({ model, groups, maxSize, latency }: BudgetOptions): (kept: readonly number[]) => Costs {
  const cost = widthCost(model, groups)
  const bytes = maxSize === undefined ? undefined : widthBytes(model, groups)
  const channels = (kept: readonly number[]): number => groups.reduce((sum, g, i) => sum + perUnit(g) * kept[i]!, 0)
  return (kept) => ({ ...cost(kept), channels: channels(kept), ...(bytes && { bytes: bytes(kept) }), ...(latency && { ms: latency.of(kept) }) })
}

/** A budget as a test, and as one number to bring down: the cost over its limit, added up over what was asked for. */
export interface Goals {
  met(cost: Costs): boolean
  /** What is met already counts as its limit: it needs no more. */
  size(cost: Costs): number
  /** What a step from one cost to another takes of the limits, added up. */
  price(cost: Costs): number
}

/** Throws UserError where `least`, the smallest model that the groups allow, does not meet the budget. `whole`: what the model costs as it is. */
export function budgetGoals(options: BudgetOptions, least: Costs, whole: Costs): Goals {
  const reference = { ...whole, ...options.reference }
  const goals = goalsOf(options, reference)
  const met = (cost: Costs): boolean => goals.every((g) => cost[g.key]! <= g.limit)
  if (!met(whole) && !met(least)) throw impossible(goals, least, reference, options.groups.length)
  return {
    met,
    size: (cost) => goals.reduce((sum, g) => sum + Math.max(1, cost[g.key]! / g.limit), 0),
    price: (cost) => goals.reduce((sum, g) => sum + cost[g.key]! / g.limit, 0),
  }
}

/** Whether a budget asks for anything but a latency. */
export function asksForShares({ removeParams, removeMacs, removeChannels, maxSize }: BudgetGoals): boolean {
  return [removeParams, removeMacs, removeChannels, maxSize].some((asked) => asked !== undefined)
}

const fractions = [['params', 'parameters', 'removeParams'], ['macs', 'multiply-accumulates', 'removeMacs'], ['channels', 'channels', 'removeChannels']] as const

function goalsOf(options: BudgetOptions, reference: Costs): Goal[] {
  const { maxSize, latency, round = 8, minimum = round } = options
  for (const [name, value] of [['round', round], ['minimum', minimum]] as const) {
    if (!Number.isInteger(value) || value < 1) throw new UserError(`${name} must be a whole number of channels, 1 or more, not ${value}`)
  }
  const goals: Goal[] = []
  for (const [key, words, name] of fractions) {
    const fraction = options[name]
    if (fraction === undefined) continue
    if (!(fraction >= 0 && fraction < 1)) throw new UserError(`the fraction of ${words} to remove must lie from 0 to below 1, not ${fraction}`)
    goals.push({ key, words, fraction, limit: reference[key] * (1 - fraction) })
  }
  if (maxSize !== undefined) {
    if (!(maxSize > 0)) throw new UserError(`the size of the file must be more than 0 bytes, not ${maxSize}`)
    goals.push({ key: 'bytes', words: 'bytes', limit: maxSize })
  }
  if (latency) goals.push({ key: 'ms', words: 'milliseconds', limit: latency.limitMs })
  if (goals.length === 0) throw new UserError('the budget asks for nothing; say what fraction of the parameters, of the multiply-accumulates or of the channels to remove, what size the file may have, or how long a run may take')
  return goals
}

function impossible(goals: readonly Goal[], least: Costs, reference: Costs, groups: number): UserError {
  const faults = goals
    .filter((g) => least[g.key]! > g.limit)
    .map(({ key, words, fraction, limit }) => {
      if (key === 'bytes') return `a file of ${fileSizeText(limit)} cannot be reached: with the ${groups} chosen groups at their least widths it takes about ${fileSizeText(Math.ceil(least.bytes!))}`
      if (fraction === undefined) return unreachableText(limit, least.ms!, groups)
      // Rounded down: the figure told can really be reached.
      return `${percent(fraction)} of the ${words} cannot be removed: the ${groups} chosen groups allow ${percent(Math.floor((1 - least[key]! / reference[key]!) * 1000) / 1000)} at most`
    })
  return new UserError(`${faults.join('; ')}. Ask for less, allow more groups, or round to fewer channels`)
}

/** Says the lowest prediction, rounded up: it can really be reached. */
export function unreachableLatency(limitMs: number, leastMs: number, groups: number): UserError {
  return new UserError(`${unreachableText(limitMs, leastMs, groups)}. Allow more time, allow more groups, or round to fewer channels`)
}

function unreachableText(limitMs: number, leastMs: number, groups: number): string {
  return `${Number(limitMs.toPrecision(4))} ms cannot be reached: with the ${groups} chosen groups at their least widths a run is predicted to take ${(Math.ceil(leastMs * 100) / 100).toFixed(2)} ms`
}

/** "3.00 MB (3000000 bytes)". */
export function fileSizeText(bytes: number): string {
  const scaled = bytes >= 1e6 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e3).toFixed(1)} KB`
  return `${scaled} (${Math.floor(bytes)} bytes)`
}

function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(1))}%`
}
