/** @file The fast COCO evaluation against the plain one, on random images full of ties, crowds and borderline sizes. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { plainCoco, type PlainImage } from './coco-reference.ts'
import { detectionsOf, truthOf } from './images.ts'

const classes = 2
// Few places and sizes, so that equal overlaps, overlaps of exactly a threshold and areas on the ranges' ends (32 and 96 squared) are common.
const box = fc.tuple(fc.constantFrom(0, 8, 16, 40), fc.constantFrom(0, 8, 16), fc.constantFrom(20, 32, 40, 96, 100), fc.constantFrom(20, 32, 40, 96, 100)).map((values) => [...values])
const label = fc.nat(classes - 1)
const flag = fc.nat(5).map((n) => n === 0)
const image: fc.Arbitrary<PlainImage> = fc.record({
  truths: fc.array(fc.record({ label, box, area: fc.constantFrom(400, 1024, 1025, 9216, 9217), crowd: flag, ignore: flag }), { maxLength: 6 }),
  // Repeats take an image past the 10 and 100 detections that count.
  detections: fc.array(fc.record({ label, box, score: fc.constantFrom(-0.5, 0, 0.25, 0.5, 1), times: fc.constantFrom(1, 1, 1, 1, 1, 8, 60) }), { maxLength: 12 })
    .map((found) => found.flatMap(({ times, ...detection }) => Array.from({ length: times }, () => detection))),
})

function corners([x, y, w, h]: readonly number[]): [number, number, number, number] {
  return [x!, y!, x! + w!, y! + h!]
}

it('all twelve numbers are those of the plain evaluation', () => {
  fc.assert(fc.property(fc.array(image, { maxLength: 4 }), (images) => {
    const ours = evaluateCoco(images.map(({ truths, detections }) => ({
      truth: truthOf(truths.map((t) => ({ ...t, box: corners(t.box), difficult: t.ignore }))),
      detections: detectionsOf(detections.map((d) => ({ ...d, box: corners(d.box) }))),
    })), classes)
    for (const [key, expected] of Object.entries(plainCoco(images, classes))) expect(ours[key as 'AP'], key).toBeCloseTo(expected, 12)
  }), { seed: 4, numRuns: 200 })
})
