/** @file Non-maximum suppression and the SSD decoder on cases worked by hand. */
import { describe, expect, it } from 'vitest'
import { type SsdOptions, ssdDecoder } from '../../src/detection/decoders/ssd.ts'
import type { DefaultBoxLevel } from '../../src/detection/default-boxes.ts'
import { iou } from '../../src/detection/boxes.ts'
import { nmsPerClass } from '../../src/detection/nms.ts'
import type { Detections } from '../../src/detection/annotation.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32 } from '../../src/tensor/tensor.ts'

describe('nmsPerClass', () => {
  // 0 and 1 overlap by 1/3, 1 and 2 by 1/3, 0 and 2 not at all.
  const boxes = Float32Array.of(0, 0, 10, 10, 5, 0, 15, 10, 10, 0, 20, 10)

  it('a dropped box drops nothing', () => {
    expect(nmsPerClass({ boxes, scores: [0.9, 0.8, 0.7], labels: [0, 0, 0] }, { iou: 0.3 })).toEqual([0, 2])
    expect(nmsPerClass({ boxes, scores: [0.7, 0.9, 0.8], labels: [0, 0, 0] }, { iou: 0.3 })).toEqual([1])
  })

  it('an overlap equal to the limit stays; other classes do not matter', () => {
    const halves = Float32Array.of(0, 0, 10, 10, 0, 0, 10, 5)
    expect(nmsPerClass({ boxes: halves, scores: [0.9, 0.8], labels: [0, 0] }, { iou: 0.5 })).toEqual([0, 1])
    expect(nmsPerClass({ boxes: halves, scores: [0.9, 0.8], labels: [0, 0] }, { iou: 0.49 })).toEqual([0])
    expect(nmsPerClass({ boxes: halves, scores: [0.8, 0.9], labels: [0, 1] }, { iou: 0.1 })).toEqual([1, 0])
  })

  it('threshold, candidates and maximum; equal scores keep their order', () => {
    const apart = Float32Array.from({ length: 24 }, (_, i) => 20 * (i >> 2) + (i % 4 > 1 ? 10 : 0))
    const scores = [0.5, 0.9, 0.5, 0.9, 0.5, 0.1]
    const labels = [0, 0, 0, 0, 1, 1]
    expect(nmsPerClass({ boxes: apart, scores, labels }, { iou: 0.5 })).toEqual([1, 3, 0, 2, 4, 5])
    expect(nmsPerClass({ boxes: apart, scores, labels }, { iou: 0.5, scoreThreshold: 0.5, candidatesPerClass: 3 })).toEqual([1, 3, 0, 4])
    expect(nmsPerClass({ boxes: apart, scores, labels }, { iou: 0.5, maxDetections: 3 })).toEqual([1, 3, 0])
    expect(nmsPerClass({ boxes: apart, scores: [], labels: [] }, { iou: 0.5 })).toEqual([])
  })

  it('is the plain greedy rule on many boxes', () => {
    const rng = createRng('nms')
    const many = Float32Array.from(Array.from({ length: 300 }, () => {
      const x = rng.uniform(0, 100)
      const y = rng.uniform(0, 100)
      return [x, y, x + rng.uniform(5, 40), y + rng.uniform(5, 40)]
    }).flat())
    const scores = Array.from({ length: 300 }, () => rng.next())
    const kept: number[] = []
    for (const n of scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]!)) if (kept.every((k) => iou(many, k, many, n) <= 0.4)) kept.push(n)
    expect(nmsPerClass({ boxes: many, scores, labels: scores.map(() => 3) }, { iou: 0.4 })).toEqual(kept)
    expect(kept.length).toBeLessThan(200)
  })
})

describe('ssdDecoder', () => {
  const levels: DefaultBoxLevel[] = [{ width: 2, height: 2, stepX: 50, stepY: 50, minSize: 40, maxSize: 40, ratios: [] }]
  const options: SsdOptions = { type: 'ssd', scores: 'scores', boxes: 'boxes', variances: [0.1, 0.2], scoreThreshold: 0.3, nmsIou: 0.5, maxDetections: 10 }
  const context = { input: { width: 100, height: 100 }, classes: 2, defaultBoxes: levels }
  const outputs = (logits: Float32Array, offsets: Float32Array) => ({ scores: f32(logits, [1, logits.length / 3, 3]), boxes: f32(offsets, [1, offsets.length / 4, 4]) })
  const decode = (logits: Float32Array, offsets: Float32Array, more: Partial<SsdOptions> = {}): Detections => ssdDecoder({ ...options, ...more }, context).decode(outputs(logits, offsets))
  const background = [9, 0, 0]

  it('softmax, decoding, clipping, NMS by class, order by score', () => {
    const ln = Math.log
    // Two equal squares a cell. Cell 0: class a .5, its twin a .4 and b .4; cell 3: b .75, moved right by 25 of its 40 pixels.
    const logits = Float32Array.of(
      ln(3), ln(5), ln(2), ln(2), ln(4), ln(4), ...background, ...background,
      ...background, ...background, ln(1), ln(0.5), ln(4.5), ...background,
    )
    const offsets = new Float32Array(32)
    offsets[4 * 6] = 25 / 40 / 0.1
    const found = decode(logits, offsets)
    expect([...found.labels]).toEqual([1, 0, 1])
    expect([...found.scores].map((s) => Number(s.toFixed(6)))).toEqual([0.75, 0.5, 0.4])
    expect([...found.boxes]).toEqual([80, 55, 100, 95, 5, 5, 45, 45, 5, 5, 45, 45])
    const one = decode(logits, offsets, { maxDetections: 1 })
    expect([...one.scores].map((s) => Number(s.toFixed(6)))).toEqual([0.75])
  })

  it('drops boxes outside the input and outputs that are not numbers', () => {
    const logits = Float32Array.from({ length: 24 }, (_, i) => (i % 3 === 1 ? 9 : 0))
    const offsets = new Float32Array(32)
    for (let d = 0; d < 8; d++) offsets[4 * d] = 1000
    offsets[4] = NaN
    expect(decode(logits, offsets).scores).toHaveLength(0)
    expect(decode(logits.fill(NaN), new Float32Array(32)).scores).toHaveLength(0)
  })

  it('a box far too large is clipped to the input', () => {
    const logits = Float32Array.of(0, 9, 0, ...Array.from({ length: 7 }, () => background).flat())
    const offsets = new Float32Array(32)
    offsets[2] = 9000
    offsets[3] = 9000
    expect([...decode(logits, offsets).boxes]).toEqual([0, 0, 100, 100])
  })

  it('the shortcut past background changes nothing', () => {
    const rng = createRng('decoder')
    const logits = Float32Array.from({ length: 24 }, () => rng.normal() * 2)
    const low = { nmsIou: 1, maxDetections: 100 }
    const all = decode(logits, new Float32Array(32), { ...low, scoreThreshold: 0 })
    expect(all.scores).toHaveLength(16)
    for (const scoreThreshold of [0.01, 0.3, 0.5, 0.9]) {
      const some = decode(logits, new Float32Array(32), { ...low, scoreThreshold })
      expect([...some.scores]).toEqual([...all.scores].filter((s) => s >= scoreThreshold))
    }
  })

  it('refuses outputs of another shape, and a card without default boxes', () => {
    expect(() => decode(new Float32Array(9), new Float32Array(32))).toThrow('output "scores" is [1,3,3], the detector card asks for [N,8,3]')
    expect(() => ssdDecoder(options, { ...context, defaultBoxes: undefined })).toThrow('the detector card has no default boxes')
  })

  it('reads shares and boxes that the graph has decoded', () => {
    const scores = Float32Array.of(0.2, 0.3, 0.5, 0.6, 0.4, 0)
    const made = { scoresAre: 'probabilities', units: 'unit', scoreThreshold: 0.35 } as const
    const corners = decode(scores, Float32Array.of(0.1, 0.2, 0.5, 0.6, 0.5, 0.5, 1.5, 1), { ...made, boxesAre: 'corners' })
    expect([...corners.labels]).toEqual([1, 0])
    expect([...corners.boxes].map((v) => Math.round(v * 1000) / 1000)).toEqual([10, 20, 50, 60, 50, 50, 100, 100])
    const centres = decode(scores, Float32Array.of(0.3, 0.4, 0.4, 0.4, 1, 0.75, 1, 0.5), { ...made, boxesAre: 'centres' })
    expect([...centres.boxes].map((v) => Math.round(v * 1000) / 1000)).toEqual([10, 20, 50, 60, 50, 50, 100, 100])
  })

  it('is as sure of offsets as of the best class of their default box', () => {
    const logits = Float32Array.from({ length: 24 }, (_, i) => (i === 3 ? Math.log(2) : i === 4 ? Math.log(6) : 0))
    const sure = ssdDecoder(options, context).confidence(outputs(logits, new Float32Array(32)))
    // Shares 2/9, 6/9, 1/9 at default box 1, thirds elsewhere.
    const wanted = (width: number): number[] => Array.from({ length: 8 * width }, (_, e) => (Math.floor(e / width) === 1 ? 6 / 9 : 1 / 3))
    expect([...sure.scores!]).toEqual(wanted(3).map((v) => expect.closeTo(v, 6)))
    expect([...sure.boxes!]).toEqual(wanted(4).map((v) => expect.closeTo(v, 6)))
  })
})
