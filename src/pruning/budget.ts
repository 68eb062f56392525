/** @file Budgets: one ratio for all groups (or one threshold on scores), found by bisection, until the whole model meets what was asked. */
import { UserError } from '../tensor/error.ts'
import { type BudgetOptions, budgetCost, budgetGoals, type Costs, type Goals } from './goals.ts'
import { leastWidths, widerWidth, widthAt, type WidthOptions } from './group-widths.ts'
import type { ChannelGroup } from './groups.ts'
import type { Cost } from './width-cost.ts'

export interface Budget {
  /** Units that each group keeps, by group id. */
  readonly widths: ReadonlyMap<string, number>
  /** Fraction of the channels kept, before rounding: in every group, or over all of them where groups keep different shares. */
  readonly ratio: number
  readonly before: Cost
  readonly after: Cost
  /** Predicted milliseconds of a run, where the budget was one of latency. */
  readonly latency?: { readonly limitMs: number; readonly beforeMs: number; readonly afterMs: number }
}

/** Shares (0 to 1) of their channels that the groups keep where all together keep about `ratio`; each grows with it, from 0 or more to 1. */
export type Shares = (ratio: number) => readonly number[]

/**
 * Widths that remove at least the asked fractions, and as little more as rounding allows: the largest ratio that meets the budget,
 * then single groups go one rounding step wider where the budget still holds. Throws UserError where the budget cannot be met.
 */
export function solveBudget(options: BudgetOptions, shares: Shares = (ratio) => options.groups.map(() => ratio)): Budget {
  const { groups } = options
  const whole = groups.find((g) => !g.prunable)
  if (whole) throw new UserError(`group "${whole.id}" cannot be cut: ${whole.reason}`)
  const cost = budgetCost(options)
  const at = (ratio: number): number[] => {
    const kept = shares(ratio)
    return groups.map((g, i) => widthAt(g, kept[i]!, options))
  }
  const full = groups.map((g) => g.channels)
  const before = cost(full)
  const goals = budgetGoals(options, cost(leastWidths(options)), before)
  let widths = full
  let ratio = 1
  if (!goals.met(before)) {
    let low = 0
    let high = 1
    // 40 halvings tell apart any two widths below 10^12.
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2
      if (goals.met(cost(at(middle)))) low = middle
      else high = middle
    }
    ratio = low
    widths = giveBack(groups, at(low), at(high), options, cost, goals)
  }
  const { params, macs } = cost(widths)
  return { widths: new Map(groups.map((g, i) => [g.id, widths[i]!])), ratio, before: { params: before.params, macs: before.macs }, after: { params, macs } }
}

/**
 * Uses up what rounding left over: the groups that reached the budget's edge together first, then the others, each goes one rounding
 * step wider where the budget still holds; the dearest steps come first, so that the rest is small.
 */
function giveBack(groups: readonly ChannelGroup[], narrow: readonly number[], wide: readonly number[], options: WidthOptions, cost: (kept: readonly number[]) => Costs, goals: Goals): number[] {
  const widths = [...narrow]
  const atEdge = (i: number): boolean => wide[i]! > narrow[i]!
  const steps = groups.map((group, i) => {
    const next = narrow.map((w, k) => (k === i ? widerWidth(group, w, options) : w))
    return { i, width: next[i]!, price: goals.price(cost(next)) }
  })
  steps.sort((a, b) => Number(atEdge(b.i)) - Number(atEdge(a.i)) || b.price - a.price || a.i - b.i)
  for (const { i, width } of steps) {
    widths[i] = width
    if (!goals.met(cost(widths))) widths[i] = narrow[i]!
  }
  return widths
}

/** The `count` units of highest score, ascending; of equal scores the first. */
export function bestUnits(scores: ArrayLike<number>, count: number): number[] {
  return Array.from(scores, (_, k) => k)
    .sort((a, b) => scores[b]! - scores[a]! || a - b)
    .slice(0, count)
    .sort((a, b) => a - b)
}
