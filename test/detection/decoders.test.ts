/** @file Every decoder on a case worked by hand, and the confidence that it gives to each entry of its outputs. */
import { describe, expect, it } from 'vitest'
import { type DecoderContext, imageOf } from '../../src/detection/decoders/decoder.ts'
import { createDecoder, type DecoderOptions } from '../../src/detection/decoders/registry.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, i64, type Tensor } from '../../src/tensor/tensor.ts'
import { mapsOf } from '../support/retinanet.ts'

const { log } = Math
const logit = (p: number): number => log(p / (1 - p))
const keep = { scoreThreshold: 0.1, nmsIou: 0.5, maxDetections: 10 }
const square = (side: number, classes = 2): DecoderContext => ({ input: { width: side, height: side }, classes })
const rounded = (values: ArrayLike<number>, digits = 4): number[] => Array.from(values, (v) => Number(v.toFixed(digits)))

/** A tensor of `fill`, with some entries set by index tuple. */
function sparse(dims: readonly number[], fill: number, set: readonly (readonly [index: readonly number[], value: number])[]): Tensor {
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(fill)
  for (const [index, value] of set) data[index.reduce((at, i, axis) => at * dims[axis]! + i, 0)] = value
  return f32(data, dims)
}

/** Values at consecutive places of the last axis. */
const row = (index: readonly number[], values: readonly number[]): (readonly [readonly number[], number])[] => values.map((v, k) => [[...index, k], v] as const)

function decoded(options: DecoderOptions, context: DecoderContext, outputs: Record<string, Tensor>): { boxes: number[]; scores: number[]; labels: number[] } {
  const { boxes, scores, labels } = createDecoder(options, context).decode(outputs)
  return { boxes: rounded(boxes, 3), scores: rounded(scores), labels: [...labels] }
}

describe('yolox', () => {
  const options: DecoderOptions = { type: 'yolox', output: 'output', strides: [8, 16, 32], scoresAre: 'probabilities', ...keep }
  // 16 + 4 + 1 cells. Cell 5 is column 1, row 1 of stride 8; cell 18 is column 0, row 1 of stride 16.
  const output = sparse([1, 21, 7], 0, [...row([0, 5], [0.5, 0.25, log(2), 0, 0.8, 0.5, 0.25]), ...row([0, 18], [0.25, 0, 0, log(0.5), 0.5, 0.1, 1])])
  const wanted = {
    // Centre (0.5 + 1, 0.25 + 1) * 8, size 2 * 8, 8; centre (0.25, 1) * 16, size 16, 8, cut off at the left edge.
    boxes: [0, 12, 12, 20, 4, 6, 20, 14, 4, 6, 20, 14],
    scores: [0.5, 0.4, 0.2],
    labels: [1, 0, 1],
  }

  it('decodes', () => expect(decoded(options, square(32), { output })).toEqual(wanted))

  it('decodes logits', () => {
    const logits = { ...output, data: (output.data as Float32Array).map((v, i) => (i % 7 < 4 ? v : v === 0 ? -30 : v === 1 ? 30 : logit(v))) }
    expect(decoded({ ...options, scoresAre: 'logits' }, square(32), { output: logits })).toEqual(wanted)
  })

  it('keeps by threshold and number', () => {
    expect(decoded({ ...options, scoreThreshold: 0.3 }, square(32), { output }).scores).toEqual([0.5, 0.4])
    expect(decoded({ ...options, maxDetections: 1 }, square(32), { output }).labels).toEqual([1])
  })

  it('gives every entry of a row the highest score of its cell, image by image', () => {
    const two = f32([...new Float32Array(21 * 7), ...(output.data as Float32Array)], [2, 21, 7])
    const decoder = createDecoder(options, square(32))
    const { output: sure } = decoder.confidence({ output: two })
    expect(sure).toHaveLength(2 * 21 * 7)
    expect(rounded(sure!.subarray((21 + 5) * 7, (21 + 6) * 7))).toEqual(new Array(7).fill(0.4))
    expect(rounded(sure!.subarray((21 + 18) * 7, (21 + 19) * 7))).toEqual(new Array(7).fill(0.5))
    expect(sure!.filter((v) => v > 0)).toHaveLength(14)
    expect(decoder.decode(imageOf({ output: two }, decoder.outputs, 1)).labels).toHaveLength(3)
    expect(decoder.decode(imageOf({ output: two }, decoder.outputs, 0)).labels).toHaveLength(0)
  })

  it('refuses outputs of another shape', () => {
    expect(() => decoded(options, square(32, 3), { output })).toThrow('output "output" is [1,21,7], the detector card asks for [N,21,8]: the card does not belong to this model')
    expect(() => decoded(options, square(32), { other: output })).toThrow('names the output "output", the model has "other"')
  })
})

describe('yolov3', () => {
  const head = (output: string, ...anchors: [number, number][]) => ({ output, anchors })
  const options: DecoderOptions = { type: 'yolov3', heads: [head('a', [30, 20]), head('b', [8, 4], [16, 10])], ...keep }
  // One class: six numbers an anchor. Head b has 2 x 2 cells; anchor 1 begins at channel 6.
  const a = sparse([1, 6, 1, 1], -30, [])
  const cell = (k: number, v: number) => [[0, 6 + k, 1, 0], v] as const
  const b = sparse([1, 12, 2, 2], -30, [cell(0, 0), cell(1, logit(0.25)), cell(2, log(0.5)), cell(3, 0), cell(4, logit(0.8)), cell(5, logit(0.5))])

  it('decodes: cell (0, 1) of a map of 2 x 2 over 32 pixels', () => {
    // Centre (0.5 + 0, 0.25 + 1) * 16 = 8, 20; size 0.5 * 16, 10.
    expect(decoded(options, square(32, 1), { a, b })).toEqual({ boxes: [4, 15, 12, 25], scores: [0.4], labels: [0] })
  })

  it('stretches the shift of the centre by scaleXY', () => {
    const stretched: DecoderOptions = { ...options, heads: [head('a', [30, 20]), { ...head('b', [8, 4], [16, 10]), scaleXY: 2 }] }
    // 0.5 * 2 - 0.5 = 0.5 and 0.25 * 2 - 0.5 = 0: centre 8, 16.
    expect(decoded(stretched, square(32, 1), { a, b }).boxes).toEqual([4, 11, 12, 21])
  })

  it('is sure of the six channels of that anchor in that cell', () => {
    const sure = createDecoder(options, square(32, 1)).confidence({ a, b })
    expect(rounded(sure.a!)).toEqual(new Array(6).fill(0))
    expect(rounded(sure.b!)).toEqual(Array.from({ length: 48 }, (_, e) => (e >= 24 && e % 4 === 2 ? 0.4 : 0)))
  })
})

describe('yolov5 and yolov8', () => {
  const rows = [[16, 12, 8, 4, 0.8, 0.5, 0.25], [40, 40, 10, 10, 0.1, 0.9, 0.9]]
  const form = { boxesAre: 'centres', units: 'pixels' } as const

  it('yolov5: objectness times class, rows', () => {
    const options: DecoderOptions = { type: 'yolov5', output: 'o', ...form, ...keep, scoreThreshold: 0.2 }
    const o = f32(rows.flat(), [1, 2, 7])
    expect(decoded(options, square(64), { o })).toEqual({ boxes: [12, 10, 20, 14, 12, 10, 20, 14], scores: [0.4, 0.2], labels: [0, 1] })
    expect(rounded(createDecoder({ ...options, scoreThreshold: 0.05 }, square(64)).confidence({ o }).o!)).toEqual([...new Array<number>(7).fill(0.4), ...new Array<number>(7).fill(0.09)])
  })

  it('yolov8: classes alone, columns', () => {
    const options: DecoderOptions = { type: 'yolov8', output: 'o', ...form, ...keep, scoreThreshold: 0.3 }
    const columns = [0, 1, 2, 3, 5, 6].flatMap((k) => rows.map((r) => r[k]!))
    const o = f32(columns, [1, 6, 2])
    // The second box has the same score in two classes.
    expect(decoded(options, square(64), { o })).toEqual({ boxes: [35, 35, 45, 45, 35, 35, 45, 45, 12, 10, 20, 14], scores: [0.9, 0.9, 0.5], labels: [0, 1, 0] })
    expect(rounded(createDecoder(options, square(64)).confidence({ o }).o!)).toEqual(Array.from({ length: 12 }, (_, e) => (e % 2 === 0 ? 0.5 : 0.9)))
  })

  it('reads corners, and shares of the input', () => {
    const o = f32([0.25, 0.125, 0.5, 0.25, 1, 0.5, 0], [1, 1, 7])
    const options = (boxesAre: 'corners' | 'centres'): DecoderOptions => ({ type: 'yolov5', output: 'o', boxesAre, units: 'unit', ...keep })
    const wide: DecoderContext = { input: { width: 80, height: 40 }, classes: 2 }
    expect(decoded(options('corners'), wide, { o }).boxes).toEqual([20, 5, 40, 10])
    expect(decoded(options('centres'), wide, { o }).boxes).toEqual([0, 0, 40, 10])
  })
})

describe('nanodet', () => {
  const options: DecoderOptions = {
    type: 'nanodet', levels: [{ stride: 8, scores: 's8', boxes: 'b8' }, { stride: 16, scores: 's16', boxes: 'b16' }], bins: 2, scoresAre: 'probabilities', centre: 0.5, ...keep,
  }
  // Two bins: the expectation is the second one's share. Cell 3 of stride 8 has its middle at 12, 12.
  const outputs = {
    s8: sparse([1, 4, 2], 0, row([0, 3], [0.2, 0.6])),
    b8: sparse([1, 4, 8], 0, row([0, 3], [0, log(3), 0, 0, log(3), 0, 0, log(7)])),
    s16: sparse([1, 1, 2], 0, []),
    b16: sparse([1, 1, 8], 0, []),
  }

  it('decodes: edges at expected distances of 0.75, 0.5, 0.25 and 0.875 strides', () => {
    expect(decoded(options, square(16), outputs)).toEqual({ boxes: [6, 8, 14, 16, 6, 8, 14, 16], scores: [0.6, 0.2], labels: [1, 0] })
    expect(decoded({ ...options, centre: 0 }, square(16), outputs).boxes.slice(0, 4)).toEqual([2, 4, 10, 15])
  })

  it('takes logits', () => {
    const s8 = { ...outputs.s8, data: (outputs.s8.data as Float32Array).map((v) => (v === 0 ? -30 : logit(v))) }
    const s16 = { ...outputs.s16, data: new Float32Array(2).fill(-30) }
    expect(decoded({ ...options, scoresAre: 'logits' }, square(16), { ...outputs, s8, s16 }).scores).toEqual([0.6, 0.2])
  })

  it('is as sure of the distances as of the classes', () => {
    const sure = createDecoder(options, square(16)).confidence(outputs)
    expect(rounded(sure.s8!)).toEqual([0, 0, 0, 0, 0, 0, 0.6, 0.6])
    expect(rounded(sure.b8!)).toEqual([...new Array<number>(24).fill(0), ...new Array<number>(8).fill(0.6)])
    expect([...sure.b16!, ...sure.s16!]).toEqual(new Array(10).fill(0))
  })
})

describe('fastestdet', () => {
  const options: DecoderOptions = { type: 'fastestdet', output: 'o', ...keep }
  // Channel k of the cell in row 0, column 1 of 2 x 2.
  const values = [0.5, Math.atanh(0.5), Math.atanh(-0.25), logit(0.25), logit(0.5), 0.8, 0.2]
  const o = sparse([1, 7, 2, 2], 0, values.map((v, k) => [[0, k, 0, 1], v] as const))

  it('decodes', () => {
    const score = (c: number): number => Number((0.5 ** 0.6 * c ** 0.4).toFixed(4))
    // Centre (0.5 + 1, -0.25 + 0) / 2 of 40 = 30, -5; size 10, 20: cut off at the top.
    expect(decoded(options, square(40), { o })).toEqual({ boxes: [25, 0, 35, 5, 25, 0, 35, 5], scores: [score(0.8), score(0.2)], labels: [0, 1] })
    expect(rounded(createDecoder(options, square(40)).confidence({ o }).o!)).toEqual(Array.from({ length: 28 }, (_, e) => (e % 4 === 1 ? score(0.8) : 0)))
  })
})

describe('retinanet', () => {
  const levels = { strides: [8, 16], sizes: [8, 16], ratios: [1, 4], scales: [1, 0.5], centre: 0.5, variances: [0.5, 0.5, 1, 1] as [number, number, number, number], ...keep }
  const flat: DecoderOptions = { type: 'retinanet', scores: ['s'], boxes: ['b'], scoresAre: 'probabilities', ...levels }
  // Four anchors a cell: 8x8, 4x4, 4x16, 2x8; 4 + 1 cells. Location 4 * 2 + 2 is the upright one of column 0, row 1 of stride 8.
  const s = sparse([1, 20, 3], 0, row([0, 10], [0, 0.7, 0.3]))
  const b = sparse([1, 20, 4], 0, row([0, 10], [1, -0.5, log(2), log(0.5)]))

  it('decodes', () => {
    // Anchor 4x16 at 4, 12: centre 4 + 0.5 * 4, 12 - 0.25 * 16; size 8, 8.
    expect(decoded(flat, square(16, 3), { s, b })).toEqual({ boxes: [2, 4, 10, 12, 2, 4, 10, 12], scores: [0.7, 0.3], labels: [1, 2] })
    const sure = createDecoder(flat, square(16, 3)).confidence({ s, b })
    expect(rounded(sure.s!)).toEqual(Array.from({ length: 60 }, (_, e) => (e >= 30 && e < 33 ? 0.7 : 0)))
    expect(rounded(sure.b!)).toEqual(Array.from({ length: 80 }, (_, e) => (e >= 40 && e < 44 ? 0.7 : 0)))
  })

  it('reads maps, one a level, as the flat outputs', () => {
    const rng = createRng('maps')
    const random = (width: number): Tensor => f32(Float32Array.from({ length: 20 * width }, () => rng.next()), [1, 20, width])
    const all = { s: random(3), b: random(4) }
    const layout = { sides: [2, 1], each: 4 }
    const maps: DecoderOptions = { ...flat, scores: ['s0', 's1'], boxes: ['b0', 'b1'] }
    const outputs = { ...mapsOf(all.s, 's', layout), ...mapsOf(all.b, 'b', layout) }
    const wanted = decoded({ ...flat, maxDetections: 50 }, square(16, 3), all)
    expect(wanted.scores.length).toBeGreaterThan(5)
    expect(decoded({ ...maps, maxDetections: 50 }, square(16, 3), outputs)).toEqual(wanted)
    const [sureFlat, sureMaps] = [createDecoder(flat, square(16, 3)).confidence(all), createDecoder(maps, square(16, 3)).confidence(outputs)]
    for (const name of ['s', 'b'] as const) {
      for (const [key, t] of Object.entries(mapsOf({ ...all[name], data: sureFlat[name]! }, name, layout))) expect([...sureMaps[key]!]).toEqual([...(t.data as Float32Array)])
    }
  })
})

describe('nms', () => {
  const base = { type: 'nms', batched: true, units: 'pixels', firstLabel: 0, scoreThreshold: 0.2, maxDetections: 10 } as const
  const corners = ['x1', 'y1', 'x2', 'y2'] as const

  it('one table: sorts, clips, drops by score, leaves rows without a class out', () => {
    const options: DecoderOptions = { ...base, tables: [{ output: 'o', columns: [...corners, 'score', 'label'] }] }
    const o = f32([10, 10, 20, 20, 0.5, 1, -5, 0, 15, 90, 0.9, 0, 1, 1, 2, 2, 0.1, 0, 0, 0, 0, 0, 0.9, -1], [1, 4, 6])
    expect(decoded(options, square(50), { o })).toEqual({ boxes: [0, 0, 15, 50, 10, 10, 20, 20], scores: [0.9, 0.5], labels: [0, 1] })
    expect(decoded({ ...options, maxDetections: 1 }, square(50), { o }).scores).toEqual([0.9])
    expect(rounded(createDecoder(options, square(50)).confidence({ o }).o!)).toEqual([0.5, 0.9, 0.1, 0.9].flatMap((v) => new Array<number>(6).fill(v)))
    expect(() => decoded(options, square(50, 1), { o })).toThrow('the model gives the label 1, the detector card names 1 classes from 0 on; give --classes')
  })

  it('boxes, scores, labels and a count; y before x, shares of the input, labels from 1', () => {
    const options: DecoderOptions = {
      ...base, units: 'unit', firstLabel: 1, count: 'n',
      tables: [{ output: 'b', columns: ['y1', 'x1', 'y2', 'x2'] }, { output: 's', columns: ['score'] }, { output: 'l', columns: ['label'] }],
    }
    const outputs = { b: f32([0.1, 0.2, 0.5, 0.6, 0, 0, 1, 1], [1, 2, 4]), s: f32([0.4, 0.8], [1, 2]), l: i64([2, 1], [1, 2]), n: f32([1], [1]) }
    const wide: DecoderContext = { input: { width: 100, height: 50 }, classes: 2 }
    expect(decoded(options, wide, outputs)).toEqual({ boxes: [20, 5, 60, 25], scores: [0.4], labels: [1] })
    const sure = createDecoder(options, wide).confidence(outputs)
    expect([rounded(sure.b!), rounded(sure.s!), rounded(sure.l!), rounded(sure.n!)]).toEqual([[0.4, 0.4, 0.4, 0.4, 0.8, 0.8, 0.8, 0.8], [0.4, 0.8], [0.4, 0.8], [0]])
  })

  it('scores behind the boxes; tables that do not agree', () => {
    const options: DecoderOptions = { ...base, tables: [{ output: 'd', columns: [...corners, 'score'] }, { output: 'l', columns: ['label'] }] }
    const d = f32([1, 2, 3, 4, 0.7], [1, 1, 5])
    expect(decoded(options, square(9), { d, l: i64([1], [1, 1]) })).toEqual({ boxes: [1, 2, 3, 4], scores: [0.7], labels: [1] })
    expect(() => decoded(options, square(9), { d, l: i64([1, 0], [1, 2]) })).toThrow('the outputs "d", "l" have 1, 2 rows')
    expect(() => decoded(options, square(9), { d: f32([1, 2, 3, 4], [1, 1, 4]), l: i64([1], [1, 1]) })).toThrow('the detector card gives it the 5 columns x1, y1, x2, y2, score')
  })

  it('runs one image at a time where rows do not tell images apart', () => {
    expect(createDecoder({ ...base, batched: false, tables: [{ output: 'o', columns: ['image', ...corners, 'label', 'score'] }] }, square(9)).oneByOne).toBe(true)
    expect(createDecoder({ ...base, tables: [{ output: 'o', columns: [...corners, 'label', 'score'] }] }, square(9)).oneByOne).toBe(false)
  })
})
