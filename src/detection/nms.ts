/** @file Greedy non-maximum suppression, class by class. */
import { boxArea } from './boxes.ts'

export interface NmsOptions {
  /** A box that overlaps a better one of its class by more than this is dropped. */
  iou: number
  /** Boxes below this score are dropped first. Default: none. */
  scoreThreshold?: number
  /** Best boxes of each class that take part. Default: all. */
  candidatesPerClass?: number
  /** Best boxes kept over all classes. Default: all. */
  maxDetections?: number
}

/** Boxes to choose from: N entries, each a box index, a score and a label. */
export interface NmsCandidates {
  /** [M,4] xyxy. */
  readonly boxes: Float32Array
  /** [N] which box each entry means; without it entry n means box n. */
  readonly boxOf?: ArrayLike<number>
  readonly scores: ArrayLike<number>
  readonly labels: ArrayLike<number>
}

/** Entries that stay, best score first (equal scores in their order in the input). */
export function nmsPerClass(candidates: NmsCandidates, options: NmsOptions): number[] {
  const { boxes, scores, labels, boxOf } = candidates
  const { scoreThreshold = -Infinity, candidatesPerClass = Infinity, maxDetections = Infinity } = options
  const classes = new Map<number, number[]>()
  for (let n = 0; n < scores.length; n++) {
    if (!(scores[n]! >= scoreThreshold)) continue
    const members = classes.get(labels[n]!)
    if (members) members.push(n)
    else classes.set(labels[n]!, [n])
  }
  const kept: number[] = []
  for (const members of classes.values()) {
    const sorted = best(members, scores, candidatesPerClass)
    const boxIndices = boxOf ? sorted.map((n) => boxOf[n]!) : sorted
    for (const place of suppress(boxes, boxIndices, options.iou, maxDetections)) kept.push(sorted[place]!)
  }
  return best(kept, scores, maxDetections)
}

/** Places in `order` (box indices, best first) that stay, at most `limit`. */
function suppress(boxes: Float32Array, order: readonly number[], threshold: number, limit: number): number[] {
  const kept: number[] = []
  // Boxes that stay, x1 y1 x2 y2 area: side by side, for this is the innermost loop of every evaluation.
  const stay = new Float64Array(5 * Math.min(order.length, limit))
  for (let place = 0; place < order.length && kept.length < limit; place++) {
    const at = 4 * order[place]!
    const x1 = boxes[at]!
    const y1 = boxes[at + 1]!
    const x2 = boxes[at + 2]!
    const y2 = boxes[at + 3]!
    const area = boxArea(boxes, order[place]!)
    const end = 5 * kept.length
    let k = 0
    for (; k < end; k += 5) {
      const w = Math.min(x2, stay[k + 2]!) - Math.max(x1, stay[k]!)
      if (w <= 0) continue
      const h = Math.min(y2, stay[k + 3]!) - Math.max(y1, stay[k + 1]!)
      if (h > 0 && w * h > threshold * (area + stay[k + 4]! - w * h)) break
    }
    if (k < end) continue
    stay[end] = x1
    stay[end + 1] = y1
    stay[end + 2] = x2
    stay[end + 3] = y2
    stay[end + 4] = area
    kept.push(place)
  }
  return kept
}

/** The `limit` best entries, sorted. Where many must go, a native sort of the bare scores finds the cut before entries are compared. */
function best(entries: readonly number[], scores: ArrayLike<number>, limit: number): number[] {
  const order = (a: number, b: number): number => scores[b]! - scores[a]! || a - b
  if (entries.length <= limit) return entries.slice().sort(order)
  const sorted = Float64Array.from(entries, (n) => scores[n]!).sort()
  const cut = sorted[sorted.length - limit]!
  return entries.filter((n) => scores[n]! >= cut).sort(order).slice(0, limit)
}
