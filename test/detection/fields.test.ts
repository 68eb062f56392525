/** @file Which entries of raw outputs are scores and which are boxes, by decoder: every entry has one reading. */
import { describe, expect, it } from 'vitest'
import { outputFields } from '../../src/detection/decoders/fields.ts'
import type { DecoderOptions } from '../../src/detection/decoders/registry.ts'

const kept = { scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 }
const classes = 3

/** Options with the widths of the outputs' channel axes. */
const cases: readonly [DecoderOptions, Readonly<Record<string, number>>][] = [
  [{ type: 'ssd', scores: 's', boxes: 'b', ...kept }, { s: 4, b: 4 }],
  [{ type: 'yolov3', heads: [{ output: 'h', anchors: [[1, 2], [3, 4]] }], ...kept }, { h: 16 }],
  [{ type: 'yolov5', output: 'o', boxesAre: 'centres', units: 'pixels', ...kept }, { o: 8 }],
  [{ type: 'yolov8', output: 'o', boxesAre: 'centres', units: 'pixels', ...kept }, { o: 7 }],
  [{ type: 'yolox', output: 'o', strides: [8, 16, 32], scoresAre: 'probabilities', ...kept }, { o: 8 }],
  [{ type: 'nanodet', levels: [{ stride: 8, scores: 's', boxes: 'b' }], bins: 8, scoresAre: 'probabilities', centre: 0.5, ...kept }, { s: 3, b: 32 }],
  [{ type: 'fastestdet', output: 'o', ...kept }, { o: 8 }],
]

describe('outputFields', () => {
  it.each(cases)('covers each entry once: %o', (options, widths) => {
    const fields = outputFields(options, { classes })
    for (const [output, width] of Object.entries(widths)) {
      const own = fields.filter((f) => f.output === output).sort((a, b) => a.from - b.from)
      expect(own.map((f) => [f.from, f.to]).flat()).toEqual([0, ...own.slice(1).flatMap((f) => [f.from, f.from]), width])
      for (const f of own) if (f.bins) expect((f.to - f.from) % f.bins).toBe(0)
    }
    expect(new Set(fields.map((f) => f.output))).toEqual(new Set(Object.keys(widths)))
    for (const purpose of ['class', 'box']) expect(fields.some((f) => f.purpose === purpose)).toBe(true)
  })

  it('reads YOLOv3 anchor by anchor: centre and scores are logits, sizes are numbers', () => {
    expect(outputFields(cases[1]![0], { classes }).slice(3).map((f) => [f.from, f.to, f.kind, f.purpose])).toEqual([[8, 10, 'logit', 'box'], [10, 12, 'regression', 'box'], [12, 16, 'logit', 'class']])
  })

  it('refuses outputs that say nothing entry by entry', () => {
    expect(() => outputFields({ type: 'nms' } as DecoderOptions, { classes })).toThrow(/chosen by NMS in the graph; export it without NMS/)
  })
})
