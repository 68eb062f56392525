/** @file LCP from end to end on a small detector and the embedded images. */
import { describe, expect, it } from 'vitest'
import { augmentPresets } from '../../src/data/augment.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { criterionNamed } from '../../src/pruning/criteria/registry.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { type LcpOptions, lcpDefaults } from '../../src/pruning/lcp/options.ts'
import { prune, type PruneOptions, type PruneResult, select, type Selected } from '../../src/pruning/prune.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { type Detector, detectorOf } from '../../src/train/detector.ts'
import { loaderFor } from '../../src/train/source.ts'
import { imageFeeds } from '../../src/train/task.ts'
import { shapesSource } from '../support/shapes.ts'

const train = shapesSource('train', 8)
const detector = detectorOf(buildDetector('ssd-small', { classes: train.dataset.classes, seed: 3, size: 96 }), 'small.onnx')

function options(method: string, lcp: Partial<LcpOptions> = {}, more: Partial<PruneOptions> = {}): PruneOptions {
  return {
    runtime: nodeRuntime,
    session: { threads: 1 },
    criterion: criterionNamed(method),
    budget: { removeParams: 0.4, round: 4, groups: 'inner' },
    lcp: { ...lcpDefaults, aux: { ...lcpDefaults.aux, boxes: 8 }, batch: 4, images: 8, stageEpochs: 1, ...lcp },
    finetune: { epochs: 0, batch: 4, rate: 0.005, warmup: 2, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: 10 } },
    augment: augmentPresets.light,
    seed: 5,
    ...more,
  }
}

/** Sum of squares of what the cut changed in the outputs, by that of the outputs. */
async function distance(cut: Detector): Promise<number> {
  const sessions = await Promise.all([detector, cut].map(({ model }) => nodeRuntime.load(model, { threads: 1 })))
  let error = 0
  let size = 0
  for await (const data of loaderFor(train, detector.card, { batch: 1 }).epoch(0)) {
    const [wanted, got] = await Promise.all(sessions.map((session) => session.run(imageFeeds(detector.card, data))))
    for (const [name, tensor] of Object.entries(wanted!)) {
      const other = floats(got![name]!)
      floats(tensor).forEach((v, i) => {
        error += (v - other[i]!) ** 2
        size += v ** 2
      })
    }
  }
  for (const session of sessions) await session.release()
  return error / size
}

const widths = (s: Selected): number[] => s.plan.groups.map((g) => g.channelsAfter)

describe('select with lcp', () => {
  it('cuts every stage to its width, logs both gradient norms and counts its passes', async () => {
    const selected = await select(detector, train, options('lcp'))
    expect(selected.stages.map((s) => s.end)).toEqual(['layer2.0.out', 'layer3.0.out', 'layer4.0.out', 'outputs'])
    const groups = new Map(findGroups(detector.model).map((g) => [g.id, g]))
    for (const g of selected.plan.groups) {
      expect(g.channelsAfter).toBe(selected.budget.widths.get(g.id))
      expect(g.channelsAfter).toBeLessThan(groups.get(g.id)!.channels)
    }
    const layers = selected.stages.flatMap((s) => s.layers)
    expect(layers.length).toBeGreaterThanOrEqual(selected.plan.groups.length)
    // After a stage was tuned, M differs from M_b: the reconstruction term speaks too.
    for (const l of layers) expect(l.gradientReconstruction).toBeGreaterThan(0)
    // After the last stage end the detector's own loss speaks, and these images have no box on the coarsest map.
    for (const l of selected.stages.filter((s) => s.end !== 'outputs').flatMap((s) => s.layers)) expect(l.gradientLocalization).toBeGreaterThan(0)
    // 4 stages of one tuning epoch, one scoring pass and one update epoch over 8 images.
    expect(selected.passes).toEqual({ selection: 32, stage: 32, update: 32 })
    expect(selected.budget.after.params).toBeLessThanOrEqual(0.6 * selected.budget.before.params)
    // The detector is the cut original with other weights: same nodes, same shapes.
    const replay = applyPlan(detector.model, selected.plan)
    expect(selected.detector.model.graph.initializers.map((v) => [v.name, v.shape])).toEqual(replay.graph.initializers.map((v) => [v.name, v.shape]))
  }, 60_000)

  it('is the same plan and the same weights for the same seed, another for another', async () => {
    const one = await select(detector, train, options('lcp'))
    const two = await select(detector, train, options('lcp'))
    const other = await select(detector, train, options('lcp', {}, { seed: 6 }))
    expect(two.plan).toEqual(one.plan)
    const weights = (s: Selected): unknown => s.detector.model.graph.initializers.map((v) => [v.name, [...(v.initializer!.data as Float32Array).slice(0, 50)].map(String)])
    expect(weights(two)).toEqual(weights(one))
    expect(other.plan.groups).not.toEqual(one.plan.groups)
  }, 60_000)

  const aux = { ...lcpDefaults.aux, boxes: 8 }
  it.each([
    ['layer by layer, with plain RoIAlign', { sweep: 'layer', stageEpochs: 0, aux: { ...aux, roi: 'plain' } }],
    ['greedy in blocks, without the box loss', { select: 'greedy', block: 24, stageEpochs: 0, updateEpochs: 0, aux: { ...aux, m: 0 } }],
    ['from zero weights, by reconstruction alone', { start: 'zero', alpha: 0, stageEpochs: 0 }],
  ] as [string, Partial<LcpOptions>][])('works %s', async (_, lcp) => {
    const selected = await select(detector, train, options('lcp', lcp))
    expect(widths(selected)).toEqual(selected.plan.groups.map((g) => selected.budget.widths.get(g.id)))
    expect(selected.plan.groups.length).toBeGreaterThan(5)
    for (const v of selected.detector.model.graph.initializers) if (v.initializer!.dtype === 'float32') expect(floats(v.initializer!).every(Number.isFinite)).toBe(true)
  }, 60_000)

  it('refuses to rank channels that no loss depends on', async () => {
    // These images have no box on the coarsest map: without L_re nothing speaks for its layers.
    await expect(select(detector, train, options('lcp', { reconstruction: false, updateEpochs: 0 }))).rejects.toThrow(/"extra.0.conv1.weight" score 0/)
  }, 60_000)

  it('stops greedy selection early when the loss settles, and refuses it by stage', async () => {
    const settled = await select(detector, train, options('lcp', { select: 'greedy', block: 8, epsilon: 1e9, stageEpochs: 0, updateEpochs: 0 }))
    // Three accumulations tell that two rounds made no difference worth more: 16 channels at most.
    for (const g of settled.plan.groups) expect(g.channelsAfter).toBeLessThanOrEqual(16)
    await expect(select(detector, train, options('lcp', { select: 'greedy', sweep: 'stage' }))).rejects.toThrow(/need a sweep by layer/)
  }, 60_000)

  it('takes stage ends by name, and refuses what is none', async () => {
    const selected = await select(detector, train, options('lcp', { stageEnds: ['layer3.0.out'], updateEpochs: 0 }))
    expect(selected.stages.map((s) => s.end)).toEqual(['layer3.0.out', 'outputs'])
    await expect(select(detector, train, options('lcp', { stageEnds: ['nowhere'] }))).rejects.toThrow(/has no value "nowhere" to be a stage end/)
  }, 60_000)

  it('takes a number of stage ends, evenly spaced, and says how many there are', async () => {
    const endsOf = async (stageCount: number): Promise<string[]> => (await select(detector, train, options('lcp', { stageCount, updateEpochs: 0 }))).stages.map((s) => s.end)
    const [one, two] = [await endsOf(1), await endsOf(2)]
    expect(one).toHaveLength(2)
    expect(two).toHaveLength(3)
    for (const ends of [one, two]) expect(ends.at(-1)).toBe('outputs')
    await expect(select(detector, train, options('lcp', { stageCount: 50 }))).rejects.toThrow(/--stage-count 50: the model has only \d+ feature maps/)
  }, 60_000)

  it('adds up the auxiliary loss over boxes where asked: its gradient grows with them', async () => {
    const norms = async (reduction: 'mean' | 'sum'): Promise<number[]> => {
      const { stages } = await select(detector, train, options('lcp', { aux: { ...lcpDefaults.aux, boxes: 8, reduction } }))
      // Of the first stage: the later ones were trained by another loss before.
      return stages[0]!.layers.map((l) => l.gradientLocalization)
    }
    const [mean, sum] = [await norms('mean'), await norms('sum')]
    mean.forEach((norm, i) => expect(sum[i]! / norm).toBeGreaterThan(1.5))
  }, 60_000)

  it('fits kept weights by least squares: nearer to what the baseline says than without an update', async () => {
    const lossAfter = async (more: Partial<LcpOptions>): Promise<{ loss: number; update: number }> => {
      const { detector: cut, passes } = await select(detector, train, options('lcp', { sweep: 'layer', stageRate: 1e-6, ...more }))
      return { loss: await distance(cut), update: passes.update }
    }
    const none = await lossAfter({ updateEpochs: 0 })
    const fitted = await lossAfter({ update: 'least-squares' })
    expect(fitted.loss).toBeLessThan(0.9 * none.loss)
    expect(none.update).toBe(0)
    expect(fitted.update).toBeGreaterThan(0)
  }, 120_000)

  it('prunes residual streams too when asked', async () => {
    const selected = await select(detector, train, options('lcp', {}, { budget: { removeParams: 0.5, round: 4, groups: 'all' } }))
    expect(selected.plan.groups.length).toBeGreaterThan(0)
    expect(selected.budget.after.params).toBeLessThanOrEqual(0.5 * selected.budget.before.params)
  }, 60_000)
})

describe('prune', () => {
  it('measures before, after the cut and at the end; rivals get the passes they are given', async () => {
    const sources = { train, val: shapesSource('val', 4), test: shapesSource('test', 4) }
    const lcp = await prune(detector, sources, options('lcp', {}, { finetune: { epochs: 1, batch: 4, rate: 0.005, warmup: 2, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: 10 } } }))
    const rival = await prune(detector, sources, options('l1', {}, { finetune: { epochs: 0, totalPasses: lcp.passes.total, batch: 4, rate: 0.005, warmup: 2, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: 10 } } }))
    for (const r of [lcp, rival] as PruneResult[]) {
      expect(r.before.images).toBe(4)
      expect(r.cut.params).toBe(r.after.params)
      expect(r.after.params).toBeLessThanOrEqual(0.6 * r.before.params)
      expect(r.passes.total).toBe(r.passes.selection + r.passes.stage + r.passes.update + r.passes.finetune)
    }
    expect(rival.passes.total).toBe(lcp.passes.total)
    expect(rival.stages).toEqual([])
    expect(rival.after.params).toBe(lcp.after.params)
  }, 60_000)
})
