/** @file VOC's average precision on cases worked by hand. */
import { describe, expect, it } from 'vitest'
import { evaluateVoc } from '../../src/metrics/voc-ap.ts'
import { detectionsOf, truthOf } from './images.ts'

const a = [0, 0, 100, 100] as const
const b = [200, 0, 300, 100] as const
const c = [0, 200, 100, 300] as const
const elsewhere = [400, 400, 450, 450] as const

describe('evaluateVoc', () => {
  // hit, miss, hit, miss, hit of 4 objects: precision 1, 2/3, 3/5 at recall 1/4, 2/4, 3/4.
  const images = [
    { truth: truthOf([{ box: a }, { box: b }]), detections: detectionsOf([{ box: a, score: 0.9 }, { box: elsewhere, score: 0.8 }, { box: b, score: 0.7 }]) },
    { truth: truthOf([{ box: a }, { box: c }]), detections: detectionsOf([{ box: elsewhere, score: 0.6 }, { box: c, score: 0.5 }]) },
  ]

  it('all points: area under the curve', () => {
    expect(evaluateVoc(images, 1).mAP).toBeCloseTo((1 + 2 / 3 + 3 / 5) / 4, 12)
  })

  it('11 points: recall 0 .1 .2 at 1, .3 .4 .5 at 2/3, .6 .7 at 3/5, then 0', () => {
    expect(evaluateVoc(images, 1, { points: 11 }).mAP).toBeCloseTo((3 * 1 + 3 * (2 / 3) + 2 * (3 / 5)) / 11, 12)
  })

  it('the curve is made monotone: a later, higher precision counts for earlier recall', () => {
    const detections = detectionsOf([{ box: elsewhere, score: 0.9 }, { box: a, score: 0.8 }, { box: b, score: 0.7 }])
    expect(evaluateVoc([{ truth: truthOf([{ box: a }, { box: b }]), detections }], 1).mAP).toBeCloseTo(2 / 3, 12)
  })

  it('3 of 10 objects reach the recall point .3', () => {
    const boxes = Array.from({ length: 10 }, (_, i) => [20 * i, 0, 20 * i + 10, 10] as const)
    const detections = detectionsOf(boxes.slice(0, 3).map((box) => ({ box, score: 0.9 })))
    expect(evaluateVoc([{ truth: truthOf(boxes.map((box) => ({ box }))), detections }], 1, { points: 11 }).mAP).toBeCloseTo(4 / 11, 12)
  })

  it('a second detection of an object is false', () => {
    const detections = detectionsOf([{ box: a, score: 0.9 }, { box: a, score: 0.8 }, { box: b, score: 0.7 }])
    expect(evaluateVoc([{ truth: truthOf([{ box: a }, { box: b }]), detections }], 1).mAP).toBeCloseTo((1 + 2 / 3) / 2, 12)
  })

  it('difficult objects are not asked for, however often they are found', () => {
    const detections = detectionsOf([{ box: b, score: 0.9 }, { box: b, score: 0.85 }, { box: a, score: 0.8 }])
    expect(evaluateVoc([{ truth: truthOf([{ box: a }, { box: b, difficult: true }]), detections }], 1).mAP).toBe(1)
  })

  it('IoU of exactly the threshold finds; edges are exclusive', () => {
    const truth = truthOf([{ box: [0, 0, 10, 10] }])
    const half = detectionsOf([{ box: [0, 0, 10, 5], score: 0.9 }])
    expect(evaluateVoc([{ truth, detections: half }], 1).mAP).toBe(1)
    expect(evaluateVoc([{ truth, detections: half }], 1, { iou: 0.51 }).mAP).toBe(0)
  })

  it('classes without ground truth are left out of the mean', () => {
    const s = evaluateVoc([{ truth: truthOf([{ box: a, label: 1 }]), detections: detectionsOf([{ box: a, score: 0.9, label: 1 }, { box: a, score: 0.9, label: 0 }]) }], 3)
    expect(s).toEqual({ mAP: 1, perClass: [-1, 1, -1] })
    expect(evaluateVoc([], 2)).toEqual({ mAP: -1, perClass: [-1, -1] })
    expect(() => evaluateVoc(images, 0)).toThrow('must be in 0..-1')
  })
})
