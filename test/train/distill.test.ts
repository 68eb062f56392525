/** @file A cut detector learns from the uncut one, without labels. */
import { expect, it } from 'vitest'
import { augmentPresets } from '../../src/data/augment.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import type { OutputField } from '../../src/detection/distill-loss.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { createOutputDistance, distillTask, type OutputReading } from '../../src/train/distill.ts'
import { loaderFor } from '../../src/train/source.ts'
import { trainDetector } from '../../src/train/train.ts'
import { shapesSource } from '../support/shapes.ts'

const images = shapesSource('train', 8)
const unlabelled = { ...images, dataset: { ...images.dataset, samples: images.dataset.samples.map((s) => ({ ...s, truth: { ...s.truth, boxes: new Float32Array(0), labels: new Int32Array(0), crowd: new Uint8Array(0), difficult: new Uint8Array(0), areas: new Float32Array(0) } })) } }
const teacher = detectorOf(buildDetector('ssd-small', { classes: images.dataset.classes, seed: 3, size: 96 }), 'small.onnx')
const width = 1 + images.dataset.classes.length
const fields: OutputField[] = [
  { output: 'scores', axis: 2, from: 0, to: width, kind: 'softmax', purpose: 'class' },
  { output: 'boxes', axis: 2, from: 0, to: 4, kind: 'regression', purpose: 'box' },
]
/** As sure everywhere. */
const reading: OutputReading = {
  fields,
  confidence: (outputs) => Object.fromEntries(['scores', 'boxes'].map((name) => [name, new Float32Array(floats(outputs[name]!).length).fill(0.5)])),
}
const options = { runtime: nodeRuntime, session: { threads: 1 }, batch: 4, background: 0.25, hintWeight: 1 }

const inner = findGroups(teacher.model).filter((g) => g.prunable && !g.coupled)
const stream = findGroups(teacher.model).find((g) => g.members.some((m) => m.value.name === 'layer3.0.out'))!
const kept = Array.from({ length: stream.channels - 8 }, (_, k) => k + 4)
const plan = makePlan([...inner, stream], new Map([...inner.map((g) => [g.id, Array.from({ length: Math.ceil(0.75 * g.channels) }, (_, k) => k)] as const), [stream.id, kept]]), { method: 'hand' })
const student = { ...teacher, model: applyPlan(teacher.model, plan) }

it('brings outputs and feature maps nearer to the teacher\'s', async () => {
  const hints = [{ name: 'layer3.0.out', keep: [{ axis: 1, indices: kept }] }, { name: 'layer2.0.out', keep: [] }]
  const task = distillTask(teacher, reading, { ...options, hints })
  try {
    const result = await trainDetector(student, unlabelled, undefined, {
      ...options, task, epochs: 8, rate: 0.01, warmup: 2, augment: augmentPresets.light, seed: 1, optimizer: { type: 'sgd', momentum: 0.9, clipNorm: 10 },
    })
    const [first, last] = [result.epochs[0]!, result.epochs.at(-1)!]
    expect(last.classification + last.localization).toBeLessThan(0.7 * (first.classification + first.localization))
    expect(result.passes).toBe(64)
  } finally {
    await task.release()
  }
}, 60_000)

it('feeds the image, and what the teacher says of it', async () => {
  const task = distillTask(teacher, reading, { ...options, hints: [{ name: 'layer2.0.out', keep: [] }] })
  try {
    for await (const batch of loaderFor(unlabelled, teacher.card, { batch: 4 }).epoch(0)) {
      const feeds = await task.feeds(batch)
      expect(Object.keys(feeds).sort()).toEqual(['confidence/boxes', 'confidence/scores', 'image', 'teacher/boxes', 'teacher/layer2.0.out', 'teacher/scores'])
      expect(feeds['teacher/layer2.0.out']!.dims).toEqual([4, 48, 12, 12])
      const alone = await runOnce(nodeRuntime, teacher.model, { image: feeds.image! }, { threads: 1 })
      const [said, wanted] = [floats(feeds['teacher/scores']!), floats(alone.scores!)]
      expect(Math.max(...said.map((v, i) => Math.abs(v - wanted[i]!)))).toBeLessThan(1e-4)
    }
  } finally {
    await task.release()
  }
}, 60_000)

it('tells outputs from a reference as the loss does: nothing for themselves, more the further', async () => {
  for await (const { images: pixels } of loaderFor(unlabelled, teacher.card, { batch: 4 }).epoch(0)) {
    const image = { image: { dtype: 'float32' as const, dims: [4, 3, 96, 96], data: pixels } }
    const reference = await runOnce(nodeRuntime, teacher.model, image, { threads: 1 })
    const distance = await createOutputDistance(reading, reference, options)
    try {
      const off = (by: number) => ({ ...reference, scores: { ...reference.scores!, data: floats(reference.scores!).map((v, i) => v + by * Math.sin(i)) } })
      expect(Math.abs(await distance.of(reference, reference))).toBeLessThan(1e-5)
      const [near, far] = [await distance.of(reference, off(0.1)), await distance.of(reference, off(0.2))]
      expect(near).toBeGreaterThan(1e-4)
      // A divergence grows with the square.
      expect(far / near).toBeGreaterThan(3)
      expect(far / near).toBeLessThan(5)
    } finally {
      await distance.release()
    }
  }
}, 60_000)
