/** @file Widths step by step: the group that asks the lowest price for what it saves goes one rounding step narrower, until the budget holds. */
import type { Budget } from './budget.ts'
import { type BudgetOptions, budgetCost, budgetGoals } from './goals.ts'
import { narrowerWidth } from './group-widths.ts'

/** What groups ask, by their index. */
export interface Seller {
  /** Price of going from one width to the next narrower; `saved`: what that saves of the budget's limits, added up, more than 0. */
  price(index: number, from: number, next: number, saved: number): number
  /** Told of every step that is taken. */
  sold?(index: number, width: number): void
}

/** Stands for no saving at all, so that prices stay numbers. */
const nothing = 1e-12

/** Widths of at least `least` that remove at least the asked fractions. Throws UserError where the budget cannot be met. */
export function exchangeWidths(options: BudgetOptions, least: readonly number[], seller: Seller): Budget {
  const { groups } = options
  const cost = budgetCost(options)
  const full = groups.map((g) => g.channels)
  const before = cost(full)
  const goals = budgetGoals(options, cost(least), before)
  const widths = [...full]
  while (!goals.met(cost(widths))) {
    const now = goals.size(cost(widths))
    let best: { index: number; width: number; price: number } | undefined
    groups.forEach((group, index) => {
      const from = widths[index]!
      const next = narrowerWidth(group, from, options)
      if (next === undefined || from <= least[index]!) return
      const saved = now - goals.size(cost(widths.map((w, i) => (i === index ? next : w))))
      const price = seller.price(index, from, next, Math.max(saved, nothing * (from - next)))
      if (best === undefined || price < best.price) best = { index, width: next, price }
    })
    if (!best) throw new Error('the budget was said to be within reach')
    widths[best.index] = best.width
    seller.sold?.(best.index, best.width)
  }
  const { params, macs } = cost(widths)
  const ratio = widths.reduce((a, w) => a + w, 0) / full.reduce((a, w) => a + w, 0)
  return { widths: new Map(groups.map((g, i) => [g.id, widths[i]!])), ratio, before: { params: before.params, macs: before.macs }, after: { params, macs } }
}
