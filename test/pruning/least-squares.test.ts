/** @file Least squares after a cut: what is left makes up for what it can, exactly where the lost channels are a mix of the kept ones. */
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Batch } from '../../src/data/loader.ts'
import { openDetector } from '../../src/cli/open-model.ts'
import { cloneModel, setInitializer, withOutputs } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { fitWeights } from '../../src/pruning/least-squares.ts'
import { makePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { recalibrate } from '../../src/pruning/recalibrate.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import type { Detector } from '../../src/train/detector.ts'
import { loaderFor } from '../../src/train/source.ts'
import { shapesSource } from '../support/shapes.ts'

const { detector: trained } = await openDetector(fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url)))
const built = trained.model
const detector = (model: Model): Detector => ({ ...trained, model })
const source = shapesSource('train', 24)
const fitting: Batch[] = []
const fresh: Batch[] = []

beforeAll(async () => {
  for await (const batch of loaderFor(source, trained.card, { batch: 8 }).epoch(0)) (fitting.length < 2 ? fitting : fresh).push(batch)
})

const options = { runtime: nodeRuntime, session: { threads: 1 } }

/** The first half of the units of the groups that `chosen` names. */
function firstHalf(model: Model, chosen: (id: string) => boolean): PrunePlan {
  const groups = findGroups(model).filter((g) => g.prunable && !g.coupled && chosen(g.id))
  return makePlan(groups, new Map(groups.map((g) => [g.id, Array.from({ length: g.channels / 2 }, (_, k) => k)])), { method: 'half' })
}

/** |a - b|^2 / |b|^2 of all outputs on batches. */
async function distance(model: Model, reference: Model, batches: readonly Batch[]): Promise<number> {
  let [error, energy] = [0, 0]
  for (const { images, samples } of batches) {
    const feeds = { image: { dtype: 'float32' as const, dims: [samples.length, 3, 160, 160], data: images } }
    const [got, wanted] = [await runOnce(nodeRuntime, model, feeds, { threads: 1 }), await runOnce(nodeRuntime, reference, feeds, { threads: 1 })]
    for (const name of Object.keys(wanted)) {
      const y = floats(got[name]!)
      floats(wanted[name]!).forEach((v, i) => {
        error += (v - y[i]!) ** 2
        energy += v * v
      })
    }
  }
  return error / energy
}

/** A value [N,C,H,W] of a model on the first unseen batch. */
async function valueOf(model: Model, name: string): Promise<{ values: Float32Array; dims: readonly number[] }> {
  const { images, samples } = fresh[0]!
  const feeds = { image: { dtype: 'float32' as const, dims: [samples.length, 3, 160, 160], data: images } }
  const found = (await runOnce(nodeRuntime, withOutputs(model, [valueNamed(model.graph, name)]), feeds, { threads: 1 }))[name]!
  return { values: floats(found), dims: found.dims }
}

/** The second half of a layer's filters made 1.5 times the first: a factor above 0 passes a Relu. */
function withCopies(model: Model, weight: string, bias: string): Model {
  const copy = cloneModel(model).model
  const [w, b] = [valueNamed(copy.graph, weight), valueNamed(copy.graph, bias)]
  const [values, offsets] = [floats(w.initializer!).slice(), floats(b.initializer!).slice()]
  const rows = w.initializer!.dims[0]!
  const size = values.length / rows
  for (let o = rows / 2; o < rows; o++) {
    for (let i = 0; i < size; i++) values[o * size + i] = 1.5 * values[(o - rows / 2) * size + i]!
    offsets[o] = 1.5 * offsets[o - rows / 2]!
  }
  setInitializer(w, f32(values, w.initializer!.dims))
  setInitializer(b, f32(offsets))
  return copy
}

describe('fitWeights', () => {
  const folded = foldBatchNorm(built)

  it('restores the outputs where every lost channel is a multiple of a kept one', async () => {
    const layer = 'layer2.0.conv1'
    const node = folded.graph.nodes.find((n) => n.name === layer)!
    const model = withCopies(folded, node.inputs[1]!.name, node.inputs[2]!.name)
    const plan = firstHalf(model, (id) => id.startsWith(layer))
    expect(plan.groups.length).toBeGreaterThan(0)
    const cut = applyPlan(model, plan)
    const fitted = await fitWeights(detector(model), detector(cut), plan, { ...options, batches: fitting })
    expect(await distance(cut, model, fresh)).toBeGreaterThan(1e-2)
    expect(await distance(fitted, model, fresh)).toBeLessThan(1e-4)
  }, 60_000)

  it('brings unseen images nearer to the original than biases alone, and leaves nodes, shapes and earlier layers as they are', async () => {
    const plan = firstHalf(folded, () => true)
    const cut = detector(applyPlan(folded, plan))
    const fitted = await recalibrate(detector(folded), cut, plan, { ...options, batches: fitting, fit: 'weights' })
    const biased = await recalibrate(detector(folded), cut, plan, { ...options, batches: fitting, fit: 'biases' })
    const [none, biases, weights] = [await distance(cut.model, folded, fresh), await distance(biased.model, folded, fresh), await distance(fitted.model, folded, fresh)]
    expect(biases).toBeLessThan(none)
    expect(weights).toBeLessThan(0.7 * biases)
    const shapes = (m: Model): unknown => [m.graph.nodes.map((n) => n.opType), m.graph.initializers.map((v) => [v.name, v.initializer!.dims])]
    expect(shapes(fitted.model)).toEqual(shapes(cut.model))
    const first = folded.graph.nodes.find((n) => n.name === 'stem.conv1')!.inputs[1]!.name
    expect(valueNamed(fitted.model.graph, first).initializer).toBe(valueNamed(cut.model.graph, first).initializer)
  }, 60_000)

  it('fits layers that lost outputs themselves to those that they kept', async () => {
    const groups = findGroups(folded).filter((g) => g.prunable)
    const plan = makePlan(groups, new Map(groups.map((g) => [g.id, Array.from({ length: g.channels >> 1 }, (_, k) => 2 * k + 1)])), { method: 'odd' })
    const cut = applyPlan(folded, plan)
    const fitted = await fitWeights(detector(folded), detector(cut), plan, { ...options, batches: fitting })
    // The layer's own output: layers behind it would make good what it has wrong.
    const output = folded.graph.nodes.find((n) => n.name === 'layer3.0.conv1')!.outputs[0]!.name
    const { values, dims } = await valueOf(folded, output)
    const plane = dims[2]! * dims[3]!
    const odd = Float32Array.from({ length: values.length / 2 }, (_, i) => values[(2 * Math.floor(i / plane) + 1) * plane + (i % plane)]!)
    const error = async (model: Model): Promise<number> => {
      const own = (await valueOf(model, output)).values
      expect(own.length).toBe(odd.length)
      return odd.reduce((sum, v, i) => sum + (v - own[i]!) ** 2, 0) / odd.reduce((sum, v) => sum + v * v, 0)
    }
    const [left, mended] = [await error(cut), await error(fitted)]
    expect(left).toBeGreaterThan(0.3)
    expect(mended).toBeLessThan(0.5 * left)
  }, 60_000)

  it('measures BatchNormalization anew where the model has it', async () => {
    const plan = firstHalf(built, () => true)
    const cut = detector(applyPlan(built, plan))
    const fitted = await recalibrate(detector(built), cut, plan, { ...options, batches: fitting, fit: 'weights' })
    const norm = fitted.model.graph.nodes.find((n) => n.name === 'layer3.0.bn1')!
    const before = cut.model.graph.nodes.find((n) => n.name === 'layer3.0.bn1')!
    expect(floats(norm.inputs[3]!.initializer!)).not.toEqual(floats(before.inputs[3]!.initializer!))
    expect(await distance(fitted.model, built, fitting)).toBeLessThan(await distance(cut.model, built, fitting))
  }, 60_000)
})
