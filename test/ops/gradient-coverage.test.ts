/** @file No operator with a gradient goes unchecked. */
import { expect, it } from 'vitest'
import { notDifferentiable } from '../../src/ops/define.ts'
import { allOps } from '../../src/ops/registry.ts'
import { gradientCases } from './gradient-cases.ts'
import { convCases, normCases, poolCases, productCases, resizeCases } from './window-cases.ts'

/** Steps: their gradients are pinned by hand in gradients.test.ts; Upsample becomes Resize before any gradient, Scatter ScatterElements. */
const pinned = ['Floor', 'Ceil', 'Round', 'Sign', 'Hardmax', 'Upsample', 'Scatter']

it('has a directional check for every differentiable operator', () => {
  const cases = [...gradientCases, ...[convCases, poolCases, productCases, normCases, resizeCases].flat().filter((c) => (c.opset ?? 21) === 21)]
  const checked = new Set([...cases.map((c) => c.op), ...pinned])
  const differentiable = allOps().filter((def) => def.vjp !== notDifferentiable).map((def) => def.type)
  expect(differentiable.length).toBeGreaterThan(60)
  expect(differentiable.filter((type) => !checked.has(type))).toEqual([])
})
