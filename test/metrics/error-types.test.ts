/** @file Error types on images worked by hand, each type alone and mixed, and against COCO's AP50. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cocoInputOf } from '../../src/metrics/coco-input.ts'
import { summarizeCoco } from '../../src/metrics/coco-map.ts'
import { type ErrorKind, errorKinds, type ErrorTypes, errorTypes, evaluateErrorTypes } from '../../src/metrics/error-types.ts'
import { detectionsOf, truthOf } from './images.ts'

const a = [0, 0, 100, 100] as const
const b = [200, 0, 300, 100] as const
const elsewhere = [400, 400, 450, 450] as const
/** IoU .3 with `a`. */
const loose = [0, 0, 100, 30] as const

/** All counts and all gains; what is not named is 0. */
function expectTypes(found: ErrorTypes, count: Partial<Record<ErrorKind, number>>, dAP: Partial<Record<ErrorKind, number>>): void {
  for (const kind of errorKinds) {
    expect(found.count[kind], `count of ${kind}`).toBe(count[kind] ?? 0)
    expect(found.dAP[kind], `dAP of ${kind}`).toBeCloseTo(dAP[kind] ?? 0, 12)
  }
}

describe('one error alone', () => {
  it('none', () => {
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.9 }]) }], 1)
    expect(found.AP50).toBeCloseTo(1, 12)
    expectTypes(found, {}, {})
  })

  it('classification: right box, wrong class', () => {
    // Class 0 has nothing found, class 1 a false detection and no object: both are 0. Mended, class 1 is empty and class 0 is 1.
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.9, label: 1 }]) }], 2)
    expect(found.AP50).toBe(0)
    expectTypes(found, { classification: 1 }, { classification: 1 })
  })

  it('localization: right class, IoU from .1 to .5', () => {
    const at = (height: number) => evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: [0, 0, 100, height], score: 0.9 }]) }], 1)
    expectTypes(at(30), { localization: 1 }, { localization: 1 })
    expectTypes(at(10), { localization: 1 }, { localization: 1 })
    expectTypes(at(9), { background: 1, missed: 1 }, {})
    expectTypes(at(50), {}, {})
    // IoU .5 exactly with an object that another found is a localization error, not a duplicate.
    const second = evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.9 }, { box: [0, 0, 100, 50], score: 0.8 }]) }], 1)
    expectTypes(second, { localization: 1 }, {})
  })

  it('both: wrong class and IoU between .1 and .5', () => {
    // Class 0 misses its object; class 1 has a false detection before the right one.
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }, { box: b, label: 1 }]), detections: detectionsOf([{ box: loose, score: 0.9, label: 1 }, { box: b, score: 0.8, label: 1 }]) }], 2)
    expect(found.AP50).toBeCloseTo(0.25, 12)
    // Mended: 0 and 1. The missed object no longer asked for, class 0 is empty: 1/2 alone.
    expectTypes(found, { both: 1, missed: 1 }, { both: 0.25, missed: 0.25 })
  })

  it('duplicate: the object is found already', () => {
    const truth = truthOf([{ box: a }, { box: b }])
    const found = evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: a, score: 0.9 }, { box: [0, 0, 100, 90], score: 0.8 }, { box: b, score: 0.7 }]) }], 1)
    // 51 recall points at precision 1, 50 at 2/3.
    const AP50 = (51 + 50 * (2 / 3)) / 101
    expect(found.AP50).toBeCloseTo(AP50, 12)
    expectTypes(found, { duplicate: 1 }, { duplicate: 1 - AP50 })
  })

  it('background: IoU of at most .1 with everything', () => {
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: elsewhere, score: 0.9 }, { box: a, score: 0.8 }]) }], 1)
    expect(found.AP50).toBeCloseTo(0.5, 12)
    expectTypes(found, { background: 1 }, { background: 0.5 })
    // In an image without objects too.
    const bare = evaluateErrorTypes([{ truth: truthOf([]), detections: detectionsOf([{ box: a, score: 0.9 }]) }, { truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.8 }]) }], 1)
    expectTypes(bare, { background: 1 }, { background: 0.5 })
  })

  it('missed: nothing points at the object', () => {
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }, { box: b }]), detections: detectionsOf([{ box: a, score: 0.9 }]) }], 1)
    expect(found.AP50).toBeCloseTo(51 / 101, 12)
    expectTypes(found, { missed: 1 }, { missed: 50 / 101 })
    expect(found.falseNegative).toBeCloseTo(50 / 101, 12)
    // An image without detections too.
    const bare = evaluateErrorTypes([{ truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.9 }]) }, { truth: truthOf([{ box: a }]), detections: detectionsOf([]) }], 1)
    expectTypes(bare, { missed: 1 }, { missed: 50 / 101 })
  })
})

describe('mixtures', () => {
  it('every type in one image, counted once each', () => {
    const truth = truthOf([{ box: a }, { box: b }, { box: [0, 200, 100, 300], label: 1 }, { box: [200, 200, 300, 300], label: 1 }, { box: [0, 400, 100, 500] }])
    const found = evaluateErrorTypes([{
      truth,
      detections: detectionsOf([
        { box: a, score: 0.9 }, // right
        { box: [0, 0, 100, 90], score: 0.85 }, // duplicate of it
        { box: [200, 0, 300, 30], score: 0.8 }, // localization, IoU .3 with b
        { box: [0, 200, 100, 300], score: 0.75 }, // classification: class 0 on an object of class 1
        { box: [200, 200, 300, 230], score: 0.7 }, // both: class 0, IoU .3 with an object of class 1
        { box: [600, 600, 650, 650], score: 0.65 }, // background
      ]),
    }], 2)
    // Class 0: hit, five misses, of 3 objects; class 1: nothing of 2.
    expect(found.AP50).toBeCloseTo(34 / 101 / 2, 12)
    const third = 34 / 101
    expectTypes(found, { duplicate: 1, localization: 1, classification: 1, both: 1, background: 1, missed: 2 }, {
      // Class 1 gets its first of two objects: 51 points.
      classification: 51 / 101 / 2,
      // Class 0: hit, duplicate, hit: 33 more points at precision 2/3 (recalls .34 to .66).
      localization: (33 * (2 / 3)) / 101 / 2,
      // Wrong detections behind the last hit cost nothing: duplicate, both and background gain nothing.
      // Missed are the last object of class 0 (1 of 2 is then found: 51 points) and the object of class 1 that only "both" touched.
      missed: (51 - 34) / 101 / 2,
    })
    // Class 1 has no detections: all 2 objects are unfound, and it is empty once they are not asked for. Class 0: the one hit leads.
    expect(found.falseNegative).toBeCloseTo(1 - third / 2, 12)
    expect(found.falsePositive).toBeCloseTo(0, 12)
  })

  it('both boxes and class could be taken for wrong: localization is asked first', () => {
    const truth = truthOf([{ box: a }, { box: [0, 0, 100, 30], label: 1 }])
    expectTypes(evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: loose, score: 0.9 }]) }], 2), { localization: 1, missed: 1 }, { localization: 0.5 })
  })

  it('of two errors at one object the better scored mends it, the other goes', () => {
    const truth = truthOf([{ box: a }])
    const found = evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: loose, score: 0.9 }, { box: [0, 0, 100, 40], score: 0.8 }]) }], 1)
    expectTypes(found, { localization: 2 }, { localization: 1 })
    // The better one is of another type: mending the worse one gains nothing.
    const mixed = evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: loose, score: 0.9 }, { box: a, score: 0.8, label: 1 }]) }], 2)
    expectTypes(mixed, { localization: 1, classification: 1 }, { localization: 0.5 })
  })

  it('false positives above the right ones, and objects not found', () => {
    const found = evaluateErrorTypes([{ truth: truthOf([{ box: a }, { box: b }]), detections: detectionsOf([{ box: elsewhere, score: 0.9 }, { box: a, score: 0.8 }]) }], 1)
    expect(found.AP50).toBeCloseTo((51 * 0.5) / 101, 12)
    expect(found.falsePositive).toBeCloseTo((51 * 0.5) / 101, 12)
    expect(found.falseNegative).toBeCloseTo(0.5 - (51 * 0.5) / 101, 12)
  })
})

describe('what does not count', () => {
  const strays = [{ box: [210, 10, 230, 30] as const, score: 0.95 }, { box: [250, 10, 270, 30] as const, score: 0.94 }]

  it('detections in a crowd of their class are neither right nor false, but have a type', () => {
    const truth = truthOf([{ box: a }, { box: b, crowd: true }])
    const found = evaluateErrorTypes([{ truth, detections: detectionsOf([...strays, { box: a, score: 0.9 }]) }], 1)
    expect(found.AP50).toBeCloseTo(1, 12)
    expectTypes(found, { background: 2 }, {})
    const other = evaluateErrorTypes([{ truth: truthOf([{ box: a }, { box: b, crowd: true, label: 1 }]), detections: detectionsOf([...strays, { box: a, score: 0.9 }]) }], 2)
    expect(other.AP50).toBeCloseTo(1 / 3, 12)
    expectTypes(other, { background: 2 }, { background: 2 / 3 })
  })

  it('a difficult object forgives one detection, and is not missed', () => {
    const truth = truthOf([{ box: a }, { box: b, difficult: true }])
    const one = evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: b, score: 0.95 }, { box: a, score: 0.9 }]) }], 1)
    expect(one.AP50).toBeCloseTo(1, 12)
    const two = evaluateErrorTypes([{ truth, detections: detectionsOf([{ box: b, score: 0.95 }, { box: b, score: 0.94 }, { box: a, score: 0.9 }]) }], 1)
    expect(two.AP50).toBeCloseTo(0.5, 12)
    expectTypes(two, { background: 2 }, { background: 0.5 })
  })

  it('without objects there is nothing to measure with', () => {
    const found = evaluateErrorTypes([{ truth: truthOf([]), detections: detectionsOf([{ box: a, score: 0.9 }]) }], 1)
    expect(found).toMatchObject({ AP50: -1, falsePositive: -1, falseNegative: -1, count: { background: 1 } })
    for (const kind of errorKinds) expect(found.dAP[kind]).toBe(-1)
  })

  it('equal scores gain nothing by themselves', () => {
    const hit = { truth: truthOf([{ box: a }]), detections: detectionsOf([{ box: a, score: 0.5 }]) }
    const stray = { truth: truthOf([]), detections: detectionsOf([{ box: a, score: 0.5 }]) }
    expectTypes(evaluateErrorTypes([hit, stray], 1), { background: 1 }, {})
    expectTypes(evaluateErrorTypes([stray, hit], 1), { background: 1 }, { background: 0.5 })
  })
})

it('AP50 is COCO\'s where each class has objects, and the types are all wrong detections', () => {
  const side = fc.double({ min: 20, max: 120, noNaN: true })
  const place = fc.double({ min: 0, max: 200, noNaN: true })
  const box = fc.tuple(place, place, side, side).map(([x, y, w, h]): [number, number, number, number] => [x, y, x + w, y + h])
  const label = fc.nat(1)
  const image = fc.record({
    truths: fc.array(fc.record({ box, label, crowd: fc.nat(6).map((n) => n === 0), difficult: fc.nat(6).map((n) => n === 0) }), { maxLength: 6 }),
    found: fc.array(fc.record({ box, label, score: fc.double({ min: 0, max: 1, noNaN: true }) }), { maxLength: 30 }),
  })
  fc.assert(fc.property(fc.array(image, { minLength: 1, maxLength: 4 }), (images) => {
    // An object of each class that counts.
    const ours = images.map(({ truths, found }) => ({ truth: truthOf([...truths, { box: [300, 0, 340, 40], label: 0 }, { box: [300, 50, 340, 90], label: 1 }]), detections: detectionsOf(found) }))
    const input = cocoInputOf(ours, 2)
    const types = errorTypes(input)
    expect(types.AP50).toBeCloseTo(summarizeCoco(input).AP50, 12)
    const { missed, ...wrong } = types.count
    expect(Object.values(wrong).reduce((t, n) => t + n, 0)).toBeLessThanOrEqual(input.detections.scores.length)
    expect(types.falsePositive).toBeGreaterThanOrEqual(-1e-12)
    expect(missed).toBeLessThanOrEqual(input.truth.label.length)
    for (const kind of errorKinds) expect(types.dAP[kind]).toBeLessThanOrEqual(1 - types.AP50 + 1e-12)
  }), { seed: 11, numRuns: 200 })
})
