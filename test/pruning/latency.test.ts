/** @file Latency budgets without a clock: fits against cases worked by hand, layers at widths, and the solver on made-up times. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { solveBudget } from '../../src/pruning/budget.ts'
import type { BudgetOptions } from '../../src/pruning/goals.ts'
import { widerWidth } from '../../src/pruning/group-widths.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import { viewLayers } from '../../src/pruning/latency/layers.ts'
import { nonNegativeLeastSquares } from '../../src/pruning/latency/nnls.ts'
import { solveLatency } from '../../src/pruning/latency/solve.ts'
import { fitSurface } from '../../src/pruning/latency/surface.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { sensitiveWidths, widthShares } from '../../src/pruning/sensitive-widths.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { layerKey, layerOf } from '../../src/runtime/layer-times.ts'
import { Net } from './nets.ts'

const value = fc.double({ min: -5, max: 5, noNaN: true })

describe('nonNegativeLeastSquares', () => {
  it('is the plain solution where that is not negative', () => {
    // y = 2 + 3 t at t = 0, 1, 2.
    const x = nonNegativeLeastSquares([[1, 0], [1, 1], [1, 2]], [2, 5, 8])
    expect(x[0]).toBeCloseTo(2, 10)
    expect(x[1]).toBeCloseTo(3, 10)
  })

  it('leaves a column out where it would be negative: the mean, of what falls', () => {
    expect(nonNegativeLeastSquares([[1, 0], [1, 1], [1, 2]], [6, 3, 0])).toEqual([expect.closeTo(3, 10), 0])
    expect(nonNegativeLeastSquares([[1], [1]], [-1, -2])).toEqual([0])
  })

  it('takes columns of very different sizes', () => {
    const x = nonNegativeLeastSquares([[1, 1e9], [1, 2e9], [1, 4e9]], [3, 5, 9])
    expect(x[0]).toBeCloseTo(1, 6)
    expect(x[1]! * 1e9).toBeCloseTo(2, 6)
  })

  it('meets the conditions of an optimum: no column can be had for less by growing, nor by shrinking where it is not 0', () => {
    fc.assert(fc.property(fc.array(fc.tuple(value, value, value, value), { minLength: 4, maxLength: 8 }), (table) => {
      const rows = table.map(([a, b, c]) => [a, b, c])
      const b = table.map(([, , , y]) => y)
      const x = nonNegativeLeastSquares(rows, b)
      const residual = rows.map((row, i) => row.reduce((sum, v, k) => sum + v * x[k]!, 0) - b[i]!)
      for (const [k, v] of x.entries()) {
        const gradient = rows.reduce((sum, row, i) => sum + row[k]! * residual[i]!, 0)
        expect(v).toBeGreaterThanOrEqual(0)
        expect(gradient).toBeGreaterThan(-1e-5)
        if (v > 1e-6) expect(Math.abs(gradient)).toBeLessThan(1e-5)
      }
    }), { seed: 1 })
  })
})

describe('fitSurface', () => {
  it('finds what made the times', () => {
    const made = (i: number, o: number): number => 0.1 + 0.2 * i + 0.3 * o + 2 * i * o
    const shares = [[1, 1], [0.5, 0.5], [0.25, 0.25], [0.5, 1], [1, 0.5]] as const
    const fitted = fitSurface(shares.map(([i, o]) => ({ in: i, out: o, ms: made(i, o) })))
    for (const [i, o] of [[0.7, 0.3], [0.1, 0.9], [1, 0]] as const) expect(fitted({ in: i, out: o })).toBeCloseTo(made(i, o), 6)
  })

  it('never falls as a share grows, whatever was measured', () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true })
    fc.assert(fc.property(fc.array(fc.record({ in: share, out: share, ms: fc.double({ min: 0, max: 100, noNaN: true }) }), { minLength: 1, maxLength: 10 }), share, share, share, (points, a, b, c) => {
      const fitted = fitSurface(points)
      const [low, high] = a < b ? [a, b] : [b, a]
      expect(fitted({ in: low, out: c })).toBeLessThanOrEqual(fitted({ in: high, out: c }))
      expect(fitted({ in: c, out: low })).toBeLessThanOrEqual(fitted({ in: c, out: high }))
      expect(fitted({ in: low, out: c })).toBeGreaterThanOrEqual(0)
    }), { seed: 1 })
  })
})

/** a (64) -> depthwise -> b (96) -> head (4), on 4x4 maps. */
function chain(): { model: Model; groups: ChannelGroup[] } {
  const net = new Net(1, [1, 3, 4, 4])
  const deep = net.grouped('deep', net.act('Relu', net.conv('a', net.x, 64)), 64, 64)
  const model = net.model(net.conv('head', net.act('Relu', net.conv('b', deep, 96)), 4, 1))
  return { model, groups: findGroups(model).filter((g) => g.prunable) }
}

const firstUnits = (groups: readonly ChannelGroup[], widths: readonly number[]) => new Map(groups.map((g, i) => [g.id, Array.from({ length: widths[i]! }, (_, k) => k)]))

describe('viewLayers', () => {
  const { model, groups } = chain()
  const view = viewLayers(model, groups)

  it('knows which groups a layer reads and makes', () => {
    expect(groups.map((g) => g.channels)).toEqual([64, 96])
    expect(view.names).toHaveLength(4)
    expect(view.reads).toEqual([[], [0], [0], [1]])
    expect(view.makes).toEqual([[0], [0], [1], []])
  })

  it.each([[[64, 96]], [[16, 96]], [[24, 40]], [[8, 8]]])('gives the layers that the cut to %j has, groups of the depthwise one too', (widths) => {
    const cut = applyPlan(model, makePlan(groups, firstUnits(groups, widths), { method: 'first' }))
    expect(view.at(widths).map(({ layer }) => layerKey(layer))).toEqual(cut.graph.nodes.filter((n) => n.opType === 'Conv').map((n) => layerKey(layerOf(n))))
    expect(view.at(widths)[2]).toMatchObject({ in: widths[0]! / 64, out: widths[1]! / 96 })
    // Two activations, both behind a layer.
    expect(view.others(widths)).toEqual([16 * (widths[0]! + widths[1]!), 0])
  })
})

/** Times of layers that work in blocks of 16 channels; a part of a block costs more than all of it by `odd`. */
function blockTimes(model: Model, groups: readonly ChannelGroup[], odd: number) {
  const view = viewLayers(model, groups)
  const blocks = (n: number): number => Math.ceil(n / 16) + (n % 16 === 0 ? 0 : odd)
  const layers = (kept: readonly number[]): number[] => {
    const [a, b] = [blocks(kept[0]!), blocks(kept[1]!)]
    return [a, 0.1 * a, a * b, 0.2 * b]
  }
  return {
    estimate: (kept: readonly number[]) => 0.5 + view.shares(kept).reduce((sum, { in: i, out: o }, k) => sum + [4, 0.4, 24, 1.2][k]! * i * o, 0),
    predict: (kept: readonly number[]) => Promise.resolve({ ms: 0.5 + layers(kept).reduce((x, y) => x + y, 0), layers: layers(kept) }),
  }
}

describe('solveLatency', () => {
  const { model, groups } = chain()
  const full = groups.map((g) => g.channels)
  const harms: Readonly<Record<string, readonly number[]>> = { uniform: [], sensitive: [0.1, 0.2, 0.4, 0.8] }
  const rules: Readonly<Record<string, (b: BudgetOptions) => ReturnType<typeof solveBudget>>> = {
    uniform: solveBudget,
    sensitive: (b) => sensitiveWidths({ ...b, sensitivity: groups.map((group) => ({ group, cuts: widthShares.map((share, i) => ({ share, kept: Math.round(group.channels * (1 - share)), harm: harms.sensitive![i]! })) })) }),
  }

  it.each(['uniform', 'sensitive'])('%s widths: the prediction meets the limit, and no width runs slower than the next larger one', async (rule) => {
    await fc.assert(fc.asyncProperty(fc.double({ min: 0, max: 0.5, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), async (odd, t) => {
      const profile = blockTimes(model, groups, odd)
      const [least, most] = [(await profile.predict([8, 8])).ms, (await profile.predict(full)).ms]
      const limitMs = least + t * (most - least)
      const budget = await solveLatency({ profile, limitMs, budget: { model, groups }, solve: rules[rule]! })
      const kept = groups.map((g) => budget.widths.get(g.id)!)
      const now = await profile.predict(kept)
      expect(now.ms).toBeLessThanOrEqual(limitMs)
      expect(budget.latency).toEqual({ limitMs, beforeMs: most, afterMs: now.ms })
      const { params, macs } = modelCost(applyPlan(model, makePlan(groups, firstUnits(groups, kept), { method: 'first' })))
      expect(budget.after).toEqual({ params, macs })
      for (const [i, group] of groups.entries()) {
        expect(kept[i]! % 8).toBe(0)
        const wider = kept.map((w, k) => (k === i ? widerWidth(group, w, {}) : w))
        expect((await profile.predict(wider)).ms).toBeGreaterThanOrEqual(now.ms)
      }
    }), { seed: 1, numRuns: 40 })
  })

  it('fills blocks, and comes near the limit', async () => {
    const profile = blockTimes(model, groups, 0)
    // [64, 96] takes 0.5 + 4 + 0.4 + 24 + 1.2; [48, 64] 0.5 + 3 + 0.3 + 12 + 0.8 = 16.6, [48, 80] 19.8.
    const budget = await solveLatency({ profile, limitMs: 17, budget: { model, groups }, solve: solveBudget })
    expect([...budget.widths.values()]).toEqual([48, 64])
    expect(budget.latency!.afterMs).toBeCloseTo(16.6, 10)
  })

  it('does not fill blocks beyond the limit, though the difference be within the noise', async () => {
    // Every channel more costs a little, less than two times that are the same may differ by.
    const predict = (kept: readonly number[]): Promise<{ ms: number; layers: readonly number[] }> => {
      const layers = [10 + 1e-4 * kept[0]!, 10 + 1e-4 * kept[1]!]
      return Promise.resolve({ ms: layers[0]! + layers[1]!, layers })
    }
    const limitMs = 20 + 1e-4 * 100
    const budget = await solveLatency({ profile: { estimate: (kept) => 20 + 1e-4 * (kept[0]! + kept[1]!), predict }, limitMs, budget: { model, groups }, solve: solveBudget })
    expect(budget.latency!.afterMs).toBeLessThanOrEqual(limitMs)
    expect(budget.latency!.afterMs).toBeGreaterThan(20 + 1e-4 * 84)
  })

  it('leaves a model whole that is fast enough', async () => {
    const budget = await solveLatency({ profile: blockTimes(model, groups, 0), limitMs: 40, budget: { model, groups }, solve: solveBudget })
    expect([...budget.widths.values()]).toEqual(full)
  })

  it('names the lowest prediction where the limit is below it', async () => {
    const run = solveLatency({ profile: blockTimes(model, groups, 0), limitMs: 1, budget: { model, groups }, solve: solveBudget })
    // One block each: 0.5 + 1 + 0.1 + 1 + 0.2.
    await expect(run).rejects.toThrowErrorMatchingInlineSnapshot(`[UserError: 1 ms cannot be reached: with the 2 chosen groups at their least widths a run is predicted to take 2.80 ms. Allow more time, allow more groups, or round to fewer channels]`)
  })
})
