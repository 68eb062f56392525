/** @file Budgets: one ratio for all groups, found by bisection, until the whole model meets what was asked. */
import type { Model } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import type { ChannelGroup } from './groups.ts'
import { type Cost, widthCost } from './width-cost.ts'

export interface WidthOptions {
  /** Widths are rounded to multiples of this many channels; a group's full width is always allowed. Default 8. */
  readonly round?: number
  /** No group goes below this many channels. Default: `round`. */
  readonly minimum?: number
}

export interface BudgetOptions extends WidthOptions {
  readonly model: Model
  /** The groups that may be cut: prunable groups of `model`. */
  readonly groups: readonly ChannelGroup[]
  /** Fraction (0 to 1) of the parameters to remove. */
  readonly removeParams?: number
  /** Fraction (0 to 1) of the multiply-accumulates to remove; with `removeParams`, both are met. */
  readonly removeMacs?: number
  /** Milliseconds that one run may take, and what it takes where group i keeps `kept[i]` units; met too. */
  readonly latency?: LatencyGoal
  /** What the fractions are of; default the model as it is. The original's, when a model is cut in several steps. */
  readonly reference?: Cost
}

export interface LatencyGoal {
  readonly limitMs: number
  readonly of: (kept: readonly number[]) => number
}

export interface Budget {
  /** Units that each group keeps, by group id. */
  readonly widths: ReadonlyMap<string, number>
  /** Fraction of the channels kept in every group, before rounding. */
  readonly ratio: number
  readonly before: Cost
  readonly after: Cost
  /** Predicted milliseconds of a run, where the budget was one of latency. */
  readonly latency?: { readonly limitMs: number; readonly beforeMs: number; readonly afterMs: number }
}

/** Cost, with milliseconds where they are in the budget. */
type Costs = Cost & { readonly ms?: number }

interface Goal {
  readonly key: keyof Costs
  readonly words: string
  /** To remove; undefined where the limit itself was asked for. */
  readonly fraction?: number
  /** Most that may be left. */
  readonly limit: number
}

/**
 * Widths that remove at least the asked fractions, and as little more as rounding allows: the largest ratio that meets the budget,
 * then single groups go one rounding step wider where the budget still holds. Throws UserError where the budget cannot be met.
 */
export function solveBudget(options: BudgetOptions): Budget {
  const { groups } = options
  const whole = groups.find((g) => !g.prunable)
  if (whole) throw new UserError(`group "${whole.id}" cannot be cut: ${whole.reason}`)
  const cost = budgetCost(options)
  const reference = options.reference ?? cost(groups.map((g) => g.channels))
  const goals = goalsOf(options, reference)
  const at = (ratio: number): number[] => groups.map((g) => widthAt(g, ratio, options))

  const before = cost(at(1))
  let widths = at(1)
  let ratio = 1
  if (!met(before, goals)) {
    if (!met(cost(at(0)), goals)) throw impossible(goals, cost(at(0)), reference, groups.length)
    let low = 0
    let high = 1
    // 40 halvings tell apart any two widths below 10^12.
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2
      if (met(cost(at(middle)), goals)) low = middle
      else high = middle
    }
    ratio = low
    widths = giveBack(groups, at(low), at(high), options, cost, goals)
  }
  return { widths: new Map(groups.map((g, i) => [g.id, widths[i]!])), ratio, before, after: cost(widths) }
}

/** What widths cost, milliseconds too where the budget has them. */
export function budgetCost({ model, groups, latency }: BudgetOptions): (kept: readonly number[]) => Costs {
  const cost = widthCost(model, groups)
  return latency ? (kept) => ({ ...cost(kept), ms: latency.of(kept) }) : cost
}

/** Units that a group keeps at `ratio` (0: its minimum, 1: all). Grows with the ratio. */
export function widthAt(group: ChannelGroup, ratio: number, options: WidthOptions): number {
  const step = unitStep(group, options)
  const minimum = Math.ceil((options.minimum ?? options.round ?? 8) / perUnit(group) / step) * step
  const wanted = group.channels * ratio
  const rounded = Math.round(wanted / step) * step
  // The full width is allowed even where it is no multiple: it wins where it is nearer.
  if (group.channels - wanted <= Math.abs(wanted - rounded)) return group.channels
  return Math.min(group.channels, Math.max(rounded, step, minimum, feedsGroups(group) ? 2 : 1))
}

/**
 * True where a consumer looks at groups of the channels one by one (a grouped convolution). One channel a group would make it a depthwise
 * one, whose outputs go with its inputs: what belongs together would be another thing in the next step of a method that cuts in steps.
 */
function feedsGroups(group: ChannelGroup): boolean {
  return group.consumers.some(({ member }) => member.perUnit < perUnit(group))
}

/** The least that each group may keep, in their order. */
export function leastWidths({ groups, ...options }: WidthOptions & { readonly groups: readonly ChannelGroup[] }): number[] {
  return groups.map((g) => minimumWidth(g, options))
}

/** The least that a group may keep. */
function minimumWidth(group: ChannelGroup, options: WidthOptions): number {
  return widthAt(group, 0, options)
}

/** The next smaller width that rounding allows; undefined at the least. */
export function narrowerWidth(group: ChannelGroup, width: number, options: WidthOptions): number | undefined {
  const step = unitStep(group, options)
  const next = (Math.ceil(width / step) - 1) * step
  return next >= minimumWidth(group, options) ? next : undefined
}

/** The next larger width that rounding allows, the full one at most. */
export function widerWidth(group: ChannelGroup, width: number, options: WidthOptions): number {
  const step = unitStep(group, options)
  return Math.min(group.channels, (Math.floor(width / step) + 1) * step)
}

/** Units in one rounding step. */
function unitStep(group: ChannelGroup, { round = 8 }: WidthOptions): number {
  return round / greatestCommonDivisor(round, perUnit(group))
}

/** Channels are counted on the first producer's output axis, where one unit may hold several. */
function perUnit(group: ChannelGroup): number {
  return group.producers[0]!.member.perUnit
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}

/**
 * Uses up what rounding left over: the groups that reached the budget's edge together first, then the others, each goes one rounding
 * step wider where the budget still holds; the dearest steps come first, so that the rest is small.
 */
function giveBack(groups: readonly ChannelGroup[], narrow: readonly number[], wide: readonly number[], options: WidthOptions, cost: (kept: readonly number[]) => Costs, goals: readonly Goal[]): number[] {
  const widths = [...narrow]
  const atEdge = (i: number): boolean => wide[i]! > narrow[i]!
  const steps = groups.map((group, i) => {
    const next = narrow.map((w, k) => (k === i ? widerWidth(group, w, options) : w))
    return { i, width: next[i]!, price: goals.reduce((sum, g) => sum + cost(next)[g.key]! / g.limit, 0) }
  })
  steps.sort((a, b) => Number(atEdge(b.i)) - Number(atEdge(a.i)) || b.price - a.price || a.i - b.i)
  for (const { i, width } of steps) {
    widths[i] = width
    if (!met(cost(widths), goals)) widths[i] = narrow[i]!
  }
  return widths
}

/** The asked fractions as a test, and as one number to bring down: the cost over its limit, added up over what was asked for. Throws UserError where `least`, the smallest model, does not meet them. */
export function budgetGoals(options: BudgetOptions, least: Costs, whole: Costs): { met(cost: Costs): boolean; size(cost: Costs): number } {
  const reference = options.reference ?? whole
  const goals = goalsOf(options, reference)
  if (!met(least, goals)) throw impossible(goals, least, reference, options.groups.length)
  // What is met already needs no more.
  return { met: (cost) => met(cost, goals), size: (cost) => goals.reduce((sum, g) => sum + Math.max(1, cost[g.key]! / g.limit), 0) }
}

function met(cost: Costs, goals: readonly Goal[]): boolean {
  return goals.every((g) => cost[g.key]! <= g.limit)
}

function goalsOf({ removeParams, removeMacs, latency, round = 8, minimum = round }: BudgetOptions, reference: Cost): Goal[] {
  for (const [name, value] of [['round', round], ['minimum', minimum]] as const) {
    if (!Number.isInteger(value) || value < 1) throw new UserError(`${name} must be a whole number of channels, 1 or more, not ${value}`)
  }
  const goals: Goal[] = []
  for (const [key, words, fraction] of [['params', 'parameters', removeParams], ['macs', 'multiply-accumulates', removeMacs]] as const) {
    if (fraction === undefined) continue
    if (!(fraction >= 0 && fraction < 1)) throw new UserError(`the fraction of ${words} to remove must lie from 0 to below 1, not ${fraction}`)
    goals.push({ key, words, fraction, limit: reference[key] * (1 - fraction) })
  }
  if (latency) goals.push({ key: 'ms', words: 'milliseconds', limit: latency.limitMs })
  if (goals.length === 0) throw new UserError('the budget asks for nothing; say what fraction of the parameters or of the multiply-accumulates to remove, or how long a run may take')
  return goals
}

function impossible(goals: readonly Goal[], least: Costs, reference: Costs, groups: number): UserError {
  const faults = goals
    .filter((g) => least[g.key]! > g.limit)
    .map(({ key, words, fraction, limit }) => {
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

function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(1))}%`
}

/** The `count` units of highest score, ascending; of equal scores the first. */
export function bestUnits(scores: ArrayLike<number>, count: number): number[] {
  return Array.from(scores, (_, k) => k)
    .sort((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, count)
    .sort((a, b) => a - b)
}
