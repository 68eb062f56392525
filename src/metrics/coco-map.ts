/** @file COCO's twelve numbers for boxes, equal to pycocotools (COCOeval, iouType bbox). */
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { allThresholds, areaCount, cocoInputOf, iouThresholds, maxDetections, type CocoEvalInput } from './coco-input.ts'
import { matchCoco, type CocoMatches } from './coco-match.ts'

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
export const threshold50 = 0
export const threshold75 = 5

/**
 * COCO's numbers for images of ours. Crowds as in COCO; a difficult object is one to ignore: not asked for, and the detection matched
 * to it not counted. Ties between equal scores go by the order of the images.
 */
export function evaluateCoco(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number): CocoSummary {
  return summarizeCoco(cocoInputOf(images, classCount))
}

/** COCO's numbers for flat float64 input. */
export function summarizeCoco(input: CocoEvalInput): CocoSummary {
  const matches = matchCoco(input)
  // [area range][class]
  const scores = Array.from({ length: areaCount }, (_, area) => Array.from({ length: input.classes }, (_, k) => scoreClass(matches, input.classes, k, area)))
  const over = (area: number, value: (score: ClassScore) => number): number => mean(scores[area]!.flatMap((score) => (score ? [value(score)] : [])))
  const AP = (area: number): number => over(area, (score) => mean(score.precision))
  const AR = (area: number): number => over(area, (score) => score.recall)
  return {
    AP: AP(0), AP50: over(0, (s) => s.precision[threshold50]!), AP75: over(0, (s) => s.precision[threshold75]!),
    APs: AP(1), APm: AP(2), APl: AP(3),
    AR1: over(0, (s) => s.recall1), AR10: over(0, (s) => s.recall10), AR100: AR(0), ARs: AR(1), ARm: AR(2), ARl: AR(3),
    perClass: scores[0]!.map((s) => (s ? { AP: mean(s.precision), AP50: s.precision[threshold50]! } : { AP: -1, AP50: -1 })),
  }
}

export function mean(values: readonly number[]): number {
  if (values.length === 0) return -1
  let sum = 0
  for (const v of values) sum += v
  return sum / values.length
}

interface ClassScore {
  /** AP at each IoU threshold. */
  precision: number[]
  /** Mean over the thresholds, with all that count, the best and the best ten detections of an image. */
  recall: number
  recall1: number
  recall10: number
}

/**
 * One class in one area range, for all thresholds in one pass; undefined where the class has no ground truth there. Precision is
 * taken at true positives only: there lie both the maxima of the curve and the first places that reach a recall.
 */
function scoreClass(m: CocoMatches, classes: number, k: number, area: number): ClassScore | undefined {
  const positives = m.positives[area * classes + k]!
  if (positives === 0) return undefined
  // [threshold, hit]: entry n is the precision at the n-th hit; 0 stays empty.
  const curve = Array.from({ length: T }, () => new Float64Array(positives + 1))
  const hits = new Int32Array(T)
  // False at every threshold, as most are, and the further ones of each.
  let misses = 0
  const further = new Int32Array(T)
  let hits1 = 0
  let hits10 = 0
  for (let i = m.classStart[k]!; i < m.classStart[k + 1]!; i++) {
    const rank = m.rank[i]!
    if (rank >= maxDetections) continue
    const hit = m.hit[area * m.rank.length + i]!
    const ignored = m.ignored[area * m.rank.length + i]!
    if (ignored === allThresholds) continue
    if ((hit | ignored) === 0) {
      misses++
      continue
    }
    for (let t = 0; t < T; t++) {
      if ((hit >> t) & 1) {
        const n = ++hits[t]!
        curve[t]![n] = n / (misses + further[t]! + n + Number.EPSILON)
        if (rank < 1) hits1++
        if (rank < 10) hits10++
      } else if (((ignored >> t) & 1) === 0) further[t]!++
    }
  }
  const asked = T * positives
  return {
    precision: curve.map((precisions, t) => averagePrecision(precisions, hits[t]!, positives)),
    recall: hits.reduce((sum, n) => sum + n, 0) / asked, recall1: hits1 / asked, recall10: hits10 / asked,
  }
}

/** Mean of the best precision at or beyond 101 recalls; `precisions[n]` is the one at the n-th of `hits`, and is overwritten. */
export function averagePrecision(precisions: Float64Array, hits: number, positives: number): number {
  for (let n = hits - 1; n > 0; n--) if (precisions[n + 1]! > precisions[n]!) precisions[n] = precisions[n + 1]!
  let sum = 0
  let n = 1
  for (let r = 0; r < recallPoints; r++) {
    while (n <= hits && n / positives < r * 0.01) n++
    if (n > hits) break
    sum += precisions[n]!
  }
  return sum / recallPoints
}
