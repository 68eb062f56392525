/** @file What least squares makes good, foretold from moments, against what it does make good. */
import { beforeAll, describe, expect, it } from 'vitest'
import { fileURLToPath } from 'node:url'
import { openDetector } from '../../src/cli/open-model.ts'
import type { Batch } from '../../src/data/loader.ts'
import { withOutputs } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { fitWeights } from '../../src/pruning/least-squares.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { refitShares } from '../../src/pruning/refit.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { loaderFor } from '../../src/train/source.ts'
import { shapesSource } from '../support/shapes.ts'

const { detector: trained } = await openDetector(fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url)))
const detector = { ...trained, model: foldBatchNorm(trained.model) }
const options = { runtime: nodeRuntime, session: { threads: 1 } }
const batches: Batch[] = []

beforeAll(async () => {
  for await (const batch of loaderFor(shapesSource('train', 16), trained.card, { batch: 8 }).epoch(0)) batches.push(batch)
})

/** A value of a model over all batches, [.., C, ..] flattened. */
async function valuesAt(model: Model, name: string): Promise<number[]> {
  const shown = withOutputs(model, [valueNamed(model.graph, name)])
  const all: number[] = []
  for (const { images, samples } of batches) {
    const out = await runOnce(nodeRuntime, shown, { image: { dtype: 'float32', dims: [samples.length, 3, 160, 160], data: images } }, { threads: 1, optimization: 'disabled' })
    for (const v of floats(out[name]!)) all.push(v)
  }
  return all
}

const squared = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0)

describe('refitShares', () => {
  it.each(['layer1.0.conv1', 'layer3.0.conv1'])('foretells what fitting leaves behind %s', async (layer) => {
    const groups = findGroups(detector.model)
    const group = groups.find((g) => g.id === `${layer}.weight`)!
    const removed = Array.from({ length: group.channels >> 1 }, (_, i) => 2 * i)
    const kept = Array.from({ length: group.channels }, (_, k) => k).filter((k) => !removed.includes(k))
    const plan = makePlan(groups, new Map([[group.id, kept]]), { method: 'hand' })
    const cut = { ...detector, model: applyPlan(detector.model, plan) }
    const fitted = await fitWeights(detector, cut, plan, { ...options, batches })
    const output = group.consumers[0]!.node.outputs[0]!.name
    const [whole, zeroed, mended] = [await valuesAt(detector.model, output), await valuesAt(cut.model, output), await valuesAt(fitted, output)]
    const share = (await refitShares(detector, [group], { ...options, batches }))(group, removed)
    const real = squared(mended, whole) / squared(zeroed, whole)
    expect(real).toBeLessThan(0.8)
    // The pull towards the old weights, and towards none, is not quite the same.
    expect(share).toBeGreaterThan(0.7 * real)
    expect(share).toBeLessThan(1.4 * real)
  }, 60_000)

  it('is 1 where nothing is known of the consumers, and less the fewer are removed', async () => {
    const groups = findGroups(detector.model)
    const group = groups.find((g) => g.id === 'layer2.0.conv1.weight')!
    const share = await refitShares(detector, [group], { ...options, batches })
    expect(share(group, [0])).toBeGreaterThan(0)
    expect(share(group, [0])).toBeLessThan(1)
    const unknown = await refitShares(detector, [], { ...options, batches })
    expect(unknown(group, [0, 1])).toBe(1)
  }, 60_000)
})
