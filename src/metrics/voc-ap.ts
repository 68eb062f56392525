/** @file PASCAL VOC's average precision: one IoU threshold, 11-point (VOC2007) or all-point (VOC2010 on). */
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { iou } from '../detection/boxes.ts'

export interface VocOptions {
  /** A detection with at least this IoU finds the object. Default 0.5. */
  iou?: number
  /** 11: mean of the best precision at recall 0, .1 .. 1; 'all': area under the monotone curve. Default 'all'. */
  points?: 11 | 'all'
}

export interface VocSummary {
  /** Mean over the classes that have ground truth; -1 where none has. */
  mAP: number
  /** By class index; -1 where the class has no ground truth. */
  perClass: number[]
}

/**
 * VOC's AP as in the development kit: each detection, best score first, goes to the object of its class that it overlaps most;
 * the first to come finds it, later ones are false. Difficult objects (and crowds) are neither asked for nor counted against, however
 * many detections fall to them. Boxes have exclusive right and bottom edges, so there is no "+ 1" on widths.
 */
export function evaluateVoc(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number, options: VocOptions = {}): VocSummary {
  const { iou: threshold = 0.5, points = 'all' } = options
  const found: Found[][] = Array.from({ length: classCount }, () => [])
  const positives = new Int32Array(classCount)
  images.forEach(({ truth, detections }, image) => {
    truth.labels.forEach((label, g) => {
      checkLabel(label, classCount, image)
      if (!notAsked(truth, g)) positives[label]!++
    })
    detections.labels.forEach((label, d) => {
      checkLabel(label, classCount, image)
      found[label]!.push({ image, detection: d, score: detections.scores[d]! })
    })
  })
  const perClass = Array.from(positives, (count, k) => {
    if (count === 0) return -1
    const curve = precisionAtHits(images, found[k]!, k, threshold)
    return points === 11 ? elevenPoints(curve, count) : allPoints(curve, count)
  })
  const measured = perClass.filter((ap) => ap >= 0)
  return { mAP: measured.length ? measured.reduce((sum, ap) => sum + ap, 0) / measured.length : -1, perClass }
}

interface Found {
  image: number
  detection: number
  score: number
}

function checkLabel(label: number, classCount: number, image: number): void {
  if (label < 0 || label >= classCount) throw new RangeError(`image ${image} has label ${label}, must be in 0..${classCount - 1}`)
}

function notAsked(truth: GroundTruth, g: number): boolean {
  return truth.difficult[g] === 1 || truth.crowd[g] === 1
}

/** Precision just after each true positive, made monotone from the right: entry n-1 is the best precision at n or more hits. */
function precisionAtHits(images: readonly { truth: GroundTruth; detections: Detections }[], found: Found[], label: number, threshold: number): number[] {
  const taken = images.map(({ truth }) => new Uint8Array(truth.labels.length))
  const curve: number[] = []
  let misses = 0
  for (const { image, detection } of found.sort((a, b) => b.score - a.score)) {
    const { truth, detections } = images[image]!
    const best = bestOverlap(truth, label, detections.boxes, detection)
    if (best.iou < threshold) misses++
    else if (notAsked(truth, best.index)) continue
    else if (taken[image]![best.index] === 1) misses++
    else {
      taken[image]![best.index] = 1
      curve.push((curve.length + 1) / (curve.length + 1 + misses))
    }
  }
  for (let n = curve.length - 2; n >= 0; n--) curve[n] = Math.max(curve[n]!, curve[n + 1]!)
  return curve
}

function bestOverlap(truth: GroundTruth, label: number, boxes: Float32Array, d: number): { index: number; iou: number } {
  const best = { index: -1, iou: -1 }
  truth.labels.forEach((truthLabel, g) => {
    const overlap = truthLabel === label ? iou(boxes, d, truth.boxes, g) : -1
    if (overlap > best.iou) {
      best.iou = overlap
      best.index = g
    }
  })
  return best
}

function elevenPoints(curve: readonly number[], positives: number): number {
  let sum = 0
  for (let r = 0; r <= 10; r++) {
    // In whole numbers: recall 3/10 reaches the point .3, which rounding would deny it.
    const hits = Math.max(1, Math.ceil((r * positives) / 10))
    if (hits <= curve.length) sum += curve[hits - 1]!
  }
  return sum / 11
}

/** Every true positive adds 1 / positives of recall at the best precision from there on. */
function allPoints(curve: readonly number[], positives: number): number {
  return curve.reduce((sum, precision) => sum + precision, 0) / positives
}
