/** @file Nets that once failed the property of cut-equals-zero, each by the name of what it has. */
import { expect, it } from 'vitest'
import type { Value } from '../../src/ir/graph.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { checkCut, tolerance } from './cut-case.ts'
import { reduce } from './forms.ts'
import { inputsFor, Net } from './nets.ts'

it('one node that sums over two axes of one value, both cut: the reference masked the first alone', async () => {
  const net = new Net(1)
  const places = (x: Value, c: number): Value => net.b.reshape(x, [2, c, 36])
  const products = net.b.op('MatMul', [places(net.conv('a', net.x, 4, 1), 4), net.b.transpose(places(net.conv('b', net.x, 5, 1), 5), [0, 2, 1])])
  const model = net.model(reduce(net, 'ReduceL2', products, [1, 2]))
  const plan = makePlan(findGroups(model), new Map([['a.w', [0, 2]], ['b.w', [1, 2]]]), { method: 'hand' })
  expect(plan.groups).toHaveLength(2)
  expect(await checkCut(model, plan, inputsFor(model, createRng(1)))).toBeLessThan(tolerance)
})
