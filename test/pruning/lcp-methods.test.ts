/** @file Methods that share LCP's way: what each differs in, options that fit none, and exact greedy selection against plain loops. */
import { describe, expect, it } from 'vitest'
import { parseOptions } from '../../src/cli/fields.ts'
import { lcpFields, lcpOf } from '../../src/cli/prune-options.ts'
import { augmentPresets } from '../../src/data/augment.ts'
import type { GroundTruth } from '../../src/detection/annotation.ts'
import { createMatcher } from '../../src/detection/matcher.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { createRoiBatch, sampleTruths } from '../../src/detection/roi-sampling.ts'
import { withOutputs } from '../../src/ir/edit.ts'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { Builder } from '../../src/ops/builder.ts'
import { dcp } from '../../src/pruning/criteria/dcp.ts'
import { criterionNamed } from '../../src/pruning/criteria/registry.ts'
import { type LcpOptions, lcpDefaults } from '../../src/pruning/lcp/options.ts'
import { type PruneOptions, select } from '../../src/pruning/prune.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { createRng, shuffled } from '../../src/tensor/rng.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { cosineRate } from '../../src/train/schedule.ts'
import { loaderFor } from '../../src/train/source.ts'
import { shapesSource } from '../support/shapes.ts'

const train = shapesSource('train', 8)
const detector = detectorOf(buildDetector('ssd-small', { classes: train.dataset.classes, seed: 3, size: 96 }), 'small.onnx')

/** The options of a method as the command line makes them. */
const asked = (method: string, given: Record<string, unknown> = {}): LcpOptions => lcpOf(parseOptions(lcpFields, given), 'labels', criterionNamed(method))

function pruning(method: string, lcp: LcpOptions): PruneOptions {
  return {
    runtime: nodeRuntime, session: { threads: 1 }, criterion: criterionNamed(method), budget: { removeParams: 0.4, round: 4, groups: 'inner' }, lcp,
    finetune: { epochs: 0, batch: 4, rate: 0, warmup: 0, optimizer: { type: 'sgd', momentum: 0 } }, augment: augmentPresets.none, seed: 5,
  }
}

describe('defaults of a method', () => {
  it('lcp has those of the table', () => expect(asked('lcp')).toEqual({ ...lcpDefaults, stageCount: undefined }))

  it('dcp looks at the objects\' own boxes without a box loss, and selects greedily', () => {
    expect(asked('dcp')).toMatchObject({ aux: { roi: 'truth', m: 0, reduction: 'mean' }, alpha: 1, select: 'greedy', block: 8, reconstruction: true })
  })

  it('reconstruction has no auxiliary network', () => expect(asked('reconstruction')).toMatchObject({ aux: undefined, alpha: 0, gamma: 0, select: 'one-shot' }))

  it('an option that is given wins', () => {
    expect(asked('dcp', { select: 'one-shot', roi: 'plain', m: 50, alpha: 3, gamma: 2 })).toMatchObject({ aux: { roi: 'plain', m: 50 }, alpha: 3, gamma: 2, select: 'one-shot' })
    expect(asked('lcp', { roi: 'truth', m: 0, select: 'greedy', selectBlock: 1, auxReduction: 'sum', update: 'both', stageCount: 2 })).toMatchObject({ aux: { roi: 'truth', m: 0, reduction: 'sum' }, select: 'greedy', block: 1, update: 'both', stageCount: 2 })
  })

  it('methods that look at the model once take the images and the batch alone', () => {
    expect(asked('taylor', { images: 24, batch: 4, alpha: 7 })).toEqual({ ...lcpDefaults, images: 24, batch: 4 })
    expect(() => asked('taylor', { images: 4, batch: 8 })).toThrow('--images 4 is less than a batch of 8')
    expect(asked('thinet', { images: 4, batch: 8 }).images).toBe(4)
  })

  it.each([
    ['reconstruction', { m: 50 }, '--m has no meaning with --method reconstruction, which has no auxiliary network'],
    ['reconstruction', { auxReduction: 'sum' }, '--aux-reduction has no meaning with --method reconstruction'],
    ['reconstruction', { reconstruction: false }, 'leaves no loss to score channels by'],
    ['reconstruction', { stageEpochs: 0 }, '--stage-epochs 0 leaves the detector as it came, so the reconstruction loss has no gradient'],
    ['dcp', { m: 50 }, '--roi truth looks at the objects\' own boxes, so there is no box to find'],
    ['dcp', { start: 'trained' }, '--start trained has no meaning with greedy selection'],
    ['dcp', { sweep: 'stage' }, 'need a sweep by layer'],
    ['lcp', { selectBlock: 4 }, '--select-block has no meaning with one-shot selection'],
    ['lcp', { update: 'least-squares', updateEpochs: 2 }, '--update-epochs has no meaning with --update least-squares'],
    ['lcp', { update: 'both', reconstruction: false }, '--no-reconstruction leaves nothing to fit for --update both'],
    ['lcp', { stages: 'a', stageCount: 2 }, '--stages and --stage-count both say where stages end'],
    ['lcp', { stageCount: 0 }, '--stage-count must be a whole number from 1'],
  ])('%s refuses %j', (method, given, message) => expect(() => asked(method, given)).toThrow(message))
})

describe('reconstruction', () => {
  it('has no auxiliary loss anywhere, and judges by L_re after the last stage end too', async () => {
    const { stages } = await select(detector, train, pruning('reconstruction', asked('reconstruction', { batch: 4, images: 8, stageEpochs: 1 })))
    expect(stages.at(-1)!.end).toBe('outputs')
    for (const stage of stages) {
      expect(stage.losses.loss).toBe(stage.losses.detection)
      expect(Object.keys(stage.losses).filter((name) => name.startsWith('aux'))).toEqual([])
      for (const layer of stage.layers) expect([layer.gradientLocalization, layer.gradientReconstruction > 0]).toEqual([0, true])
    }
  }, 60_000)
})

describe('the objects\' own boxes', () => {
  const defaults = detector.defaults!
  const truth: GroundTruth = {
    boxes: Float32Array.of(10, 10, 40, 50, 60, 60, 90, 90, 5, 50, 30, 80, 0, 0, 96, 96),
    labels: Int32Array.of(2, 0, 1, 1), crowd: Uint8Array.of(0, 0, 0, 1), difficult: Uint8Array.of(0, 0, 1, 0), areas: new Float32Array(4),
  }
  const matches = createMatcher(defaults.corners)(truth)
  const drawn = (perImage: number, background?: number, of = truth) => {
    const out = createRoiBatch(1, perImage)
    sampleTruths(out, 0, perImage, of, of === truth ? matches : new Int32Array(matches.length).fill(-1), defaults, createRng('rois'), background)
    return out
  }

  it('are those that count, each repeated at a share of the weight, with nothing to move', () => {
    const out = drawn(5)
    const box = (i: number): number[] => [...out.boxes.subarray(4 * i, 4 * i + 4)]
    expect([0, 1, 2, 3, 4].map(box)).toEqual([0, 1, 0, 1, 0].map((g) => [...truth.boxes.subarray(4 * g, 4 * g + 4)]))
    expect([...out.labels]).toEqual([2, 0, 2, 0, 2])
    ;[1 / 3, 1 / 2, 1 / 3, 1 / 2, 1 / 3].forEach((w, i) => expect(out.weights[i]).toBeCloseTo(w, 6))
    expect(out.truths).toEqual(out.boxes)
    expect(out.contexts).toEqual(out.boxes)
    expect([...out.centers.subarray(0, 4)]).toEqual([25, 30, 30, 40])
  })

  it('have default boxes without an object beside them where there is a background', () => {
    // A quarter of the places: as many as there are default boxes, so that each without an object is there.
    const out = drawn(4 * matches.length, 1)
    const boxesOf = (all: Float32Array, which: readonly number[]): Set<string> => new Set(which.map((i) => all.subarray(4 * i, 4 * i + 4).join()))
    const negatives = [...out.labels.keys()].filter((i) => out.boxWeights[i] === 0)
    expect(boxesOf(out.boxes, negatives)).toEqual(boxesOf(defaults.corners, [...matches.keys()].filter((d) => matches[d]! < 0)))
    for (const i of negatives) expect([out.labels[i], out.weights[i]! > 0]).toEqual([1, true])
  })

  it('weigh nothing where an image has none', () => {
    const none = { ...truth, difficult: new Uint8Array(4).fill(1) }
    for (const background of [undefined, 1]) expect([...drawn(3, background, none).weights]).toEqual([0, 0, 0])
  })
})

/** Exact greedy selection by L_re alone, in double precision: a 1x1 layer of M outputs on C channels. */
describe('greedy selection, one channel a round', () => {
  const [channels, outputs, batch, rate, clip] = [6, 4, 4, 0.005, 4]
  const w = createRng('greedy')
  const drawn = (dims: readonly number[], scale: number) => f32(Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => scale * w.normal()), dims)

  /** conv a (stride 4) -> Relu -> conv c (1x1), read by one more layer. */
  function toy(): Model {
    const b = new Builder(new Graph('toy'))
    const kernels = drawn([channels, 3, 4, 4], 0.3)
    // The first channel is so large that its gradient stays the greatest once it is chosen.
    floats(kernels).subarray(0, 48).forEach((v, i) => (floats(kernels)[i] = 4 * v))
    const x = b.input('image', 'float32', ['N', 3, 32, 32])
    const a = b.op('Relu', [b.op('Conv', [x, b.constant(kernels, 'a.w')], { kernel_shape: [4, 4], strides: [4, 4] }, 'a')])
    a.name = 'features'
    const c = b.op('Conv', [a, b.constant(drawn([outputs, channels, 1, 1], 1), 'c.w')], { kernel_shape: [1, 1] }, 'c')
    c.name = 'read'
    b.output(b.op('Sigmoid', [c]), 'out')
    return createModel(b.graph, b.opset)
  }

  it('chooses, updates and stops as the algorithm says', async () => {
    const model = toy()
    const { card } = detector
    const small = { ...detector, model, card: { ...card, input: { ...card.input, width: 32, height: 32 }, stageEnds: ['features'] } }
    const lcp: LcpOptions = { ...lcpDefaults, ...dcp.defaults, aux: undefined, alpha: 0, gamma: 0, block: 1, images: 8, batch, stageEpochs: 0, updateEpochs: 0, updateRate: rate, updateClip: clip }
    const options: PruneOptions = { ...pruning('dcp', lcp), budget: { removeChannels: 0.5, round: 1, groups: 'inner' } }
    const selected = await select(small, train, options)
    const kept = selected.plan.groups[0]!.initializers.find((i) => i.name === 'a.w')!.keep

    // The images that the loader of the selection gives, and the features on them.
    const seen = runLoader()
    const [xs, ys] = [await seen('features', channels), await seen('read', outputs)]
    const trained = floats(valueNamed(model.graph, 'c.w').initializer!)
    const [weight, velocity] = [new Float64Array(trained.length), new Float64Array(trained.length)]
    /** Gradient of 1 / (2 Q) sum (y - W x)^2 on one batch. */
    const gradientOn = (x: Float64Array[], y: Float64Array[]): Float64Array => {
      const places = x[0]!.length
      const g = new Float64Array(weight.length)
      for (let p = 0; p < places; p++) {
        for (let j = 0; j < outputs; j++) {
          let out = 0
          for (let k = 0; k < channels; k++) out += weight[j * channels + k]! * x[k]![p]!
          for (let k = 0; k < channels; k++) g[j * channels + k]! += ((out - y[j]![p]!) * x[k]![p]!) / (places * outputs)
        }
      }
      return g
    }
    const chosen: number[] = []
    let clippedSteps = 0
    // Whether a chosen channel would have been the best again.
    let again = false
    while (chosen.length < channels / 2) {
      const total = new Float64Array(weight.length)
      xs.forEach((x, i) => gradientOn(x, ys[i]!).forEach((v, at) => (total[at]! += v)))
      const score = (k: number): number => Array.from({ length: outputs }, (_, j) => Math.abs(total[j * channels + k]!)).reduce((a, b) => a + b)
      const best = Array.from({ length: channels }, (_, k) => k).filter((k) => !chosen.includes(k)).reduce((a, b) => (score(b) > score(a) ? b : a))
      again ||= chosen.some((k) => score(k) > score(best))
      chosen.push(best)
      for (let j = 0; j < outputs; j++) weight[j * channels + best] = trained[j * channels + best]!
      xs.forEach((x, step) => {
        const g = gradientOn(x, ys[step]!).map((v, at) => (chosen.includes(at % channels) ? v : 0))
        const norm = Math.hypot(...g)
        if (norm > clip) clippedSteps++
        const lr = cosineRate(step, { rate, steps: xs.length, warmup: 0 })
        g.forEach((v, at) => {
          velocity[at] = 0.9 * velocity[at]! + v * Math.min(1, clip / norm)
          weight[at]! -= lr * velocity[at]!
        })
      })
    }
    // Some steps are clipped and some are not.
    expect([clippedSteps > 0, clippedSteps < chosen.length * xs.length, again]).toEqual([true, true, true])
    expect(kept).toEqual([...chosen].sort((a, b) => a - b))
    const left = floats(selected.detector.model.graph.initializers.find((v) => v.name === 'c.w')!.initializer!)
    kept.forEach((k, at) => {
      for (let j = 0; j < outputs; j++) expect(left[j * kept.length + at], `${j} ${k}`).toBeCloseTo(weight[j * channels + k]!, 4)
    })
    // Three rounds over eight images, an accumulation and an update each.
    expect(selected.passes).toEqual({ selection: 24, stage: 0, update: 24 })

    /** Reads a value [N,C,H,W] batch by batch as one row of numbers a channel. */
    function runLoader() {
      const samples = shuffled(train.dataset.samples, createRng('5/selection'))
      return async (name: string, c: number): Promise<Float64Array[][]> => {
        const rows: Float64Array[][] = []
        const shown = withOutputs(model, [valueNamed(model.graph, name)])
        for await (const data of loaderFor({ ...train, dataset: { ...train.dataset, samples } }, small.card, { batch }).epoch(0)) {
          const out = (await runOnce(nodeRuntime, shown, { image: { dtype: 'float32', dims: [batch, 3, 32, 32], data: data.images } }, { threads: 1 }))[name]!
          const cells = out.dims[2]! * out.dims[3]!
          rows.push(Array.from({ length: c }, (_, k) => Float64Array.from({ length: batch * cells }, (_v, p) => floats(out)[(Math.floor(p / cells) * c + k) * cells + (p % cells)]!)))
        }
        return rows
      }
    }
  }, 60_000)
})
