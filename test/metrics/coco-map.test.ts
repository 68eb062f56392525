/** @file COCO's numbers on images worked by hand. */
import { describe, expect, it } from 'vitest'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { detectionsOf, truthOf } from './images.ts'

const a = [0, 0, 100, 100] as const
const b = [200, 0, 300, 100] as const
const elsewhere = [400, 400, 450, 450] as const

describe('evaluateCoco', () => {
  it('one of two objects found: 51 of 101 recall points', () => {
    const s = evaluateCoco([{ truth: truthOf([{ box: a }, { box: b }]), detections: detectionsOf([{ box: a, score: 0.9 }]) }], 1)
    expect(s.AP).toBeCloseTo(51 / 101, 12)
    expect(s.APl).toBeCloseTo(51 / 101, 12)
    expect(s).toMatchObject({ AR1: 0.5, AR100: 0.5, APs: -1, APm: -1, ARs: -1, ARm: -1 })
  })

  it('a false detection before the true one halves the precision; after it, nothing', () => {
    const truth = truthOf([{ box: a }])
    const before = evaluateCoco([{ truth, detections: detectionsOf([{ box: elsewhere, score: 0.9 }, { box: a, score: 0.8 }]) }], 1)
    expect(before.AP).toBeCloseTo(0.5, 12)
    expect(before.AR1).toBe(0)
    expect(before.AR10).toBe(1)
    const after = evaluateCoco([{ truth, detections: detectionsOf([{ box: a, score: 0.9 }, { box: elsewhere, score: 0.8 }]) }], 1)
    expect(after.AP).toBeCloseTo(1, 12)
  })

  it('an IoU of .8 counts at 7 of 10 thresholds', () => {
    // 100x80 inside 100x100: .8 exactly, which reaches the threshold .8.
    const s = evaluateCoco([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: [0, 0, 100, 80], score: 0.9 }]) }], 1)
    expect(s.AP).toBeCloseTo(0.7, 12)
    expect(s.AP75).toBeCloseTo(1, 12)
  })

  it('a difficult object is not asked for, and what finds it does not count', () => {
    const truth = truthOf([{ box: a }, { box: b, difficult: true }])
    const found = evaluateCoco([{ truth, detections: detectionsOf([{ box: b, score: 0.9 }, { box: a, score: 0.8 }]) }], 1)
    expect(found.AP).toBeCloseTo(1, 12)
    // A second detection of it has nothing left to match.
    const twice = evaluateCoco([{ truth, detections: detectionsOf([{ box: b, score: 0.9 }, { box: b, score: 0.85 }, { box: a, score: 0.8 }]) }], 1)
    expect(twice.AP).toBeCloseTo(0.5, 12)
  })

  it('a crowd takes any number of detections that lie inside it', () => {
    const truth = truthOf([{ box: a }, { box: [200, 0, 600, 400], crowd: true }])
    const inside = Array.from({ length: 5 }, (_, i) => ({ box: [210 + 50 * i, 50, 240 + 50 * i, 80] as const, score: 0.9 }))
    expect(evaluateCoco([{ truth, detections: detectionsOf([...inside, { box: a, score: 0.5 }]) }], 1).AP).toBeCloseTo(1, 12)
  })

  it('sizes go by the annotated area for objects and by the box for what missed', () => {
    // The segment is small, its box is not; the stray detection is large, so it does not count among the small.
    const truth = truthOf([{ box: a, area: 500 }])
    const s = evaluateCoco([{ truth, detections: detectionsOf([{ box: [300, 0, 500, 200], score: 0.9 }, { box: a, score: 0.8 }]) }], 1)
    expect(s.APs).toBeCloseTo(1, 12)
    expect(s.AP).toBeCloseTo(0.5, 12)
    expect(s.APl).toBe(-1)
  })

  it('at most 100 detections of a class in an image', () => {
    const strays = Array.from({ length: 100 }, () => ({ box: elsewhere, score: 0.9 }))
    const s = evaluateCoco([{ truth: truthOf([{ box: a }]), detections: detectionsOf([...strays, { box: a, score: 0.8 }]) }], 1)
    expect(s).toMatchObject({ AP: 0, AR100: 0 })
  })

  it('of objects that it overlaps alike, a detection takes the last, among those not asked for too', () => {
    // The first detection overlaps both by 90/110, which reaches .80; the second is the first object, and overlaps the other by 80/120.
    const pair = [{ box: a }, { box: [20, 0, 120, 100] as const }]
    const detections = [{ box: [10, 0, 110, 100] as const, score: 0.9 }, { box: a, score: 0.8 }]
    const asked = evaluateCoco([{ truth: truthOf(pair), detections: detectionsOf(detections) }], 1)
    expect(asked.AP).toBeCloseTo((7 + 3 * 0.5 * (51 / 101)) / 10, 12)
    const truth = truthOf([...pair.map((object) => ({ ...object, difficult: true })), { box: b }])
    const notAsked = evaluateCoco([{ truth, detections: detectionsOf([...detections, { box: b, score: 0.7 }]) }], 1)
    expect(notAsked.AP).toBeCloseTo((7 + 3 * 0.5) / 10, 12)
  })

  it('equal scores go by the order of the images', () => {
    const hit = { truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.5 }]) }
    const miss = { truth: truthOf([]), detections: detectionsOf([{ box: a, score: 0.5 }]) }
    expect(evaluateCoco([hit, miss], 1).AP).toBeCloseTo(1, 12)
    expect(evaluateCoco([miss, hit], 1).AP).toBeCloseTo(0.5, 12)
  })

  it('a class without ground truth is -1 and leaves the mean alone, also with detections', () => {
    const detections = detectionsOf([{ box: a, score: 0.9, label: 1 }, { box: b, score: 0.9, label: 0 }])
    const s = evaluateCoco([{ truth: truthOf([{ box: a, label: 1 }]), detections }], 3)
    expect(s.AP).toBeCloseTo(1, 12)
    expect(s.perClass).toEqual([{ AP: -1, AP50: -1 }, { AP: expect.closeTo(1, 12), AP50: expect.closeTo(1, 12) }, { AP: -1, AP50: -1 }])
  })

  it('no images, and images with nothing', () => {
    expect(evaluateCoco([], 2)).toMatchObject({ AP: -1, AR100: -1, perClass: [{ AP: -1 }, { AP: -1 }] })
    expect(evaluateCoco([{ truth: truthOf([]), detections: detectionsOf([]) }], 1)).toMatchObject({ AP: -1 })
  })

  it('refuses labels beyond the classes and scores that are not numbers', () => {
    expect(() => evaluateCoco([{ truth: truthOf([{ box: a, label: 2 }]), detections: detectionsOf([]) }], 2)).toThrow('label of a ground truth is 2, must be in 0..1')
    expect(() => evaluateCoco([{ truth: truthOf([]), detections: detectionsOf([{ box: a, score: NaN }]) }], 1)).toThrow('must be finite')
  })
})
