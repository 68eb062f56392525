/** @file Budgets: met, rounded, as little over as rounding allows, impossible. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { bestUnits, solveBudget, widthAt } from '../../src/pruning/budget.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { Net } from './nets.ts'

/** c1 (32) -> c2 (48) -> head (4), on 6x6 maps. */
function chain(): { model: Model; groups: ChannelGroup[] } {
  const net = new Net(1, [1, 3, 6, 6])
  const model = net.model(net.conv('head', net.act('Relu', net.conv('c2', net.norm('n', net.conv('c1', net.x, 32, 3, false)), 48)), 4, 1))
  return { model, groups: findGroups(model).filter((g) => g.prunable) }
}

describe('modelCost of widths', () => {
  it('agrees with a count by hand', () => {
    const { model } = chain()
    // c1 3*32*9, n 4*32, c2 32*48*9 + 48, head 48*4 + 4; MACs without biases and BN at 36 places each.
    expect(modelCost(model)).toMatchObject({ params: 864 + 128 + 13824 + 48 + 192 + 4, macs: 36 * (864 + 13824 + 192) })
  })
})

describe('solveBudget', () => {
  it('leaves two channels to every group of a grouped convolution, which one would make depthwise', () => {
    const net = new Net(3, [1, 3, 4, 4])
    const model = net.model(net.conv('head', net.grouped('grouped', net.conv('c1', net.x, 32), 32, 8), 4, 1))
    const groups = findGroups(model).filter((g) => g.prunable)
    expect(groups.map((g) => [g.id, g.channels])).toEqual([['c1.w', 4], ['grouped.w', 4]])
    expect(groups.map((g) => widthAt(g, 0, {}))).toEqual([2, 1])
  })

  it('removes at least what is asked, in multiples of 8, and one step wider would not do', () => {
    const { model, groups } = chain()
    for (const key of ['params', 'macs'] as const) {
      for (let percent = 0; percent <= 90; percent += 5) {
        const fraction = percent / 100
        const budget = solveBudget({ model, groups, ...(key === 'params' ? { removeParams: fraction } : { removeMacs: fraction }) })
        const kept = new Map(groups.map((g) => [g.id, Array.from({ length: budget.widths.get(g.id)! }, (_, k) => k)]))
        const cut = modelCost(applyPlan(model, makePlan(groups, kept, { method: 'first' })))
        expect(cut).toMatchObject(budget.after)
        expect(modelCost(model)).toMatchObject(budget.before)
        const limit = budget.before[key] * (1 - fraction)
        expect(cut[key]).toBeLessThanOrEqual(limit)
        for (const g of groups) {
          const width = budget.widths.get(g.id)!
          expect(width % 8).toBe(0)
          expect(width).toBeGreaterThan(0)
          // Half a step of rounding, and one step given back.
          expect(Math.abs(width - budget.ratio * g.channels)).toBeLessThanOrEqual(12)
        }
        const wider = solveBudget({ model, groups, round: 1, ...(key === 'params' ? { removeParams: fraction } : { removeMacs: fraction }) })
        expect(wider.after[key]).toBeLessThanOrEqual(limit)
        expect(limit - wider.after[key]).toBeLessThan(percent === 0 ? 1 : budget.before[key] * 0.025)
      }
    }
  })

  it('meets two budgets at once and counts from another reference', () => {
    const { model, groups } = chain()
    const both = solveBudget({ model, groups, removeParams: 0.3, removeMacs: 0.6 })
    expect(both.after.params).toBeLessThanOrEqual(both.before.params * 0.7)
    expect(both.after.macs).toBeLessThanOrEqual(both.before.macs * 0.4)
    const done = solveBudget({ model, groups, removeParams: 0.5, reference: { params: both.before.params * 2, macs: both.before.macs } })
    expect(done.ratio).toBe(1)
    expect([...done.widths.values()]).toEqual([32, 48])
  })

  it('says the most that can be removed when asked for too much', () => {
    const { model, groups } = chain()
    expect(() => solveBudget({ model, groups, removeParams: 0.99 })).toThrowErrorMatchingInlineSnapshot(`[UserError: 99% of the parameters cannot be removed: the 2 chosen groups allow 94.2% at most. Ask for less, allow more groups, or round to fewer channels]`)
    expect(() => solveBudget({ model, groups, removeMacs: 0.9, minimum: 24 })).toThrowErrorMatchingInlineSnapshot(`[UserError: 90% of the multiply-accumulates cannot be removed: the 2 chosen groups allow 60.1% at most. Ask for less, allow more groups, or round to fewer channels]`)
  })

  it('refuses wrong options', () => {
    const { model, groups } = chain()
    expect(() => solveBudget({ model, groups })).toThrow('asks for nothing')
    expect(() => solveBudget({ model, groups, removeParams: 1 })).toThrow('from 0 to below 1')
    expect(() => solveBudget({ model, groups, removeParams: 0.5, round: 0 })).toThrow('whole number')
    expect(() => solveBudget({ model, groups: findGroups(model), removeParams: 0.5 })).toThrow('"head.w" cannot be cut')
  })
})

describe('widthAt', () => {
  it('rounds, keeps the minimum, allows the full width', () => {
    const net = new Net(2)
    const groups = findGroups(net.model(net.conv('head', net.conv('b', net.conv('a', net.x, 20), 4), 2)))
    const widths = (options: { round?: number; minimum?: number }): number[][] => groups.slice(0, 2).map((g) => [0, 0.25, 0.5, 0.75, 1].map((r) => widthAt(g, r, options)))
    expect(widths({})).toEqual([[8, 8, 8, 16, 20], [4, 4, 4, 4, 4]])
    expect(groups.slice(0, 1).map((g) => [0.89, 0.91, 1].map((r) => widthAt(g, r, {})))).toEqual([[16, 20, 20]])
    expect(widths({ round: 1 })).toEqual([[1, 5, 10, 15, 20], [1, 1, 2, 3, 4]])
    expect(widths({ round: 4, minimum: 10 })).toEqual([[12, 12, 12, 16, 20], [4, 4, 4, 4, 4]])
  })
})

describe('bestUnits', () => {
  it('takes the highest scores, ties in order, ascending', () => {
    expect(bestUnits([1, 5, 3, 5, 3], 3)).toEqual([1, 2, 3])
  })
})
