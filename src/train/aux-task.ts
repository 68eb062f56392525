/** @file An auxiliary network at work: its weights, its place in a training graph, and the boxes that feed it. */
import { importGraph, type ImportedGraph, trainableWeights } from '../autodiff/import-graph.ts'
import type { Batch } from '../data/loader.ts'
import { auxLoss, auxPorts, buildAuxNet } from '../detection/aux-net.ts'
import { ssdVariances } from '../detection/box-coder.ts'
import { type DefaultBoxes, makeDefaultBoxes, ssdLevels } from '../detection/default-boxes.ts'
import { createMatcher } from '../detection/matcher.ts'
import { type RoiGrid, writeRoiWeights } from '../detection/roi-align.ts'
import { createRoiBatch, sampleRois, sampleTruths } from '../detection/roi-sampling.ts'
import { dimsOf, type Model, type Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import type { Builder } from '../ops/builder.ts'
import type { Tensors } from '../runtime/session.ts'
import { createRng } from '../tensor/rng.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Detector, withWeights } from './detector.ts'

export interface AuxOptions {
  /** What is pooled: matched default boxes with their context (contextual RoIAlign, LCP) or without (the plain layer); or the ground truths' own boxes (DCP). */
  readonly roi: 'contextual' | 'plain' | 'truth'
  /** Weight of 1 - GIoU in L_a (m of the paper); 0 leaves the box loss out. */
  readonly m: number
  /** L_a as the mean over a batch's boxes, or as the sum over an image's, averaged over images. */
  readonly reduction: 'mean' | 'sum'
  /** Boxes an image (R). */
  readonly boxes: number
  /** Bins along a side of the pooled map. */
  readonly bins: number
  /** Samples along a side of a bin. */
  readonly sampling: number
}

/** The settings of method "lcp". */
export const lcpAux: AuxOptions = { roi: 'contextual', m: 50, reduction: 'mean', boxes: 64, bins: 7, sampling: 2 }

/** Names of the inputs of the network at a stage end: several may be in one graph. */
function portsOf(stageEnd: string) {
  const port = (what: string): string => `roi_${what}/${stageEnd}`
  return { rows: port('rows'), columns: port('columns'), labels: port('labels'), defaults: port('defaults'), truths: port('truths'), weights: port('weights'), boxWeights: port('box_weights') }
}

export interface AuxTask {
  /** Name of the feature map it looks at. */
  readonly stageEnd: string
  /** Adds the network and its loss on `feature` [N,C,H,W]. `train`: its weights become inputs and its BN uses batch statistics with this momentum. */
  add(b: Builder, feature: Value, batch: number, train?: { momentum: number }): ImportedGraph & { classification: Value; localization: Value }
  /** Feeds of the inputs that `add` made; draws boxes by `seed` and the samples' ids. */
  feeds(data: Batch, seed: string): Tensors
  /** Takes trained weights over. */
  adopt(weights: ReadonlyMap<string, Tensor>): void
  /** Content of one of its initializers, where it has one of that name. */
  initializer(name: string): Tensor | undefined
}

/**
 * The boxes that auxiliary networks look at: the detector's own default boxes, or where it has none, boxes by SSD's rule for maps of the given
 * [width, height] (those of the stage ends) and for ever smaller ones.
 */
export function auxDefaultBoxes(detector: Detector, maps: readonly (readonly [number, number])[]): DefaultBoxes {
  if (detector.defaults) return detector.defaults
  const { width, height } = detector.card.input
  // Finer maps than SSD's own (stride 8) would make boxes by the ten thousand.
  const sizes = [...maps].map(([w, h]) => [Math.min(w, Math.ceil(width / 8)), Math.min(h, Math.ceil(height / 8))] as const).sort((a, b) => b[0] - a[0])
  const featureSizes: (readonly [number, number])[] = []
  for (const size of sizes) if (featureSizes.at(-1)?.join() !== size.join()) featureSizes.push(size)
  for (let last = featureSizes.at(-1)!; Math.min(...last) > 3; last = featureSizes.at(-1)!) featureSizes.push([Math.ceil(last[0] / 2), Math.ceil(last[1] / 2)])
  // As in SSD300: the finest map and the two coarsest have four boxes a cell, the others six.
  const ratios = featureSizes.map((_, i) => (i === 0 || i >= featureSizes.length - 2 ? [2] : [2, 3]))
  return makeDefaultBoxes(ssdLevels({ width, height, featureSizes, ratios, scales: 'coco' }))
}

/** Makes the auxiliary network for a feature map of [C,H,W] at `stageEnd`. With one class in all, a background class joins it. */
export function createAuxTask(detector: Detector, defaultBoxes: DefaultBoxes, stageEnd: string, feature: readonly [number, number, number], batch: number, options: AuxOptions, seed: number): AuxTask {
  const [c, h, w] = feature
  const { boxes: r, bins } = options
  const sets = options.roi === 'contextual' ? 2 : 1
  const background = detector.card.classes.length === 1 ? 1 : undefined
  const classes = detector.card.classes.length + (background === undefined ? 0 : 1)
  const name = `aux.${stageEnd}`
  const ports = portsOf(stageEnd)
  let net: Model = buildAuxNet({ name, feature: [batch, c, h, w], classes, boxes: r, sets, bins, rng: createRng(`${seed}/${name}`) })
  const grid: RoiGrid = { width: w, height: h, inputWidth: detector.card.input.width, inputHeight: detector.card.input.height, bins, sampling: options.sampling }
  const match = createMatcher(defaultBoxes.corners)
  const sample = options.roi === 'truth' ? sampleTruths : sampleRois
  const rois = createRoiBatch(batch, r)
  const rows = new Float32Array(batch * sets * r * bins * h)
  const columns = new Float32Array(batch * sets * r * w * bins)
  return {
    stageEnd,
    add(b, value, n, train) {
      if (n !== batch) throw new Error(`the auxiliary network was made for batches of ${batch}, not ${n}`)
      const trainable = trainableWeights(net.graph)
      const feed = (port: string, dtype: 'float32' | 'int32', dims: readonly number[]): Value => b.input(port, dtype, dims)
      const of = (port: string): Value => valueNamed(net.graph, port)
      const imported = importGraph(b, net.graph, {
        given: new Map([
          [of(auxPorts.feature), value],
          [of(auxPorts.rows), feed(ports.rows, 'float32', dimsOf(of(auxPorts.rows)))],
          [of(auxPorts.columns), feed(ports.columns, 'float32', dimsOf(of(auxPorts.columns)))],
        ]),
        wanted: net.graph.outputs,
        trainable: (v) => train !== undefined && trainable.has(v),
        batchStatistics: train?.momentum,
      })
      const losses = auxLoss(b, {
        classes: imported.values.get(of(auxPorts.classes))!,
        offsets: imported.values.get(of(auxPorts.offsets))!,
        labels: feed(ports.labels, 'int32', [batch * r]),
        defaults: feed(ports.defaults, 'float32', [batch * r, 4]),
        truths: feed(ports.truths, 'float32', [batch * r, 4]),
        weights: feed(ports.weights, 'float32', [batch * r]),
        boxWeights: feed(ports.boxWeights, 'float32', [batch * r]),
      }, { classes, m: options.m, variances: ssdVariances, over: options.reduction === 'mean' ? 'boxes' : { images: batch } })
      return { ...imported, ...losses }
    },
    feeds(data, roiSeed) {
      data.truths.forEach((truth, i) => {
        sample(rois, i, r, truth, match(truth), defaultBoxes, createRng(`${roiSeed}/${data.samples[i]!.id}`), background)
        const part = (all: Float32Array): Float32Array => all.subarray(4 * i * r, 4 * (i + 1) * r)
        writeRoiWeights(grid, part(rois.boxes), rows, columns, i * sets * r)
        if (sets === 2) writeRoiWeights(grid, part(rois.contexts), rows, columns, (i * sets + 1) * r)
      })
      const floats = (dims: readonly number[], values: Float32Array): Tensor => ({ dtype: 'float32', dims, data: values })
      return {
        [ports.rows]: floats([batch, sets * r * bins, h], rows),
        [ports.columns]: floats([batch * sets * r, w, bins], columns),
        [ports.labels]: { dtype: 'int32', dims: [batch * r], data: rois.labels },
        [ports.defaults]: floats([batch * r, 4], rois.centers),
        [ports.truths]: floats([batch * r, 4], rois.truths),
        [ports.weights]: floats([batch * r], rois.weights),
        [ports.boxWeights]: floats([batch * r], rois.boxWeights),
      }
    },
    adopt(weights) {
      net = withWeights(net, weights)
    },
    initializer: (wanted) => net.graph.initializers.find((v) => v.name === wanted)?.initializer,
  }
}
