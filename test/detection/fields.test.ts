/** @file Which entries of raw outputs are scores and which are boxes, by decoder: every entry has one reading. */
import { describe, expect, it } from 'vitest'
import { type FieldsContext, outputFields } from '../../src/detection/decoders/fields.ts'
import { createDecoder, type DecoderOptions } from '../../src/detection/decoders/registry.ts'
import { distillLoss } from '../../src/detection/distill-loss.ts'
import type { Tensors } from '../../src/runtime/session.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, type Tensor } from '../../src/tensor/tensor.ts'
import { mapsOf } from '../support/retinanet.ts'
import { buildAndRun } from '../support/run.ts'

const kept = { scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 }
const classes = 3

/** RetinaNet on levels of 2 x 2 cells and of one, four anchors a cell. */
const anchors = { type: 'retinanet' as const, scoresAre: 'logits' as const, strides: [8, 16], sizes: [8, 16], ratios: [1, 4], scales: [1, 0.5], centre: 0.5, variances: [0.5, 0.5, 1, 1] as [number, number, number, number], ...kept }

/** Options with the widths of the outputs' channel axes. */
const cases: readonly [DecoderOptions, Readonly<Record<string, number>>][] = [
  [{ type: 'ssd', scores: 's', boxes: 'b', ...kept }, { s: 4, b: 4 }],
  [{ type: 'yolov3', heads: [{ output: 'h', anchors: [[1, 2], [3, 4]] }], ...kept }, { h: 16 }],
  [{ type: 'yolov5', output: 'o', boxesAre: 'centres', units: 'pixels', ...kept }, { o: 8 }],
  [{ type: 'yolov8', output: 'o', boxesAre: 'centres', units: 'pixels', ...kept }, { o: 7 }],
  [{ type: 'yolox', output: 'o', strides: [8, 16, 32], scoresAre: 'probabilities', ...kept }, { o: 8 }],
  [{ type: 'nanodet', levels: [{ stride: 8, scores: 's', boxes: 'b' }], bins: 8, scoresAre: 'probabilities', centre: 0.5, ...kept }, { s: 3, b: 32 }],
  [{ type: 'fastestdet', output: 'o', ...kept }, { o: 8 }],
  [{ ...anchors, scores: ['s'], boxes: ['b'] }, { s: 3, b: 4 }],
  [{ ...anchors, scores: ['s0', 's1'], boxes: ['b0', 'b1'] }, { s0: 12, b0: 16, s1: 12, b1: 16 }],
]
/** Outputs of RetinaNet with a number behind their name are maps. */
const context: FieldsContext = { classes, rankOf: (output) => (/\d$/.test(output) ? 4 : 3) }

describe('outputFields', () => {
  it.each(cases)('covers each entry once: %o', (options, widths) => {
    const fields = outputFields(options, context)
    for (const [output, width] of Object.entries(widths)) {
      const own = fields.filter((f) => f.output === output).sort((a, b) => a.from - b.from)
      expect(own.map((f) => [f.from, f.to]).flat()).toEqual([0, ...own.slice(1).flatMap((f) => [f.from, f.from]), width])
      for (const f of own) if (f.bins) expect((f.to - f.from) % f.bins).toBe(0)
    }
    expect(new Set(fields.map((f) => f.output))).toEqual(new Set(Object.keys(widths)))
    for (const purpose of ['class', 'box']) expect(fields.some((f) => f.purpose === purpose)).toBe(true)
  })

  it('reads YOLOv3 anchor by anchor: centre and scores are logits, sizes are numbers', () => {
    const fields = outputFields(cases[1]![0], { classes })
    expect(fields.slice(4).map((f) => [f.from, f.to, f.kind, f.purpose])).toEqual([[8, 10, 'logit', 'box'], [10, 12, 'regression', 'box'], [12, 13, 'logit', 'class'], [13, 16, 'logit', 'class']])
    // Two anchors share the axis: a cell has two locations.
    for (const f of fields) expect(f.locations).toBe(2)
  })

  it.each(['yolov3', 'yolov5', 'yolox', 'fastestdet'])('%s: classes are those of an object, objectness stands everywhere', (type) => {
    const scores = outputFields(cases.find(([o]) => o.type === type)![0], context).filter((f) => f.purpose === 'class')
    for (const f of scores) expect(f.conditional ?? false, `${f.from}`).toBe(f.to - f.from === classes)
    expect(scores.some((f) => f.conditional)).toBe(true)
  })

  it.each(['ssd', 'yolov8', 'nanodet', 'retinanet'])('%s: class scores say by themselves whether something is there', (type) => {
    for (const f of outputFields(cases.find(([o]) => o.type === type)![0], context)) expect(f.conditional).toBeUndefined()
  })

  it('refuses outputs that say nothing entry by entry, or whose form is not known', () => {
    expect(() => outputFields({ type: 'nms' } as DecoderOptions, { classes })).toThrow(/chosen by NMS in the graph; export it without NMS/)
    const retinanet = cases.find(([o]) => o.type === 'retinanet')![0]
    expect(() => outputFields(retinanet, { classes })).toThrow('output "s" has an unknown number of axes')
    expect(() => outputFields(retinanet, { classes, rankOf: () => 2 })).toThrow('output "s" has 2 axes, anchors are read from 3 or 4')
  })
})

describe('retinanet as a teacher', () => {
  const layout = { sides: [2, 1], each: 4 }
  const rng = createRng('anchors')
  const random = (width: number): Tensor => f32(Float32Array.from({ length: 20 * width }, () => rng.normal()), [1, 20, width])
  const rows = { teacher: { s: random(classes), b: random(4) }, student: { s: random(classes), b: random(4) } }

  /** The loss of the student, with the confidence that the decoder sees in the teacher. */
  async function loss(options: DecoderOptions, teacher: Tensors, student: Tensors): Promise<[classification: number, localization: number]> {
    const sure = createDecoder(options, { input: { width: 16, height: 16 }, classes }).confidence(teacher)
    const out = await buildAndRun((b) => {
      const constants = (of: (name: string) => Tensor) => (name: string) => b.constant(of(name))
      const losses = distillLoss(b, outputFields(options, context), {
        student: constants((name) => student[name]!),
        teacher: constants((name) => teacher[name]!),
        confidence: constants((name) => f32(sure[name]!, teacher[name]!.dims)),
      }, { background: 0.25 })
      b.output(b.op('Identity', [losses.classification]), 'classification')
      b.output(b.op('Identity', [losses.localization]), 'localization')
    })
    return [floats(out.classification!)[0]!, floats(out.localization!)[0]!]
  }

  const flat: DecoderOptions = { ...anchors, scores: ['s'], boxes: ['b'] }

  it('rows are compared as by hand', async () => {
    const [t, s] = [rows.teacher, rows.student].map((r) => ({ s: floats(r.s), b: floats(r.b) })) as [{ s: Float32Array; b: Float32Array }, { s: Float32Array; b: Float32Array }]
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
    const coin = (p: number, q: number): number => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q))
    const wanted = [0, 0]
    let mass = 0
    for (let a = 0; a < 20; a++) {
      const sure = sigmoid(Math.max(...t.s.subarray(classes * a, classes * (a + 1))))
      mass += sure
      for (let c = classes * a; c < classes * (a + 1); c++) wanted[0]! += 40 * (sigmoid(t.s[c]!) - sigmoid(s.s[c]!)) ** 2 * coin(sigmoid(t.s[c]!), sigmoid(s.s[c]!))
      for (let k = 4 * a; k < 4 * a + 4; k++) {
        // A tenth of an anchor is 0.2 of a delta whose variance is 0.5.
        const d = Math.abs(t.b[k]! - s.b[k]!) / 0.2
        wanted[1]! += sure * (d < 1 ? 0.5 * d * d : d - 0.5)
      }
    }
    const got = await loss(flat, rows.teacher, rows.student)
    for (const k of [0, 1] as const) expect(got[k]).toBeCloseTo(wanted[k]! / mass, 3)
  })

  it('maps are compared as the rows of the same numbers', async () => {
    const maps: DecoderOptions = { ...anchors, scores: ['s0', 's1'], boxes: ['b0', 'b1'] }
    const [teacher, student] = [rows.teacher, rows.student].map((r) => ({ ...mapsOf(r.s, 's', layout), ...mapsOf(r.b, 'b', layout) })) as [Tensors, Tensors]
    const [got, wanted] = [await loss(maps, teacher, student), await loss(flat, rows.teacher, rows.student)]
    for (const k of [0, 1] as const) expect(got[k]).toBeCloseTo(wanted[k], 4)
  })
})
