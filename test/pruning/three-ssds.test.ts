/** @file Every group of the three SSDs: cutting it equals a 0/1 factor on its channels at the consumers. */
import { describe, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { certify, faultOf } from '../../src/pruning/certify.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { compareNumbers, tolerance } from './cut-case.ts'
import { run } from './nets.ts'

describe('cutting a group equals zeroing its channels at the consumers', () => {
  // The smallest inputs that leave every feature map a cell.
  it.each([['ssd300-resnet18', 64], ['ssd300-resnet50', 264], ['ssd300-vgg16', 272]])('%s', async (name, size) => {
    const original = buildDetector(name, { classes: ['a', 'b'], seed: 1, size })
    const groups = findGroups(original).filter((g) => g.prunable)
    expect(groups.length).toBeGreaterThan(10)
    const rng = createRng(2)
    const image = f32(Float32Array.from({ length: 3 * size * size }, () => rng.normal()), [1, 3, size, size])
    // A third of the channels of every group goes: of every eighth group at a time, then of all at once.
    const planOf = (some: typeof groups): PrunePlan => makePlan(groups, new Map(some.map((g) => [g.id, Array.from({ length: g.channels }, (_, k) => k).filter((k) => k % 3 !== 1)])), { method: 'test' })
    for (let part = 0; part < 8; part++) {
      const plan = planOf(groups.filter((_, i) => i % 8 === part))
      expect(await compareNumbers(original, plan, { image }), plan.groups.map((g) => g.id).join()).toBeLessThan(tolerance)
    }
    const plan = planOf(groups)
    const found = await certify({ original, pruned: applyPlan(original, plan), plan, inputs: [{ image }], run })
    expect(faultOf(found)).toBeUndefined()
    expect(found.outputs.every((o) => o.maxReference > 0)).toBe(true)
  }, 180_000)
})
