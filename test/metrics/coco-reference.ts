/** @file COCO's numbers in the plainest way, one threshold, range, class and limit at a time: what the fast way must equal. */
import type { CocoNumbers } from '../../src/metrics/coco-map.ts'

export interface PlainImage {
  /** Boxes are x, y, width, height; `ignore`: as a crowd, but for one detection alone. */
  truths: { label: number; box: number[]; area: number; crowd: boolean; ignore: boolean }[]
  detections: { label: number; box: number[]; score: number }[]
}

type Range = readonly [number, number]
type PlainTruth = PlainImage['truths'][number]

const thresholds = Array.from({ length: 10 }, (_, i) => 0.5 + (i * (0.95 - 0.5)) / 9)
const all: Range = [0, 1e10]
const small: Range = [0, 1024]
const medium: Range = [1024, 9216]
const large: Range = [9216, 1e10]

export function plainCoco(images: readonly PlainImage[], classes: number): CocoNumbers {
  const at = (of: 'precision' | 'recall', range: Range, limit: number, iou: readonly number[] = thresholds): number => {
    const values = iou.flatMap((threshold) => Array.from({ length: classes }, (_, k) => curve(images, k, range, limit, threshold)?.[of] ?? []).flat())
    return values.length ? values.reduce((a, b) => a + b, 0) / values.length : -1
  }
  return {
    AP: at('precision', all, 100), AP50: at('precision', all, 100, [thresholds[0]!]), AP75: at('precision', all, 100, [thresholds[5]!]),
    APs: at('precision', small, 100), APm: at('precision', medium, 100), APl: at('precision', large, 100),
    AR1: at('recall', all, 1), AR10: at('recall', all, 10), AR100: at('recall', all, 100),
    ARs: at('recall', small, 100), ARm: at('recall', medium, 100), ARl: at('recall', large, 100),
  }
}

/** Undefined without ground truth that counts. */
function curve(images: readonly PlainImage[], k: number, range: Range, limit: number, threshold: number): { precision: number; recall: number } | undefined {
  const outside = (size: number): boolean => size < range[0] || size > range[1]
  const counts = (t: PlainTruth): boolean => !t.crowd && !t.ignore && !outside(t.area)
  let positives = 0
  const outcomes: { score: number; hit: boolean }[] = []
  for (const image of images) {
    const truths = image.truths.filter((t) => t.label === k)
    positives += truths.filter(counts).length
    const preferred = [...truths.filter(counts), ...truths.filter((t) => !counts(t))]
    const taken = new Set<PlainTruth>()
    for (const detection of image.detections.filter((d) => d.label === k).sort((a, b) => b.score - a.score).slice(0, limit)) {
      let best: PlainTruth | undefined
      let bestIou = threshold
      for (const truth of preferred) {
        if (taken.has(truth) && !truth.crowd) continue
        if (best && counts(best) && !counts(truth)) break
        const overlap = iou(detection.box, truth.box, truth.crowd)
        if (overlap < bestIou) continue
        bestIou = overlap
        best = truth
      }
      if (best) taken.add(best)
      const ignored = best ? !counts(best) : outside(detection.box[2]! * detection.box[3]!)
      if (!ignored) outcomes.push({ score: detection.score, hit: best !== undefined })
    }
  }
  if (positives === 0) return undefined
  outcomes.sort((a, b) => b.score - a.score)
  const points = outcomes.map((_, n) => {
    const hits = outcomes.slice(0, n + 1).filter((o) => o.hit).length
    return { recall: hits / positives, precision: hits / (n + 1) }
  })
  const precisionFrom = (recall: number): number => Math.max(0, ...points.filter((p) => p.recall >= recall).map((p) => p.precision))
  const recalls = Array.from({ length: 101 }, (_, r) => r * 0.01)
  return { precision: recalls.map(precisionFrom).reduce((a, b) => a + b, 0) / 101, recall: points.at(-1)?.recall ?? 0 }
}

function iou([x, y, w, h]: readonly number[], [gx, gy, gw, gh]: readonly number[], crowd: boolean): number {
  const across = Math.min(x! + w!, gx! + gw!) - Math.max(x!, gx!)
  const down = Math.min(y! + h!, gy! + gh!) - Math.max(y!, gy!)
  if (across <= 0 || down <= 0) return 0
  return (across * down) / (crowd ? w! * h! : w! * h! + gw! * gh! - across * down)
}
