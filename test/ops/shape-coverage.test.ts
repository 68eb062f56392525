/** @file No operator's shape rule goes unchecked. */
import { expect, it } from 'vitest'
import { asStated } from '../../src/ops/rules.ts'
import { allOps } from '../../src/ops/registry.ts'
import { openCases, shapeCases } from './shape-cases.ts'
import { convCases, furtherShapes, normCases, poolCases, productCases, resizeCases } from './window-cases.ts'

it('has a case for every operator whose shapes are inferred', () => {
  const checked = new Set([shapeCases, openCases, convCases, poolCases, productCases, normCases, resizeCases, furtherShapes].flat().map((c) => c.op))
  const inferred = allOps().filter((def) => def.shape !== asStated).map((def) => def.type)
  expect(inferred.length).toBeGreaterThan(120)
  expect(inferred.filter((type) => !checked.has(type))).toEqual([])
})
