/** @file Budgets: met, rounded, as little over as rounding allows, impossible. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { savedSize, serializeModel } from '../../src/onnx/save.ts'
import { bestUnits, solveBudget } from '../../src/pruning/budget.ts'
import { assertSize, meetSize } from '../../src/pruning/file-size.ts'
import { globalShares } from '../../src/pruning/global-ranking.ts'
import { widthAt } from '../../src/pruning/group-widths.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import type { LatencyProfile } from '../../src/pruning/latency/profile.ts'
import { solveLatency } from '../../src/pruning/latency/solve.ts'
import { cutTo } from '../../src/pruning/latency/whole-times.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { requestOfRound } from '../../src/pruning/request.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { uniformWidths } from '../../src/pruning/widths.ts'
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

describe('budgets of channels and of file size', () => {
  it('counts channels over all groups', () => {
    const { model, groups } = chain()
    const { widths } = solveBudget({ model, groups, removeChannels: 0.5, round: 1 })
    expect([...widths.values()].reduce((a, b) => a + b, 0)).toBe(40)
    expect([...widths.values()]).toEqual([16, 24])
    // A unit of three channels counts three.
    const net = new Net(4, [1, 3, 4, 4])
    const grouped = net.model(net.conv('head', net.grouped('g', net.conv('c1', net.x, 12), 12, 3), 4, 1))
    const units = findGroups(grouped).filter((g) => g.prunable)
    expect(units.map((g) => [g.channels, g.producers[0]!.member.perUnit])).toEqual([[4, 3], [4, 3]])
    expect([...solveBudget({ model: grouped, groups: units, removeChannels: 0.5, round: 1 }).widths.values()]).toEqual([2, 2])
    expect(() => solveBudget({ model, groups, removeChannels: 0.95 })).toThrow('95% of the channels cannot be removed: the 2 chosen groups allow 80% at most')
  })

  it('gives a file of the wanted size, not much smaller than need be', async () => {
    const { model, groups } = chain()
    const whole = savedSize(model)
    expect(serializeModel(model)).toHaveLength(whole)
    for (const share of [1, 0.9, 0.5, 0.2]) {
      const maxSize = Math.floor(whole * share)
      const solved = await uniformWidths({ model, groups, maxSize })
      const file = serializeModel(applyPlan(model, makePlan(groups, new Map([...solved.widths].map(([id, w]) => [id, Array.from({ length: w }, (_, k) => k)])), { method: 'first' })))
      expect(file.length).toBeLessThanOrEqual(maxSize)
      // A step of the second layer alone is a twelfth of the whole and more.
      expect(maxSize - file.length).toBeLessThan(0.12 * whole)
    }
    await expect(uniformWidths({ model, groups, maxSize: 2000 })).rejects.toThrow(/a file of 2\.0 KB \(2000 bytes\) cannot be reached: with the 2 chosen groups at their least widths it takes about 4\.\d KB/)
  })

  it('looks at the file where the cut adds constants of its own', async () => {
    const { model, groups } = chain()
    const asked: number[] = []
    const real = (kept: ReadonlyMap<string, number>): number => savedSize(cutTo(model, groups, groups.map((g) => kept.get(g.id)!)))
    // A rule that believes files to be 3,000 bytes smaller than they are.
    const found = await meetSize({ model, groups, maxSize: 30_000 }, async (options) => {
      asked.push(options.maxSize!)
      return solveBudget({ ...options, maxSize: options.maxSize! + 3000 })
    })
    expect(real(found.widths)).toBeLessThanOrEqual(30_000)
    expect(asked.length).toBeGreaterThan(1)
    expect(asked.every((limit, i) => i === 0 || limit < asked[i - 1]!)).toBe(true)
    expect(() => assertSize(model, 1000)).toThrow('more than --max-size allows (1000 bytes)')
  })

  it('meets all that is asked at once, a latency among them', async () => {
    const { model, groups } = chain()
    const profile = { estimate: (kept: readonly number[]) => kept[0]! / 8 + kept[1]! / 8, predict: async (kept: readonly number[]) => ({ ms: kept[0]! / 8 + kept[1]! / 8, layers: kept.map((k) => k / 8) }) }
    const budget = await solveLatency({ profile, limitMs: 8, budget: { model, groups, removeParams: 0.8, removeChannels: 0.1 }, solve: solveBudget })
    expect(budget.latency!.afterMs).toBeLessThanOrEqual(8)
    expect(budget.after.params).toBeLessThanOrEqual(0.2 * budget.before.params)
    // Blocks that cost no time are filled only as far as the rest of the budget allows.
    const flat = { estimate: () => 1, predict: async () => ({ ms: 1, layers: [1, 1] }) }
    const filled = await solveLatency({ profile: flat, limitMs: 2, budget: { model, groups, removeParams: 0.5 }, solve: solveBudget })
    expect(filled.after.params).toBeLessThanOrEqual(0.5 * filled.before.params)
  })
})

describe('requestOfRound', () => {
  it('leaves the same share of what is left in every step; the last is the request', () => {
    const request = { removeParams: 0.75, removeChannels: 0.4375, maxSize: 1000, latency: { limitMs: 2, profile: {} as LatencyProfile }, round: 8, groups: 'inner' } as const
    const half = requestOfRound(request, 1, 2, { bytes: 4000, wholeMs: 8 })
    expect(half).toMatchObject({ removeParams: 0.5, removeMacs: undefined, removeChannels: 0.25, maxSize: 2000, latency: { limitMs: 4 }, round: 8 })
    expect(requestOfRound(request, 2, 2, { bytes: 4000, wholeMs: 8 })).toBe(request)
    // What is met already stays as it was asked.
    expect(requestOfRound(request, 1, 2, { bytes: 900, wholeMs: 1 })).toMatchObject({ maxSize: 1000, latency: { limitMs: 2 } })
  })
})

describe('global ranking', () => {
  const scoresOf = (groups: readonly ChannelGroup[], of: (group: number, unit: number) => number) => new Map(groups.map((g, i) => [g.id, Float64Array.from({ length: g.channels }, (_, k) => of(i, k))]))

  it('counts the best of all groups by s / mean |s|, worked by hand', () => {
    const net = new Net(2)
    const groups = findGroups(net.model(net.conv('head', net.conv('b', net.conv('a', net.x, 4), 2), 2))).slice(0, 2)
    // a: mean 2.5 -> 0.4, 0.8, 1.2, 1.6; b: mean 300 -> 0.667, 1.333, though all its scores are larger.
    const shares = globalShares(groups, new Map([[groups[0]!.id, [1, 2, 3, 4]], [groups[1]!.id, [200, 400]]]))
    expect([0, 1, 2, 3, 4, 5, 6].map((n) => { const s = shares(n / 6); return [s[0]! * 4, s[1]! * 2] })).toEqual([[0, 0], [1, 0], [1, 1], [2, 1], [3, 1], [3, 2], [4, 2]])
    const dead = globalShares(groups, new Map([[groups[0]!.id, [0, 0, 0, 0]], [groups[1]!.id, [1, 1]]]))
    expect(dead(1 / 3)).toEqual([0, 1])
  })

  it('takes from the group whose channels are alike least, keeps minimum and rounding, and meets the budget as one ratio does', async () => {
    const { model, groups } = chain()
    // Half of the first group stands out; the second group's channels are all alike.
    const scores = scoresOf(groups, (i, k) => (i === 0 ? (k < 16 ? 10 : 0.1) : 1))
    for (const fraction of [0.2, 0.5, 0.8]) {
      const { widths, after, before } = await uniformWidths({ model, groups, removeParams: fraction }, undefined, scores)
      expect(after.params).toBeLessThanOrEqual((1 - fraction) * before.params)
      for (const w of widths.values()) expect([w % 8, w >= 8]).toEqual([0, true])
      expect(before.params - after.params - fraction * before.params).toBeLessThan(0.2 * before.params)
    }
    const { widths } = await uniformWidths({ model, groups, removeParams: 0.45 }, undefined, scores)
    expect([...widths.values()]).toEqual([16, 48])
    expect([...(await uniformWidths({ model, groups, removeParams: 0.45 })).widths.values()]).not.toEqual([16, 48])
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
