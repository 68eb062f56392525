/** @file Widths by sensitivity: the budget holds, insensitive groups go first, plateaus are seen, the harm is less than that of one ratio. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { solveBudget } from '../../src/pruning/budget.ts'
import { random } from '../../src/pruning/criteria/random.ts'
import { type ChannelGroup, findGroups, wholeReason } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { sensitiveWidths, widthShares } from '../../src/pruning/sensitive-widths.ts'
import { type GroupSensitivity, measureSensitivity } from '../../src/pruning/sensitivity.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { inputsFor, Net, run } from './nets.ts'

/** Four equal layers in a row, 32 channels each, on 6x6 maps, and a head. */
function chain(): { model: Model; groups: ChannelGroup[] } {
  const net = new Net(1, [1, 3, 6, 6])
  let x = net.x
  for (const name of ['a', 'b', 'c', 'd']) x = net.act('Relu', net.conv(name, x, 32))
  const model = net.model(net.conv('head', x, 4, 1))
  return { model, groups: findGroups(model).filter((g) => g.prunable) }
}

/** Harms at the usual shares, by a layer's name. */
function measured(groups: readonly ChannelGroup[], harms: Readonly<Record<string, readonly number[]>>): GroupSensitivity[] {
  return groups.map((group) => ({ group, cuts: widthShares.map((share, i) => ({ share, kept: Math.round(group.channels * (1 - share)), harm: harms[group.id.slice(0, 1)]![i]! })) }))
}

describe('sensitiveWidths', () => {
  const { model, groups } = chain()
  const of = (widths: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries([...widths].map(([id, w]) => [id.slice(0, 1), w]))
  const even = [0.1, 0.2, 0.4, 0.8]

  it('cuts where it harms least, to multiples of 8, until the budget holds and not a step further', () => {
    const { widths, after, before } = sensitiveWidths({ model, groups, removeMacs: 0.3, sensitivity: measured(groups, { a: even, b: even, c: [0.01, 0.02, 0.03, 0.05], d: even }) })
    // From 32 to 16, c alone removes half of what c and d multiply: 0.5 * 2 / 3.1 of the whole, just more than asked for.
    expect(of(widths)).toEqual({ a: 32, b: 32, c: 16, d: 32 })
    expect([...widths.values()].every((w) => w % 8 === 0)).toBe(true)
    expect(after.macs).toBeLessThanOrEqual(0.7 * before.macs)
    const cut = applyPlan(model, makePlan(groups, new Map([...widths].map(([id, w]) => [id, Array.from({ length: w }, (_, k) => k)])), { method: 'hand' }))
    expect(after).toMatchObject({ params: modelCost(cut).params, macs: modelCost(cut).macs })
  })

  it('sees a plateau behind a first hard step', () => {
    const plateau = [0.3, 0.3, 0.3, 0.3]
    const { widths } = sensitiveWidths({ model, groups, removeMacs: 0.3, sensitivity: measured(groups, { a: [0.2, 0.29, 0.8, 1.6], b: [0.2, 0.29, 0.8, 1.6], c: plateau, d: [0.2, 0.29, 0.8, 1.6] }) })
    expect(of(widths)).toMatchObject({ a: 32, b: 32, c: 16, d: 32 })
  })

  it('spreads cuts over groups that suffer nearly alike: harms add up in squares', () => {
    const [hard, straight] = [[1, 1.2, 1.5, 2], [0.1, 0.2, 0.4, 0.6]]
    const { widths } = sensitiveWidths({ model, groups, removeMacs: 0.4, sensitivity: measured(groups, { a: hard, b: straight, c: straight.map((h) => 1.2 * h), d: hard }) })
    // Added up as they are, b's harms would always be the lesser ones, and b alone be cut, to 8.
    expect(of(widths)).toEqual({ a: 32, b: 16, c: 24, d: 32 })
  })

  it('takes no more of a group than the limit', () => {
    const asked = { model, groups, removeMacs: 0.4, sensitivity: measured(groups, { a: even, b: even, c: [0.01, 0.02, 0.03, 0.05], d: even }) }
    expect(of(sensitiveWidths(asked).widths)).toMatchObject({ c: 8 })
    const { widths, after, before } = sensitiveWidths({ ...asked, limit: 0.3 })
    expect([...widths.values()].every((w) => w >= 24)).toBe(true)
    expect(after.macs).toBeLessThanOrEqual(0.6 * before.macs)
    expect(() => sensitiveWidths({ ...asked, limit: 0.2 })).toThrow(/cannot be removed: the 4 chosen groups allow 0%/)
  })

  it('spares what is not finite, and what was not measured', () => {
    const harms = measured(groups, { a: even, b: even, c: even, d: [Infinity, NaN, Infinity, Infinity] })
    const { widths } = sensitiveWidths({ model, groups, removeParams: 0.4, sensitivity: harms.filter(({ group }) => !group.id.startsWith('a')) })
    expect(of(widths)).toMatchObject({ a: 32, d: 32 })
  })

  it('says what cannot be met', () => {
    expect(() => sensitiveWidths({ model, groups, removeMacs: 0.99, sensitivity: measured(groups, { a: even, b: even, c: even, d: even }) })).toThrow(/99% of the multiply-accumulates cannot be removed: the 4 chosen groups allow/)
  })

  it('harms the outputs less than one ratio for all does, as measured', async () => {
    const net = new Net(5, [1, 3, 8, 8])
    const wide = net.conv('wide', net.conv('stem', net.x, 32), 32)
    // One branch is scaled down: its channels hardly reach the output.
    const faint = net.b.mul(net.conv('faint', net.act('Relu', wide), 64), net.b.scalar(0.05))
    const strong = net.conv('strong', net.act('Relu', wide), 64)
    const whole = net.model(net.conv('head', net.b.op('Concat', [faint, strong], { axis: 1 }), 6, 1))
    const all = findGroups(whole).filter((g) => wholeReason(g) === undefined)
    const feeds = inputsFor(whole, createRng(2))
    async function* inputs() {
      yield feeds
    }
    const { groups: sensitivity } = await measureSensitivity(whole, { runtime: nodeRuntime, session: { threads: 1 }, groups: all, criterion: random, shares: widthShares, seed: 0, inputs: inputs(), runs: 1 })
    const asked = { model: whole, groups: all, removeMacs: 0.3 }
    const [chosen, uniform] = [sensitiveWidths({ ...asked, sensitivity }), solveBudget(asked)]
    const error = async (widths: ReadonlyMap<string, number>): Promise<number> => {
      const kept = new Map([...widths].map(([id, w]) => [id, Array.from({ length: w }, (_, k) => k)]))
      const [got, wanted] = [await run(applyPlan(whole, makePlan(all, kept, { method: 'hand' })), feeds), await run(whole, feeds)]
      const name = whole.graph.outputs[0]!.name
      const y = floats(got[name]!)
      return Math.sqrt(floats(wanted[name]!).reduce((sum, v, i) => sum + (v - y[i]!) ** 2, 0))
    }
    expect(await error(chosen.widths)).toBeLessThan(0.8 * (await error(uniform.widths)))
  })
})
