/** @file Widths for a latency: any rule of widths on the smooth estimate, set right by the times of the layers it comes to. */
import type { Budget } from '../budget.ts'
import { asksForShares, type BudgetOptions, budgetCost, budgetGoals, unreachableLatency } from '../goals.ts'
import { leastWidths, widerWidth } from '../group-widths.ts'
import type { LatencyProfile } from './profile.ts'

/** Rounds of solving, timing the layers that come out, and setting the estimate right. */
const rounds = 6
/** A prediction this near the limit is near enough. */
const nearEnough = 0.98
/** What two times that are the same may differ by. */
const noise = 0.005

export interface LatencyBudgetOptions {
  readonly profile: Pick<LatencyProfile, 'estimate' | 'predict'>
  /** Milliseconds that a run may take. */
  readonly limitMs: number
  /** Model, groups in the order of the profile's, rounding. */
  readonly budget: BudgetOptions
  /** The rule of widths: the budget's with the latency that it is given. */
  readonly solve: (budget: BudgetOptions) => Budget
}

/**
 * Widths that are predicted to meet the limit by the times of just the layers that they come to. No width runs slower than the next larger one that
 * rounding allows: kernels work on blocks of channels, and what fills the blocks is free. Throws UserError, with the lowest prediction, where the limit cannot be met.
 */
export async function solveLatency({ profile, limitMs, budget: options, solve }: LatencyBudgetOptions): Promise<Budget> {
  const { groups } = options
  const full = groups.map((g) => g.channels)
  const least = leastWidths(options)
  const exact = new Map<string, number>()
  for (const kept of [full, least]) exact.set(kept.join(), (await profile.predict(kept)).ms)
  const [beforeMs, leastMs] = [exact.get(full.join())!, exact.get(least.join())!]
  if (leastMs > limitMs) throw unreachableLatency(limitMs, leastMs, groups.length)

  let scale = 1
  let best: { readonly budget: Budget; readonly kept: readonly number[]; readonly ms: number } | undefined
  for (let round = 0; round < rounds || !best; round++) {
    const of = (kept: readonly number[]): number => exact.get(kept.join()) ?? scale * profile.estimate(kept)
    const budget = solve({ ...options, latency: { limitMs, of } })
    const kept = groups.map((g) => budget.widths.get(g.id)!)
    const { ms } = await profile.predict(kept)
    if (ms <= limitMs && (!best || ms > best.ms)) best = { budget, kept, ms }
    if (ms <= limitMs && (ms >= nearEnough * limitMs || kept.every((w, i) => w === full[i]))) break
    const right = ms / profile.estimate(kept)
    // Past the rounds, ever narrower until the limit is met, which the least widths do.
    scale = ms > limitMs ? Math.max(right, scale * (round < rounds ? 1.005 : 1.05)) : right
  }
  const kept = await fillBlocks(best!.kept, { profile, limitMs, budget: options, met: otherGoals(options) })
  const { ms } = await profile.predict(kept)
  const { params, macs } = budgetCost(options)(kept)
  return { ...best!.budget, widths: new Map(groups.map((g, i) => [g.id, kept[i]!])), after: { params, macs }, latency: { limitMs, beforeMs, afterMs: ms } }
}

/** Whether widths meet what the budget asks for beside the latency. */
function otherGoals(options: BudgetOptions): (kept: readonly number[]) => boolean {
  if (!asksForShares(options)) return () => true
  const cost = budgetCost(options)
  const goals = budgetGoals(options, cost(leastWidths(options)), cost(options.groups.map((g) => g.channels)))
  return (kept) => goals.met(cost(kept))
}

/** Each width goes to the next larger one as long as that is no slower, and the rest of the budget holds. */
async function fillBlocks(start: readonly number[], { profile, limitMs, budget, met }: Omit<LatencyBudgetOptions, 'solve'> & { readonly met: (kept: readonly number[]) => boolean }): Promise<number[]> {
  let kept = [...start]
  let now = await profile.predict(kept)
  for (let changed = true; changed; ) {
    changed = false
    for (const [i, group] of budget.groups.entries()) {
      for (let wider = widerWidth(group, kept[i]!, budget); wider > kept[i]!; wider = widerWidth(group, wider, budget)) {
        const next = kept.map((w, k) => (k === i ? wider : w))
        if (!met(next)) break
        const then = await profile.predict(next)
        if (slower(then.layers, now.layers) || then.ms > limitMs) break
        kept = next
        now = then
        changed = true
      }
    }
  }
  return kept
}

/** Whether the layers that differ take longer, all together. */
function slower(then: readonly number[], now: readonly number[]): boolean {
  let [a, b] = [0, 0]
  then.forEach((ms, i) => {
    if (ms === now[i]) return
    a += ms
    b += now[i]!
  })
  return a > b * (1 + noise)
}
