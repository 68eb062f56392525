/** @file Statistics after a cut: BN's running ones are the images' own, biased layers have the original's channel means. */
import { beforeAll, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { cloneModel } from '../../src/ir/edit.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import type { Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import type { Batch } from '../../src/data/loader.ts'
import { l1 } from '../../src/pruning/criteria/l1.ts'
import { bestUnits } from '../../src/pruning/budget.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { recalibrate } from '../../src/pruning/recalibrate.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { loaderFor } from '../../src/train/source.ts'
import { shapesSource } from '../support/shapes.ts'

const source = shapesSource('train', 8)
const original = detectorOf(buildDetector('ssd-small', { classes: source.dataset.classes, seed: 3, size: 96 }), 'small.onnx')
/** Half of every inner group out, by L1. */
function halved(model: Model) {
  const groups = findGroups(model).filter((g) => g.prunable && !g.coupled)
  const kept = new Map(groups.map((g) => [g.id, bestUnits(l1.score(g, { rng: createRng(1) }), Math.ceil(g.channels / 2))]))
  const plan = makePlan(groups, kept, { method: 'l1' })
  return { kept, plan, cut: { ...original, model: applyPlan(model, plan) } }
}
const { plan, cut } = halved(original.model)
const batches: Batch[] = []

beforeAll(async () => {
  for await (const batch of loaderFor(source, original.card, { batch: 4 }).epoch(0)) batches.push(batch)
})

/** Mean and variance of each channel of a value [N,C,H,W] over all batches. */
async function moments(model: Model, name: string): Promise<{ mean: number; variance: number }[]> {
  const copy = cloneModel(model).model
  const value = valueNamed(copy.graph, name)
  if (!copy.graph.outputs.includes(value)) copy.graph.outputs.push(value)
  const sums: { n: number; x: number; xx: number }[] = []
  for (const batch of batches) {
    // Without the runtime's fusions the value is computed as the file says.
    const out = (await runOnce(nodeRuntime, copy, { image: { dtype: 'float32', dims: [4, 3, 96, 96], data: batch.images } }, { threads: 1 }))[name]!
    const [n, c, h, w] = out.dims as [number, number, number, number]
    const data = floats(out)
    for (let i = 0; i < n * c; i++) {
      const sum = (sums[i % c] ??= { n: 0, x: 0, xx: 0 })
      for (let k = 0; k < h * w; k++) {
        const v = data[i * h * w + k]!
        sum.n += 1
        sum.x += v
        sum.xx += v * v
      }
    }
  }
  return sums.map((s) => ({ mean: s.x / s.n, variance: s.xx / s.n - (s.x / s.n) ** 2 }))
}

it('measures BN statistics and corrects biases, and leaves the rest as it was', async () => {
  const done = await recalibrate(original, cut, plan, { runtime: nodeRuntime, session: { threads: 1 }, batches, fit: 'biases' })
  // The first layer's statistics are exact; those of later ones were taken with the batches' own statistics before them.
  const normal = done.model.graph.nodes.find((n) => n.name === 'stem.bn1')!
  const wanted = await moments(done.model, normal.inputs[0]!.name)
  const scale = Math.max(...wanted.map((m) => Math.sqrt(m.variance)))
  floats(normal.inputs[3]!.initializer!).forEach((mean, k) => expect(Math.abs(mean - wanted[k]!.mean) / scale).toBeLessThan(1e-4))
  floats(normal.inputs[4]!.initializer!).forEach((variance, k) => expect(Math.abs(variance / wanted[k]!.variance - 1)).toBeLessThan(1e-2))

  const head = done.model.graph.nodes.find((n) => n.name === 'head.0.scores')!.outputs[0]!.name
  const [before, after, target] = [await moments(cut.model, head), await moments(done.model, head), await moments(original.model, head)]
  const off = (m: typeof before): number => Math.max(...m.map((x, k) => Math.abs(x.mean - target[k]!.mean)))
  expect(off(before)).toBeGreaterThan(1e-3)
  expect(off(after)).toBeLessThan(1e-5 + off(before) / 100)

  const weights = (m: Model): unknown => m.graph.initializers.map((v) => [v.name, v.shape])
  expect(weights(done.model)).toEqual(weights(cut.model))
  const kernel = 'layer2.0.conv2.weight'
  expect(valueNamed(done.model.graph, kernel).initializer).toBe(valueNamed(cut.model.graph, kernel).initializer)
}, 60_000)

it('gives layers that lost channels themselves the means of those they kept, where BN was folded away', async () => {
  const folded = { ...original, model: foldBatchNorm(original.model) }
  const { kept, plan: own, cut: narrow } = halved(folded.model)
  const done = await recalibrate(folded, narrow, own, { runtime: nodeRuntime, session: { threads: 1 }, batches, fit: 'biases' })
  // Its input is a stream that was not cut, but what came into the stream was.
  const layer = 'layer3.0.conv1'
  const [before, after, target] = [await moments(narrow.model, layer), await moments(done.model, layer), await moments(folded.model, layer)]
  const units = kept.get(`${layer}.weight`)!
  expect(units).not.toEqual([...units.keys()])
  expect(after).toHaveLength(units.length)
  const off = (m: typeof before): number => Math.max(...m.map((x, k) => Math.abs(x.mean - target[units[k]!]!.mean)))
  expect(off(before)).toBeGreaterThan(1e-3)
  expect(off(after)).toBeLessThan(1e-5 + off(before) / 100)
}, 60_000)
