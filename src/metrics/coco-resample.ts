/** @file COCO's AP of a drawing of images with replacement, from one matching: what a bootstrap needs a thousand times. */
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { allThresholds, cocoInputOf, iouThresholds, maxDetections } from './coco-input.ts'
import { averagePrecision, mean, threshold50, threshold75 } from './coco-map.ts'
import { matchCoco } from './coco-match.ts'

/** AP, AP50 and AP75 as in CocoNumbers; -1 where no image that was drawn has ground truth. */
export interface ResampledAp {
  readonly AP: number
  readonly AP50: number
  readonly AP75: number
}

/**
 * What AP is when image i counts `counts[i]` times (0: not at all), as if it stood in the data that often. The matching does not depend on
 * other images, so it is done once, here. Of equal scores, all copies of one detection come before the next.
 */
export type Resampler = (counts: ArrayLike<number>) => ResampledAp

const T = iouThresholds.length

/** The detections of one class that count, best first. */
interface ClassMatches {
  readonly image: Int32Array
  /** Masks by IoU threshold: found a ground truth that counts; counts neither way. */
  readonly hit: Uint16Array
  readonly ignored: Uint16Array
  /** Ground truths that count, by image. */
  readonly asked: Int32Array
}

export function resampler(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number): Resampler {
  const classes = matchesByClass(images, classCount)
  const curves = Array.from({ length: T }, () => new Float64Array(1))
  return (counts) => {
    const found = classes.flatMap((c) => {
      const positives = c.asked.reduce((sum, n, i) => sum + n * counts[i]!, 0)
      return positives === 0 ? [] : [precisions(c, counts, positives, curves)]
    })
    return { AP: mean(found.map(mean)), AP50: mean(found.map((p) => p[threshold50]!)), AP75: mean(found.map((p) => p[threshold75]!)) }
  }
}

function matchesByClass(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number): ClassMatches[] {
  const m = matchCoco(cocoInputOf(images, classCount))
  return Array.from({ length: classCount }, (_, k) => {
    const places: number[] = []
    for (let i = m.classStart[k]!; i < m.classStart[k + 1]!; i++) if (m.rank[i]! < maxDetections && m.ignored[i] !== allThresholds) places.push(i)
    const asked = Int32Array.from(images, ({ truth }) => truth.labels.reduce((n, label, g) => n + (label === k && truth.crowd[g] === 0 && truth.difficult[g] === 0 ? 1 : 0), 0))
    // The first area range holds everything, so its masks are the first.
    return { image: Int32Array.from(places, (i) => m.image[i]!), hit: Uint16Array.from(places, (i) => m.hit[i]!), ignored: Uint16Array.from(places, (i) => m.ignored[i]!), asked }
  })
}

/** AP at each IoU threshold; the curves grow as needed and are overwritten. */
function precisions({ image, hit, ignored }: ClassMatches, counts: ArrayLike<number>, positives: number, curves: Float64Array[]): number[] {
  if (curves[0]!.length <= positives) for (let t = 0; t < T; t++) curves[t] = new Float64Array(2 * positives + 1)
  const hits = new Int32Array(T)
  // False at every threshold, as most are, and the further ones of each.
  let misses = 0
  const further = new Int32Array(T)
  for (let i = 0; i < image.length; i++) {
    const times = counts[image[i]!]!
    if (times === 0) continue
    const [h, g] = [hit[i]!, ignored[i]!]
    if ((h | g) === 0) {
      misses += times
      continue
    }
    for (let t = 0; t < T; t++) {
      if ((h >> t) & 1) {
        const curve = curves[t]!
        for (let copy = 0; copy < times; copy++) {
          const n = ++hits[t]!
          curve[n] = n / (misses + further[t]! + n + Number.EPSILON)
        }
      } else if (((g >> t) & 1) === 0) further[t]! += times
    }
  }
  return curves.map((curve, t) => averagePrecision(curve, hits[t]!, positives))
}
