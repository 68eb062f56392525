/** @file SSD's matching: which ground truth a default box stands for. */
import type { GroundTruth } from './annotation.ts'
import { boxArea, enclosingBox } from './boxes.ts'

/** What matching reads of the ground truth; boxes in pixels of the network's input. Without flags every box takes part. */
export type MatchTruth = Pick<GroundTruth, 'boxes'> & Partial<Pick<GroundTruth, 'crowd' | 'difficult'>>

/** Writes and returns [D]: the index of the ground truth, or -1 for background. Without `out` a new array is made. */
export type Matcher = (truth: MatchTruth, out?: Int32Array) => Int32Array

/** Default boxes that are passed over together when a ground truth touches none of them. */
const blockSize = 32

/**
 * SSD's rule over default boxes [D,4] xyxy, as torchvision's SSDMatcher: a default box takes the ground truth it overlaps most
 * (the first of equals) where the IoU reaches `threshold`; then each ground truth takes the default box that overlaps it most (the
 * first of equals), whatever the IoU, and a later ground truth takes it from an earlier one. Unlike torchvision, a ground truth that
 * no default box overlaps takes none. Crowds and difficult objects are left out. Scratch is shared by the calls of one matcher.
 */
export function createMatcher(corners: Float32Array, threshold = 0.5): Matcher {
  const D = corners.length / 4
  const areas = Float64Array.from({ length: D }, (_, d) => boxArea(corners, d))
  const bounds = blockBounds(corners)
  const bestIou = new Float64Array(D)
  return (truth, out = new Int32Array(D)) => {
    if (out.length !== D) throw new RangeError(`the matches of ${D} default boxes do not fit an array of ${out.length}`)
    out.fill(-1)
    bestIou.fill(0)
    const G = truth.boxes.length / 4
    const forced = new Int32Array(G).fill(-1)
    for (let g = 0; g < G; g++) {
      if (truth.crowd?.[g] === 1 || truth.difficult?.[g] === 1) continue
      forced[g] = overlap(truth.boxes, g, out)
    }
    for (let d = 0; d < D; d++) if (bestIou[d]! < threshold) out[d] = -1
    for (let g = 0; g < G; g++) if (forced[g]! >= 0) out[forced[g]!] = g
    return out
  }

  /** Enters ground truth `g` wherever it overlaps a default box more than those before it; returns the default box it overlaps most, or -1. */
  function overlap(boxes: Float32Array, g: number, out: Int32Array): number {
    const x1 = boxes[4 * g]!
    const y1 = boxes[4 * g + 1]!
    const x2 = boxes[4 * g + 2]!
    const y2 = boxes[4 * g + 3]!
    const area = boxArea(boxes, g)
    let highest = 0
    let best = -1
    for (let block = 0, first = 0; first < D; block++, first += blockSize) {
      if (x2 <= bounds[4 * block]! || y2 <= bounds[4 * block + 1]! || x1 >= bounds[4 * block + 2]! || y1 >= bounds[4 * block + 3]!) continue
      const last = Math.min(first + blockSize, D)
      for (let d = first, at = 4 * first; d < last; d++, at += 4) {
        const w = Math.min(x2, corners[at + 2]!) - Math.max(x1, corners[at]!)
        if (w <= 0) continue
        const h = Math.min(y2, corners[at + 3]!) - Math.max(y1, corners[at + 1]!)
        if (h <= 0) continue
        const iou = (w * h) / (area + areas[d]! - w * h)
        if (iou > bestIou[d]!) {
          bestIou[d] = iou
          out[d] = g
        }
        if (iou > highest) {
          highest = iou
          best = d
        }
      }
    }
    return best
  }
}

/** The box around each block of default boxes; neighbours in the list are neighbours in the image. */
function blockBounds(corners: Float32Array): Float32Array {
  const blocks = Math.ceil(corners.length / (4 * blockSize))
  const bounds = new Float32Array(4 * blocks)
  for (let block = 0; block < blocks; block++) {
    let around = corners.subarray(4 * block * blockSize, 4 * block * blockSize + 4)
    const end = Math.min((block + 1) * blockSize, corners.length / 4)
    for (let d = block * blockSize + 1; d < end; d++) around = enclosingBox(around, 0, corners, d)
    bounds.set(around, 4 * block)
  }
  return bounds
}
