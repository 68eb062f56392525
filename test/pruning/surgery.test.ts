/** @file A cut model computes what the original computes with the removed channels zeroed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { cloneModel, setInitializer } from '../../src/ir/edit.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { certify } from '../../src/pruning/certify.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { composePlans, makePlan, parsePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan, sliceState } from '../../src/pruning/surgery.ts'
import { widthCost } from '../../src/pruning/width-cost.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRng, type Rng, shuffled } from '../../src/tensor/rng.ts'
import { inputsFor, Net, run } from './nets.ts'
import { randomNet } from './random-net.ts'

function randomPlan(model: Model, rng: Rng): PrunePlan {
  const groups = findGroups(model)
  const kept = new Map<string, number[]>()
  for (const g of groups) {
    if (!g.prunable || rng.int(4) === 0) continue
    const units = shuffled(Array.from({ length: g.channels }, (_, k) => k), rng)
    kept.set(g.id, units.slice(0, 1 + rng.int(g.channels)))
  }
  return makePlan(groups, kept, { method: 'random', seed: 1 })
}

/** float32 sums in another order: a few units in the last place of the largest output, times the depth of these nets. */
const tolerance = 2e-5

describe('applyPlan', () => {
  it('gives what zeroing gives, on random graphs and random plans', { timeout: 60_000 }, async () => {
    let cuts = 0
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), async (seed) => {
        const model = randomNet(seed)
        const before = print(model.graph)
        const rng = createRng(seed)
        const plan = parsePlan(JSON.stringify(randomPlan(model, rng)), 'plan.json')
        cuts += plan.groups.length
        const pruned = applyPlan(model, plan)
        verify(pruned.graph)
        const certificate = await certify({ original: model, pruned, plan, inputs: [inputsFor(model, rng)], run })
        expect(certificate.worst).toBeLessThan(tolerance)
        expect(certificate.differences).toEqual([])
        expect(certificate.sameWeights).toBe(true)
        expect(print(model.graph)).toBe(before)
        // The arithmetic of budgets is exact.
        const groups = findGroups(model)
        const widths = groups.map((g) => plan.groups.find((p) => p.id === g.id)?.channelsAfter ?? g.channels)
        expect(modelCost(pruned)).toMatchObject(widthCost(model, groups)(widths))
      }),
      { numRuns: 60, seed: 7 },
    )
    expect(cuts).toBeGreaterThan(60)
  })

  it('takes f(0) out with the channel, which zeroing its weights would not', async () => {
    const net = new Net(10)
    const model = net.model(net.conv('head', net.act('Sigmoid', net.conv('c1', net.x, 3, 1)), 1, 1))
    const pruned = applyPlan(model, makePlan(findGroups(model), new Map([['c1.w', [0, 2]]]), { method: 'hand' }))
    const zeroed = cloneModel(model).model
    for (const v of zeroed.graph.initializers) {
      const size = v.name === 'c1.w' ? 3 : 1
      if (v.name.startsWith('c1')) setInitializer(v, { ...v.initializer!, data: floats(v.initializer!).map((x, i) => (i >= size && i < 2 * size ? 0 : x)) })
    }
    const feeds = inputsFor(model, createRng(4))
    const [cut, zero] = [floats((await run(pruned, feeds)).head!), floats((await run(zeroed, feeds)).head!)]
    const left = 0.5 * floats(model.graph.initializers.find((v) => v.name === 'head.w')!.initializer!)[1]!
    cut.forEach((x, i) => expect(zero[i]! - x).toBeCloseTo(left, 5))
  })

  it('leaves names, order, metadata and opsets, and no masks', () => {
    const net = new Net(11)
    const model = net.model(net.conv('head', net.act('Relu', net.grouped('dw', net.conv('c1', net.x, 4, 1), 4, 4)), 2, 1))
    model.metadata.set('espalier.detector', '{}')
    const plan = makePlan(findGroups(model), new Map([['c1.w', [0, 3]]]), { method: 'hand' })
    const pruned = applyPlan(model, plan)
    expect(pruned.metadata).toEqual(model.metadata)
    expect(pruned.opsets).toEqual(model.opsets)
    expect(print(pruned.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[2,3,6,6]) {
        c1.w: float32[2,3,1,1] = initializer
        c1.b: float32[2] = initializer
        dw.w: float32[2,1,3,3] = initializer
        dw.b: float32[2] = initializer
        head.w: float32[2,2,1,1] = initializer
        head.b: float32[2] = initializer
        c1: float32[2,2,6,6] = Conv(x, c1.w, c1.b) {group=1, kernel_shape=[1,1], pads=[0,0,0,0]}
        dw: float32[2,2,6,6] = Conv(c1, dw.w, dw.b) {group=2, kernel_shape=[3,3], pads=[1,1,1,1]}
        relu: float32[2,2,6,6] = Relu(dw)
        head: float32[2,2,6,6] = Conv(relu, head.w, head.b) {group=1, kernel_shape=[1,1], pads=[0,0,0,0]}
        return head
      }"
    `)
  })

  it('takes the kept rows and columns of every tied initializer', () => {
    const net = new Net(12)
    const model = net.model(net.conv('head', net.conv('c1', net.x, 3, 1), 2, 1))
    const plan = makePlan(findGroups(model), new Map([['c1.w', [2, 0]]]), { method: 'hand' })
    const weights = (m: Model): Map<string, readonly number[]> => new Map(m.graph.initializers.map((v) => [v.name, Array.from(v.initializer!.data as Float32Array)]))
    const [before, after] = [weights(model), weights(applyPlan(model, plan))]
    const w = before.get('c1.w')!
    expect(after.get('c1.w')).toEqual([...w.slice(0, 3), ...w.slice(6, 9)])
    expect(after.get('c1.b')).toEqual([0, 2].map((i) => before.get('c1.b')![i]))
    expect(after.get('head.w')).toEqual([0, 2, 3, 5].map((i) => before.get('head.w')![i]))
    expect(after.get('head.b')).toEqual(before.get('head.b'))
    const state = sliceState(new Map(model.graph.initializers.map((v) => [v.name, v.initializer!])), plan)
    for (const [name, t] of state) expect(Array.from(t.data as Float32Array)).toEqual(after.get(name))
  })

  it('makes one plan in original indices of two cuts in a row', { timeout: 30_000 }, () => {
    for (let seed = 0; seed < 25; seed++) {
      const model = randomNet(seed)
      const rng = createRng(seed)
      const first = randomPlan(model, rng)
      const once = applyPlan(model, first)
      const second = randomPlan(once, rng)
      const twice = applyPlan(once, second)
      const whole = applyPlan(model, parsePlan(JSON.stringify(composePlans(first, second)), 'plan.json'))
      expect(print(whole.graph)).toBe(print(twice.graph))
      whole.graph.initializers.forEach((v, i) => expect(v.initializer!.data).toEqual(twice.graph.initializers[i]!.initializer!.data))
    }
  })
})

describe('certify', () => {
  it('finds another weight, another width and a wrong cut', async () => {
    const net = new Net(13)
    const model = net.model(net.conv('head', net.act('Sigmoid', net.conv('c1', net.x, 4, 1)), 2, 1))
    const groups = findGroups(model)
    const plan = makePlan(groups, new Map([['c1.w', [0, 3]]]), { method: 'hand' })
    const inputs = [inputsFor(model, createRng(1))]
    const other = applyPlan(model, makePlan(groups, new Map([['c1.w', [0, 1]]]), { method: 'hand' }))
    expect(await certify({ original: model, pruned: other, plan, inputs, run })).toMatchObject({ sameWeights: false, differences: [] })
    const wider = applyPlan(model, makePlan(groups, new Map([['c1.w', [0, 1, 2]]]), { method: 'hand' }))
    const { differences } = await certify({ original: model, pruned: wider, plan, inputs, run, at: ['head'] })
    expect(differences[0]).toBe('initializer "c1.w" is [3,3,1,1], expected [2,3,1,1]')
  })
})
