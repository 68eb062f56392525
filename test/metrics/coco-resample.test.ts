/** @file AP of drawn images against the plain evaluation of a set in which they stand that often. */
import { describe, expect, it } from 'vitest'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { resampler } from '../../src/metrics/coco-resample.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { detectionsOf, truthOf } from './images.ts'
import { randomImages } from './random-images.ts'

const ap = ({ AP, AP50, AP75 }: { AP: number; AP50: number; AP75: number }) => ({ AP, AP50, AP75 })

describe('resampler', () => {
  it('is the plain evaluation where every image counts once', () => {
    const images = randomImages('once', 30, 40)
    expect(resampler(images, 4)(new Int32Array(30).fill(1))).toEqual(ap(evaluateCoco(images, 4)))
  })

  it('is the plain evaluation of the repeated images', () => {
    for (let trial = 0; trial < 25; trial++) {
      const rng = createRng(`trial ${trial}`)
      // Above 100 detections of a class in an image, those beyond do not count.
      const images = randomImages(`images ${trial}`, 3 + rng.int(20), trial % 5 === 0 ? 500 : 30)
      const draw = resampler(images, 4)
      for (let n = 0; n < 5; n++) {
        const counts = new Int32Array(images.length)
        for (let i = 0; i < images.length; i++) counts[rng.int(images.length)]!++
        const repeated = images.flatMap((image, i) => Array.from({ length: counts[i]! }, () => image))
        expect(draw(counts)).toEqual(ap(evaluateCoco(repeated, 4)))
      }
    }
  })

  it('weighs a miss and a hit by how often their images were drawn', () => {
    const box = [10, 10, 50, 50] as const
    const images = [
      { truth: truthOf([{ box }]), detections: detectionsOf([{ box, score: 0.5 }]) },
      { truth: truthOf([]), detections: detectionsOf([{ box, score: 0.9 }]) },
    ]
    const draw = resampler(images, 1)
    // One false detection ahead of the one hit: precision 1/2 at every recall. Two of them: 1/3. None: 1.
    expect(draw([1, 1]).AP).toBeCloseTo(1 / 2, 12)
    expect(draw([1, 2]).AP).toBeCloseTo(1 / 3, 12)
    expect(draw([1, 0]).AP).toBeCloseTo(1, 12)
    // Three hits behind one false: 1/2, 2/3, 3/4; the best precision at or beyond every recall is 3/4.
    expect(draw([3, 1]).AP).toBeCloseTo(3 / 4, 12)
    expect(draw([0, 1]).AP).toBe(-1)
  })
})
