/** @file COCO's twelve numbers for boxes, equal to pycocotools (COCOeval, iouType bbox). */
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { iouThresholds, matchCoco, maxDetections, type CocoEvalInput, type CocoMatches } from './coco-match.ts'

/** The twelve numbers, in 0..1; -1 where there is no ground truth to measure with. */
export interface CocoNumbers {
  /** Mean over IoU .50:.05:.95 and classes, 101 recall points, 100 detections per image and class. */
  AP: number
  AP50: number
  AP75: number
  /** Ground truth below 32x32, up to 96x96, and above, in pixels of area. */
  APs: number
  APm: number
  APl: number
  /** Mean recall over IoU and classes with 1, 10, 100 detections per image and class. */
  AR1: number
  AR10: number
  AR100: number
  ARs: number
  ARm: number
  ARl: number
}

/** AP of one class; -1 where it has no ground truth. */
export interface ClassAp {
  AP: number
  AP50: number
}

export interface CocoSummary extends CocoNumbers {
  /** By class index. */
  perClass: ClassAp[]
}

const recallPoints = 101
const T = iouThresholds.length
const threshold50 = 0
const threshold75 = 5

/**
 * COCO's numbers for images of ours. Crowds as in COCO; a difficult object is one to ignore: not asked for, and the detection matched
 * to it not counted. Ties between equal scores go by the order of the images.
 */
export function evaluateCoco(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number): CocoSummary {
  return summarizeCoco(flatten(images, classCount))
}

/** COCO's numbers for flat float64 input. */
export function summarizeCoco(input: CocoEvalInput): CocoSummary {
  const matches = matchCoco(input)
  const K = input.classes
  const N = input.detections.scores.length
  // [area range][class][threshold]; undefined where the class has no ground truth in the range.
  const precision = [0, 1, 2, 3].map((area) => Array.from({ length: K }, (_, k) => averagePrecisions(matches, N, K, area, k)))
  const recall = (area: number, limit: number): number =>
    mean(Array.from({ length: K }, (_, k) => recalls(matches, N, K, area, k, limit)).flatMap((r) => r ?? []))
  const ap = (area: number): number => mean(precision[area]!.flatMap((p) => p ?? []))
  const apAt = (t: number): number => mean(precision[0]!.flatMap((p) => (p ? [p[t]!] : [])))
  return {
    AP: ap(0), AP50: apAt(threshold50), AP75: apAt(threshold75), APs: ap(1), APm: ap(2), APl: ap(3),
    AR1: recall(0, 1), AR10: recall(0, 10), AR100: recall(0, maxDetections),
    ARs: recall(1, maxDetections), ARm: recall(2, maxDetections), ARl: recall(3, maxDetections),
    perClass: precision[0]!.map((p) => (p ? { AP: mean(p), AP50: p[threshold50]! } : { AP: -1, AP50: -1 })),
  }
}

function mean(values: readonly number[]): number {
  if (values.length === 0) return -1
  let sum = 0
  for (const v of values) sum += v
  return sum / values.length
}

/**
 * AP at each IoU threshold. Precision is taken at true positives only: there lie both the maxima of the curve and the first
 * places that reach a recall.
 */
function averagePrecisions(m: CocoMatches, N: number, K: number, area: number, k: number): number[] | undefined {
  const positives = m.positives[area * K + k]!
  if (positives === 0) return undefined
  const envelope = new Float64Array(positives + 1)
  return iouThresholds.map((_, t) => {
    const bit = 1 << t
    let hits = 0
    let misses = 0
    for (let i = m.classStart[k]!; i < m.classStart[k + 1]!; i++) {
      const at = area * N + m.order[i]!
      if (m.ignored[at]! & bit) continue
      if (m.matched[at]! & bit) {
        hits++
        envelope[hits] = hits / (misses + hits + Number.EPSILON)
      } else misses++
    }
    for (let n = hits - 1; n > 0; n--) if (envelope[n + 1]! > envelope[n]!) envelope[n] = envelope[n + 1]!
    let sum = 0
    let n = 1
    for (let r = 0; r < recallPoints; r++) {
      while (n <= hits && n / positives < r * 0.01) n++
      if (n > hits) break
      sum += envelope[n]!
    }
    return sum / recallPoints
  })
}

/** Recall at each IoU threshold with the best `limit` detections of an image. */
function recalls(m: CocoMatches, N: number, K: number, area: number, k: number, limit: number): number[] | undefined {
  const positives = m.positives[area * K + k]!
  if (positives === 0) return undefined
  const hits = iouThresholds.map(() => 0)
  for (let i = m.classStart[k]!; i < m.classStart[k + 1]!; i++) {
    const d = m.order[i]!
    if (m.rank[d]! >= limit) continue
    const bits = m.matched[area * N + d]! & ~m.ignored[area * N + d]!
    if (bits === 0) continue
    for (let t = 0; t < T; t++) hits[t]! += (bits >> t) & 1
  }
  return hits.map((h) => h / positives)
}

function flatten(images: readonly { truth: GroundTruth; detections: Detections }[], classes: number): CocoEvalInput {
  let truths = 0
  let found = 0
  for (const { truth, detections } of images) {
    truths += truth.labels.length
    found += detections.labels.length
  }
  const truth = {
    image: new Int32Array(truths), label: new Int32Array(truths), boxes: new Float64Array(4 * truths),
    areas: new Float64Array(truths), crowd: new Uint8Array(truths), ignore: new Uint8Array(truths),
  }
  const detections = {
    image: new Int32Array(found), label: new Int32Array(found), boxes: new Float64Array(4 * found), scores: new Float64Array(found),
  }
  let g = 0
  let d = 0
  images.forEach((image, index) => {
    const gs = image.truth.labels.length
    truth.image.fill(index, g, g + gs)
    truth.label.set(image.truth.labels, g)
    truth.areas.set(image.truth.areas, g)
    truth.crowd.set(image.truth.crowd, g)
    truth.ignore.set(image.truth.difficult, g)
    copyBoxes(image.truth.boxes, truth.boxes, 4 * g)
    g += gs
    const ds = image.detections.labels.length
    detections.image.fill(index, d, d + ds)
    detections.label.set(image.detections.labels, d)
    detections.scores.set(image.detections.scores, d)
    copyBoxes(image.detections.boxes, detections.boxes, 4 * d)
    d += ds
  })
  return { images: images.length, classes, truth, detections }
}

/** xyxy to x, y, width, height. */
function copyBoxes(from: Float32Array, to: Float64Array, at: number): void {
  for (let i = 0; i < from.length; i += 4) {
    to[at + i] = from[i]!
    to[at + i + 1] = from[i + 1]!
    to[at + i + 2] = from[i + 2]! - from[i]!
    to[at + i + 3] = from[i + 3]! - from[i + 1]!
  }
}
