/** @file Sensitivity against models that are really cut, and the session that serves all cuts. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { bestUnits } from '../../src/pruning/budget.ts'
import { l1 } from '../../src/pruning/criteria/l1.ts'
import { type ChannelGroup, findGroups, wholeReason } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { measureSensitivity, type SensitivityOptions } from '../../src/pruning/sensitivity.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { applyZeroFactor, withMaskInputs } from '../../src/pruning/zero-factor.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce, type Runtime, type Tensors } from '../../src/runtime/session.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { inputsFor, Net, run } from './nets.ts'

/** A residual stream, a Concat, a depthwise and a grouped convolution, a Sigmoid (0 is not 0 behind it), a Gemm behind a Flatten; two outputs. */
function net(seed: number): { model: Model; groups: ChannelGroup[] } {
  const n = new Net(seed, [1, 3, 6, 6])
  const stem = n.conv('stem', n.x, 8, 3)
  const inner = n.act('Sigmoid', n.norm('bn', n.conv('inner', stem, 6, 1, false)))
  const sum = n.b.add(stem, n.conv('outer', n.grouped('dw', inner, 6, 6), 8, 1), 'sum')
  const joined = n.b.op('Concat', [n.conv('left', sum, 4, 1), n.grouped('right', sum, 4, 2)], { axis: 1 })
  const flat = n.b.op('Flatten', [n.conv('last', joined, 3, 3)], { axis: 1 })
  const model = n.model(n.conv('map', joined, 2, 1), n.linear('fc', flat, 5))
  return { model, groups: findGroups(model).filter((g) => wholeReason(g) === undefined) }
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

function options(groups: readonly ChannelGroup[], inputs: readonly Tensors[], runtime: Runtime = nodeRuntime): SensitivityOptions {
  return { runtime, session: { threads: 1 }, groups, criterion: l1, shares: [0.3, 0.5, 0.7], seed: 0, inputs: each(inputs), runs: inputs.length }
}

describe('withMaskInputs', () => {
  it('gives what the zero factor gives, for every group, from one model', async () => {
    for (let seed = 0; seed < 4; seed++) {
      const { model, groups } = net(seed)
      const masked = withMaskInputs(model, groups)
      verify(masked.model.graph)
      const feeds = inputsFor(model, createRng(seed))
      expect(await run(masked.model, { ...feeds, ...masked.feeds() })).toEqual(await run(model, feeds))
      for (const [i, group] of groups.entries()) {
        const kept = [0, group.channels - 1]
        const plan = makePlan(groups, new Map([[group.id, kept]]), { method: 'hand' })
        const [got, wanted] = [await run(masked.model, { ...feeds, ...masked.feeds(i, kept) }), await run(applyZeroFactor(model, plan), feeds)]
        for (const name of ['map', 'fc']) expect([...floats(got[name]!)].map((x) => expect.closeTo(x, 4)), group.id).toEqual([...floats(wanted[name]!)])
      }
    }
  })

  it('leaves weights without a factor', () => {
    const { model, groups } = net(0)
    const masked = withMaskInputs(model, groups)
    for (const v of masked.model.graph.initializers) expect([...v.uses].some((use) => use.node.opType === 'Mul'), v.name).toBe(false)
  })
})

describe('measureSensitivity', () => {
  it('is the relative RMS difference of the outputs of the model with that group cut', async () => {
    const { model, groups } = net(1)
    expect(groups.map((g) => g.id)).toEqual(['stem.w', 'inner.w', 'left.w', 'right.w', 'last.w'])
    const inputs = [1, 2, 3].map((seed) => inputsFor(model, createRng(seed)))
    const found = await measureSensitivity(model, options(groups, inputs))
    expect(found).toMatchObject({ outputs: ['map', 'fc'], leftOut: [] })
    const whole = await Promise.all(inputs.map((feeds) => run(model, feeds)))
    for (const { group, cuts } of found.groups) {
      const scores = l1.score(group, { rng: createRng(0) })
      expect(cuts.map((c) => c.share)).toEqual([0.3, 0.5, 0.7])
      for (const { kept, share, harm } of cuts) {
        expect(kept).toBe(Math.max(1, Math.round(group.channels * (1 - share))))
        const cut = applyPlan(model, makePlan(groups, new Map([[group.id, bestUnits(scores, kept)]]), { method: 'l1' }))
        const ratios = await Promise.all(['map', 'fc'].map(async (name) => {
          let [difference, square] = [0, 0]
          for (const [i, feeds] of inputs.entries()) {
            const got = floats((await run(cut, feeds))[name]!)
            floats(whole[i]![name]!).forEach((x, k) => {
              difference += (x - got[k]!) ** 2
              square += x * x
            })
          }
          return Math.sqrt(difference / square)
        }))
        expect(harm, group.id).toBeCloseTo((ratios[0]! + ratios[1]!) / 2, 4)
        expect(harm).toBeGreaterThan(0)
      }
    }
  })

  it('loads one session, and scores on it', async () => {
    const { model, groups } = net(2)
    let loads = 0
    const counting: Runtime = { ...nodeRuntime, load: (...args) => (loads++, nodeRuntime.load(...args)) }
    const feeds = inputsFor(model, createRng(1))
    const sumOf = async (runtime: Runtime): Promise<number> => floats((await runOnce(runtime, model, feeds))['fc']!).reduce((a, b) => a + b, 0)
    const events: string[] = []
    const found = await measureSensitivity(model, { ...options(groups, [feeds], counting), score: sumOf, listener: (e) => events.push(e.type === 'phase' ? `${e.name} ${e.total}` : e.type) })
    expect(loads).toBe(1)
    expect(found.score).toBeCloseTo(await sumOf(nodeRuntime), 4)
    const { group, cuts } = found.groups[0]!
    const cut = applyPlan(model, makePlan(groups, new Map([[group.id, bestUnits(l1.score(group, { rng: createRng(0) }), cuts[2]!.kept)]]), { method: 'l1' }))
    expect(cuts[2]!.score).toBeCloseTo(floats((await run(cut, feeds))['fc']!).reduce((a, b) => a + b, 0), 4)
    expect(events).toEqual(['phase' , ...Array(15).fill('progress'), 'end', 'phase', ...Array(15).fill('progress'), 'end'].map((type, i) => (type === 'phase' ? (i === 0 ? 'sensitivity 15' : 'score 16') : type)))
  })

  it('leaves out what cannot be compared, and says why', async () => {
    const n = new Net(3, [1, 3, 6, 6])
    const map = n.conv('head', n.conv('c1', n.x, 4, 1), 2, 1)
    const flat = n.b.op('Reshape', [map, n.b.ints([1, -1])])
    const [best, indices] = n.b.ops('TopK', [flat, n.b.ints([3])], 2, {}, 'top')
    const model = n.model(map, best!, indices!)
    const groups = findGroups(model).filter((g) => g.prunable)
    const found = await measureSensitivity(model, options(groups, [inputsFor(model, createRng(1))]))
    expect(found.leftOut).toEqual(['output "top_0" depends on what TopK "top_0" chooses', 'output "top_1" is no float output (int64)'].map((text) => expect.stringContaining(text.slice(0, 14))))
    expect(found.outputs).toEqual(['head', 'reshape'])
    model.graph.outputs.shift()
    const behind = await measureSensitivity(model, options(groups, [inputsFor(model, createRng(1))]))
    expect(behind.outputs).toEqual(['reshape'])
    // The same numbers in another shape.
    expect(behind.groups[0]!.cuts.map((c) => c.harm)).toEqual(found.groups[0]!.cuts.map((c) => expect.closeTo(c.harm, 6)))
  })

  it('refuses a model with nothing to cut', async () => {
    const n = new Net(4, [1, 3, 6, 6])
    await expect(measureSensitivity(n.model(n.conv('head', n.x, 2, 1)), options([], []))).rejects.toThrow('the model has no channel group to cut')
  })
})

describe('a distance of its own', () => {
  it('takes the place of the relative error: the root of its mean over the runs', async () => {
    const { model, groups } = net(1)
    const feeds = [inputsFor(model, createRng(1)), inputsFor(model, createRng(2))]
    const asked: Tensors[] = []
    const found = await measureSensitivity(model, {
      ...options(groups, feeds),
      // Squared distance of one output alone.
      distance: async (reference, outputs) => {
        asked.push(outputs)
        const y = floats(outputs.fc!)
        return floats(reference.fc!).reduce((sum, v, i) => sum + (v - y[i]!) ** 2, 0)
      },
    })
    expect(asked).toHaveLength(2 * 3 * groups.length)
    const { group, cuts } = found.groups[0]!
    const plan = makePlan(groups, new Map([[group.id, bestUnits(l1.score(group, { rng: createRng('0/l1') }), cuts[1]!.kept)]]), { method: 'hand' })
    let mean = 0
    for (const feed of feeds) {
      const [got, wanted] = [await run(applyPlan(model, plan), feed), await run(model, feed)]
      mean += floats(wanted.fc!).reduce((sum, v, i) => sum + (v - floats(got.fc!)[i]!) ** 2, 0) / feeds.length
    }
    expect(cuts[1]!.harm).toBeCloseTo(Math.sqrt(mean), 4)
    expect(found.groups.every((g) => g.cuts.every((c) => c.harm >= 0))).toBe(true)
  })
})
