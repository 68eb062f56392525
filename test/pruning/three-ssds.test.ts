/** @file Every group of the three SSDs: cutting it equals a 0/1 factor on its channels at the consumers. */
import { describe, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { certify } from '../../src/pruning/certify.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { runModel } from '../support/run.ts'

describe('cutting a group equals zeroing its channels at the consumers', () => {
  // The smallest inputs that leave every feature map a cell.
  it.each([['ssd300-resnet18', 64], ['ssd300-resnet50', 264], ['ssd300-vgg16', 272]])('%s', async (name, size) => {
    const original = buildDetector(name, { classes: ['a', 'b'], seed: 1, size })
    const groups = findGroups(original).filter((g) => g.prunable)
    expect(groups.length).toBeGreaterThan(10)
    const rng = createRng(2)
    const image = f32(Float32Array.from({ length: 3 * size * size }, () => rng.normal()), [1, 3, size, size])
    for (const group of groups) {
      // A third of the channels goes.
      const kept = Array.from({ length: group.channels }, (_, k) => k).filter((k) => k % 3 !== 1)
      const plan = makePlan(groups, new Map([[group.id, kept]]), { method: 'test' })
      const { worst, outputs } = await certify({ original, pruned: applyPlan(original, plan), plan, inputs: [{ image }], run: runModel })
      expect(outputs.every((o) => o.maxReference > 0)).toBe(true)
      expect(worst, group.id).toBeLessThan(1e-4)
    }
  }, 180_000)
})
