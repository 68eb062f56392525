/** @file Sources of images put together, and labelled by a detector. */
import { describe, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { detectAll } from '../../src/train/evaluate.ts'
import { labelByDetector } from '../../src/train/pseudo-labels.ts'
import { joinSources, loaderFor } from '../../src/train/source.ts'
import { shapesSource } from '../support/shapes.ts'

describe('joinSources', () => {
  it('gives all images under names of their own, each read by its own source', async () => {
    const [a, b] = [shapesSource('train', 3), shapesSource('val', 2)]
    const joined = joinSources(a, b)
    const ids = joined.dataset.samples.map((s) => s.id)
    expect(new Set(ids).size).toBe(5)
    expect(joined.dataset.samples.map((s) => s.truth)).toEqual([...a.dataset.samples, ...b.dataset.samples].map((s) => s.truth))
    const pixels = async (source: typeof a, i: number) => (await source.readImage(source.dataset.samples[i]!)).data.slice(0, 300)
    expect(await pixels(joined, 4)).toEqual(await pixels(b, 1))
    expect(await pixels(joined, 1)).toEqual(await pixels(a, 1))
    expect(joinSources(a)).toBe(a)
    // Images of one name in two sources stay apart: each is read where it lies.
    const small = shapesSource('train', 2, 64)
    const twins = joinSources(a, small)
    expect(new Set(twins.dataset.samples.map((s) => s.id)).size).toBe(5)
    expect(await Promise.all(twins.dataset.samples.map(async (s) => (await twins.readImage(s)).width))).toEqual([96, 96, 96, 64, 64])
  })
})

describe('labelByDetector', () => {
  const images = shapesSource('val', 6)
  const detector = detectorOf(buildDetector('ssd-small', { classes: images.dataset.classes, seed: 3, size: 96 }), 'small.onnx')
  const options = { runtime: nodeRuntime, session: { threads: 1 } }

  it('takes the detections above the threshold as labels, in pixels of the image', async () => {
    const { found } = await detectAll(detector, images, options)
    const scores = found.flatMap((f) => [...f.detections.scores]).sort((x, y) => y - x)
    const threshold = scores[Math.floor(scores.length / 10)]!
    const labelled = await labelByDetector(detector, images, threshold, options)
    labelled.dataset.samples.forEach(({ truth }, i) => {
      const { detections } = found[i]!
      const count = [...detections.scores].filter((s) => s >= threshold).length
      expect(truth.labels).toEqual(detections.labels.slice(0, count))
      expect(truth.boxes).toEqual(detections.boxes.slice(0, 4 * count))
      for (let k = 0; k < count; k++) expect(truth.areas[k]).toBeCloseTo((truth.boxes[4 * k + 2]! - truth.boxes[4 * k]!) * (truth.boxes[4 * k + 3]! - truth.boxes[4 * k + 1]!), 3)
    })
    expect(labelled.dataset.samples.reduce((n, s) => n + s.truth.labels.length, 0)).toBeGreaterThan(0)
    let batches = 0
    for await (const batch of loaderFor(labelled, detector.card, { batch: 3 }).epoch(0)) batches += batch.truths.length > 0 ? 1 : 0
    expect(batches).toBe(2)
  })

  it('counts in the detector\'s classes, whatever those of the images were', async () => {
    const foreign: typeof images = { ...images, dataset: { ...images.dataset, classes: ['zebra'], present: [0] } }
    const { dataset } = await labelByDetector(detector, foreign, 0, options)
    expect({ classes: dataset.classes, present: dataset.present }).toEqual({ classes: detector.card.classes, present: undefined })
  })

  it('refuses images in which it finds nothing', async () => {
    await expect(labelByDetector(detector, images, 1, options)).rejects.toThrow(/finds nothing scored 1 or higher in the 6 images of split "val"/)
  })
})
