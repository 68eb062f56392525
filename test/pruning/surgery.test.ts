/** @file A cut model computes what the original computes with the removed channels zeroed. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { cloneModel, setInitializer } from '../../src/ir/edit.ts'
import { print } from '../../src/ir/print.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { composePlans, makePlan, parsePlan } from '../../src/pruning/plan.ts'
import { applyPlan, sliceState } from '../../src/pruning/surgery.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { randomPlan } from './cut-case.ts'
import { inputsFor, Net, run } from './nets.ts'
import { randomNet } from './random-net.ts'

describe('applyPlan', () => {
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

  it('makes one plan in original indices of two cuts in a row', { timeout: 30_000 }, async () => {
    for (let seed = 0; seed < 25; seed++) {
      const model = randomNet(seed)
      const rng = createRng(seed)
      // With one unit left, a grouped convolution may be a depthwise one, which ties other channels.
      const first = randomPlan(model, rng, 2)
      const once = applyPlan(model, first)
      const second = randomPlan(once, rng)
      const twice = applyPlan(once, second)
      const whole = applyPlan(model, parsePlan(JSON.stringify(composePlans(first, second)), 'plan.json'))
      // Parts of a Split that are equal again need no mention in one and keep theirs in the other.
      const weights = (m: Model): Map<string, unknown> => new Map(m.graph.initializers.filter((v) => v.dtype === 'float32').map((v) => [v.name, v.initializer]))
      expect(weights(whole)).toEqual(weights(twice))
      const feeds = inputsFor(model, rng)
      expect(await run(whole, feeds)).toEqual(await run(twice, feeds))
    }
  })
})
