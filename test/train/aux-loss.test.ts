/** @file Auxiliary networks beside a teacher: they learn, the detector hears of boxes, images without boxes add nothing. */
import { expect, it } from 'vitest'
import { augmentPresets } from '../../src/data/augment.ts'
import { decoderOf } from '../../src/detection/card.ts'
import { outputFields } from '../../src/detection/decoders/fields.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { auxTasks } from '../../src/pruning/lcp/run.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { withAuxLoss } from '../../src/train/aux-loss.ts'
import { lcpAux } from '../../src/train/aux-task.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { distillTask } from '../../src/train/distill.ts'
import type { ImageSource } from '../../src/train/source.ts'
import { trainDetector } from '../../src/train/train.ts'
import { workingCopy } from '../../src/train/working-copy.ts'
import { shapesSource } from '../support/shapes.ts'

const batch = 4
const labelled = shapesSource('train', 8)
const empty = { boxes: new Float32Array(0), labels: new Int32Array(0), crowd: new Uint8Array(0), difficult: new Uint8Array(0), areas: new Float32Array(0) }
const unlabelled: ImageSource = { ...labelled, dataset: { ...labelled.dataset, samples: labelled.dataset.samples.map((s) => ({ ...s, truth: empty })) } }
const detector = detectorOf(buildDetector('ssd-small', { classes: labelled.dataset.classes, seed: 3, size: 96 }), 'small.onnx')
const { card } = detector
const ends = card.stageEnds!
const options = { runtime: nodeRuntime, session: { threads: 1 } }

/** Trains the detector towards itself; the losses of the steps, and what became of it. */
async function train(source: ImageSource, weight: number, epochs: number) {
  const reading = { fields: outputFields(card.decoder, { classes: card.classes.length }), confidence: decoderOf(card).confidence }
  const bare = distillTask(detector, reading, { ...options, batch, background: 0.25, hints: [], hintWeight: 0 })
  const networks = auxTasks(detector, detector, ends, batch, { ...lcpAux, boxes: 16 }, 1)
  const task = weight === 0 ? bare : withAuxLoss(bare, { networks, batch, weight, seed: 1 })
  const losses: number[] = []
  const result = await trainDetector(detector, source, undefined, {
    ...options, task, epochs, batch, rate: 0.003, warmup: 0, optimizer: { type: 'adam', clipNorm: 10 }, augment: augmentPresets.none, seed: 1,
    listener: (event) => void (event.type === 'progress' && losses.push(event.values.loss!)),
  }).finally(() => task.release())
  return { losses, model: result.detector.model }
}

it('looks at every stage end', () => {
  expect(ends.length).toBeGreaterThan(1)
  const bare = distillTask(detector, { fields: outputFields(card.decoder, { classes: card.classes.length }), confidence: decoderOf(card).confidence }, { ...options, batch, background: 0, hints: [], hintWeight: 0 })
  const task = withAuxLoss(bare, { networks: auxTasks(detector, detector, ends, batch, lcpAux, 1), batch, weight: 1, seed: 1 })
  expect(task.wanted!(workingCopy(detector.model, batch)).map((v) => v.name)).toEqual([...ends])
})

it('adds to the loss where there are boxes, and nothing where there are none', async () => {
  const [bare, beside, without] = [await train(labelled, 0, 1), await train(labelled, 0.02, 1), await train(unlabelled, 0.02, 1)]
  expect(beside.losses[0]! - bare.losses[0]!).toBeGreaterThan(0.5)
  expect(Math.abs(without.losses[0]! - bare.losses[0]!)).toBeLessThan(1e-5)
  // The detector's own weights feel it.
  const stem = (model: typeof bare.model) => floats(model.graph.initializers.find((v) => v.name === 'stem.conv1.weight')!.initializer!)
  expect(stem(beside.model)).not.toEqual(stem(bare.model))
}, 120_000)

it('counts by its weight', async () => {
  const [bare, once, twice] = [await train(labelled, 0, 1), await train(labelled, 0.02, 1), await train(labelled, 0.04, 1)]
  expect((twice.losses[0]! - bare.losses[0]!) / (once.losses[0]! - bare.losses[0]!)).toBeCloseTo(2, 3)
}, 120_000)

it('trains its networks beside the detector, and leaves none of them in it', async () => {
  const [bare, beside] = [await train(labelled, 0, 10), await train(labelled, 0.02, 10)]
  const part = (at: number): number => beside.losses.at(at)! - bare.losses.at(at)!
  expect(part(-1)).toBeLessThan(0.9 * part(0))
  expect(beside.model.graph.initializers.map((v) => v.name)).toEqual(detector.model.graph.initializers.map((v) => v.name))
}, 120_000)
