/** @file What one channel costs: the counted cost of the cut model is the oracle. */
import { expect, it } from 'vitest'
import { modelCost } from '../../src/passes/cost.ts'
import { findGroups, wholeReason } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { unitCosts } from '../../src/pruning/width-cost.ts'
import { Net } from './nets.ts'

/** stem + outer is a residual stream, dw is depthwise, branches of 3 and 1 channels meet in a Concat. */
function net() {
  const n = new Net(1, [1, 3, 6, 6])
  const stem = n.conv('stem', n.x, 4, 3)
  const inner = n.act('Relu', n.norm('bn', n.conv('inner', stem, 6, 1, false)))
  const sum = n.b.add(stem, n.conv('outer', n.grouped('dw', inner, 6, 6), 4, 1), 'sum')
  const parts = [n.conv('three', sum, 3, 1), n.conv('one', sum, 1, 1)]
  return n.model(n.conv('head', n.b.op('Concat', parts, { axis: 1 }), 2, 3))
}

it('equals the cost of the model less the cost of the model without one channel', () => {
  const model = net()
  const groups = findGroups(model)
  const costs = unitCosts(model, groups)
  const whole = modelCost(model)
  const cuttable = groups.filter((g) => wholeReason(g) === undefined)
  expect(cuttable.map((g) => g.id)).toEqual(['stem.w', 'inner.w', 'three.w'])
  for (const group of cuttable) {
    const kept = Array.from({ length: group.channels - 1 }, (_, k) => k)
    const cut = modelCost(applyPlan(model, makePlan(groups, new Map([[group.id, kept]]), { method: 'hand' })))
    expect(costs[groups.indexOf(group)], group.id).toEqual({ params: whole.params - cut.params, macs: whole.macs - cut.macs })
  }
  // By hand: one row of inner (4), its BN (4), its depthwise kernel with bias (10), its column of outer (4); all at 36 places but BN and biases.
  expect(costs[groups.findIndex((g) => g.id === 'inner.w')]).toEqual({ params: 4 + 4 + 10 + 4, macs: 36 * (4 + 9 + 4) })
  expect(costs[groups.findIndex((g) => g.id === 'head.w')]).toEqual({ params: 4 * 9 + 1, macs: 36 * 4 * 9 })
})

it('counts parameters where the shapes for MACs are not known', () => {
  const model = net()
  const groups = findGroups(model)
  const wanted = unitCosts(model, groups)
  for (const node of model.graph.nodes) for (const v of node.outputs) if (v) v.shape = undefined
  model.graph.inputs[0]!.shape = undefined
  expect(unitCosts(model, groups, false)).toEqual(wanted.map(({ params }) => ({ params, macs: null })))
})

it('a group of a single unit says that it must stay', () => {
  expect(findGroups(net()).map((g) => [g.id, wholeReason(g)])).toEqual([
    ['stem.w', undefined],
    ['inner.w', undefined],
    ['three.w', undefined],
    ['one.w', 'a single channel of Conv "one", and every group keeps one'],
    ['head.w', '"head", which Conv "head" makes, is an output of the model'],
  ])
  const n = new Net(2, [1, 4, 6, 6])
  // Each of the two groups of the convolution makes one channel, and groups must stay of one size.
  const [grouped] = findGroups(n.model(n.conv('head', n.grouped('grouped', n.x, 2, 2), 2, 1)))
  expect(wholeReason(grouped!)).toBe('a single unit of 2 channels of Conv "grouped", and every group keeps one')
})
