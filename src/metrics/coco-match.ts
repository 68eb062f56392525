/** @file COCO matching: every detection against the ground truth of its image and class, for all IoU thresholds and area ranges. */

/** All ground truth and detections of a data set, flat. Boxes are [N,4] x, y, width, height in float64, as COCO's files have them. */
export interface CocoEvalInput {
  /** Number of images; image indices run from 0 in the order that breaks ties between equal scores. */
  readonly images: number
  /** Number of classes; labels run from 0. */
  readonly classes: number
  readonly truth: {
    readonly image: Int32Array
    readonly label: Int32Array
    readonly boxes: Float64Array
    /** Decides the size range; COCO's is the segment's area, not the box's. */
    readonly areas: Float64Array
    /** 1: any number of detections may match it, by the share of the detection inside it. Never counted. */
    readonly crowd: Uint8Array
    /** 1: not asked for; the detection matched to it is not counted. */
    readonly ignore: Uint8Array
  }
  readonly detections: {
    readonly image: Int32Array
    readonly label: Int32Array
    readonly boxes: Float64Array
    readonly scores: Float64Array
  }
}

/** 0.50, 0.55 .. 0.95, with the rounding of numpy's linspace. */
export const iouThresholds: readonly number[] = Array.from({ length: 10 }, (_, i) => 0.5 + i * ((0.95 - 0.5) / 9))

/** Area ranges in square pixels, both ends included: all, small, medium, large. */
const areaRanges: readonly (readonly [number, number])[] = [[0, 1e10], [0, 1024], [1024, 9216], [9216, 1e10]]
const areaCount = areaRanges.length

/** Detections counted per image and class. */
export const maxDetections = 100
const allThresholds = (1 << iouThresholds.length) - 1

/** Outcome of the matching. Bit t of a mask belongs to IoU threshold t; masks lie at [area range * N + detection]. */
export interface CocoMatches {
  /** Counted detections, by class, best score first within a class. */
  readonly order: Int32Array
  /** [classes + 1] where each class begins in `order`. */
  readonly classStart: Int32Array
  /** [N] place of a detection within its image and class, best is 0. */
  readonly rank: Int32Array
  readonly matched: Uint16Array
  readonly ignored: Uint16Array
  /** [area ranges * classes] ground truths that count. */
  readonly positives: Int32Array
}

export function matchCoco(input: CocoEvalInput): CocoMatches {
  const { truth, detections, images, classes } = input
  checkIndices(truth.image, images, 'image of a ground truth')
  checkIndices(truth.label, classes, 'label of a ground truth')
  checkIndices(detections.image, images, 'image of a detection')
  checkIndices(detections.label, classes, 'label of a detection')
  const count = detections.scores.length
  const byScore = sortByScore(detections.scores, detections.image)
  const grouped = stableSort(stableSort(byScore, detections.image, images).order, detections.label, classes)
  const truthIndices = Int32Array.from(truth.label.keys())
  const truthGrouped = stableSort(stableSort(truthIndices, truth.image, images).order, truth.label, classes)

  const rank = new Int32Array(count)
  const matched = new Uint16Array(areaCount * count)
  const ignored = new Uint16Array(areaCount * count)
  const positives = new Int32Array(areaCount * classes)
  const matchGroup = groupMatcher(input, matched, ignored)
  for (let k = 0; k < classes; k++) {
    countPositives(truth, truthGrouped.order, truthGrouped.start[k]!, truthGrouped.start[k + 1]!, positives, k, classes)
    let d = grouped.start[k]!
    let g = truthGrouped.start[k]!
    const dEnd = grouped.start[k + 1]!
    const gEnd = truthGrouped.start[k + 1]!
    while (d < dEnd) {
      const image = detections.image[grouped.order[d]!]!
      let dNext = d
      for (; dNext < dEnd && detections.image[grouped.order[dNext]!] === image; dNext++) rank[grouped.order[dNext]!] = dNext - d
      while (g < gEnd && truth.image[truthGrouped.order[g]!]! < image) g++
      let gNext = g
      while (gNext < gEnd && truth.image[truthGrouped.order[gNext]!] === image) gNext++
      matchGroup(grouped.order.subarray(d, Math.min(dNext, d + maxDetections)), truthGrouped.order.subarray(g, gNext))
      d = dNext
      g = gNext
    }
  }
  const counted = stableSort(byScore.filter((d) => rank[d]! < maxDetections), detections.label, classes)
  return { order: counted.order, classStart: counted.start, rank, matched, ignored, positives }
}

function checkIndices(indices: Int32Array, limit: number, what: string): void {
  for (let i = 0; i < indices.length; i++) {
    if (indices[i]! < 0 || indices[i]! >= limit) throw new RangeError(`${what} is ${indices[i]}, must be in 0..${limit - 1} (entry ${i})`)
  }
}

/** Best score first; equal scores by image, then by place in the input (pycocotools' stable merge sort over the images). */
function sortByScore(scores: Float64Array, image: Int32Array): Int32Array {
  for (let i = 0; i < scores.length; i++) {
    if (!Number.isFinite(scores[i]!)) throw new RangeError(`score of detection ${i} is ${scores[i]}, must be finite`)
  }
  return Int32Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || image[a]! - image[b]! || a - b)
}

/** Counting sort of `indices` by key, stable; `start[k]` is where key k begins. */
function stableSort(indices: Int32Array, keys: Int32Array, keyCount: number): { order: Int32Array; start: Int32Array } {
  const start = new Int32Array(keyCount + 1)
  for (const i of indices) start[keys[i]! + 1]!++
  for (let k = 0; k < keyCount; k++) start[k + 1]! += start[k]!
  const next = start.slice()
  const order = new Int32Array(indices.length)
  for (const i of indices) order[next[keys[i]!]!++] = i
  return { order, start }
}

type Truth = CocoEvalInput['truth']

function isIgnored(truth: Truth, g: number, area: number): boolean {
  const [low, high] = areaRanges[area]!
  return truth.crowd[g] === 1 || truth.ignore[g] === 1 || truth.areas[g]! < low || truth.areas[g]! > high
}

function countPositives(truth: Truth, order: Int32Array, from: number, to: number, positives: Int32Array, k: number, classes: number): void {
  for (let area = 0; area < areaCount; area++) {
    for (let i = from; i < to; i++) if (!isIgnored(truth, order[i]!, area)) positives[area * classes + k]!++
  }
}

/** Matches the detections (best first) of one image and class; writes the masks. Scratch is kept between calls. */
function groupMatcher(input: CocoEvalInput, matched: Uint16Array, ignored: Uint16Array): (ds: Int32Array, gs: Int32Array) => void {
  const { truth, detections } = input
  const count = detections.scores.length
  let ious = new Float64Array(1024)
  let ignoredTruth = new Uint8Array(64)
  let sorted = new Int32Array(64)
  let taken = new Uint8Array(64)
  return (ds, gs) => {
    const G = gs.length
    if (ds.length * G > ious.length) ious = new Float64Array(2 * ds.length * G)
    if (G > taken.length) {
      ignoredTruth = new Uint8Array(2 * G)
      sorted = new Int32Array(2 * G)
      taken = new Uint8Array(2 * G)
    }
    const anyOverlap = overlaps(truth, detections.boxes, ds, gs, ious)
    for (let area = 0; area < areaCount; area++) {
      if (anyOverlap) {
        // Ground truths that count come first, so that a detection prefers them.
        let place = 0
        for (let g = 0; g < G; g++) ignoredTruth[g] = isIgnored(truth, gs[g]!, area) ? 1 : 0
        for (let flag = 0; flag < 2; flag++) for (let g = 0; g < G; g++) if (ignoredTruth[g] === flag) sorted[place++] = g
        for (let t = 0; t < iouThresholds.length; t++) {
          taken.fill(0, 0, G)
          for (let d = 0; d < ds.length; d++) {
            const g = bestTruth(d * G, G, iouThresholds[t]!)
            if (g < 0) continue
            taken[g] = truth.crowd[gs[g]!] === 1 ? 0 : 1
            const at = area * count + ds[d]!
            matched[at]! |= 1 << t
            if (ignoredTruth[g] === 1) ignored[at]! |= 1 << t
          }
        }
      }
      const [low, high] = areaRanges[area]!
      for (const d of ds) {
        const size = detections.boxes[4 * d + 2]! * detections.boxes[4 * d + 3]!
        const at = area * count + d
        if (size < low || size > high) ignored[at]! |= allThresholds & ~matched[at]!
      }
    }
  }

  /** The free ground truth of highest IoU (the last of equals), or -1. */
  function bestTruth(row: number, G: number, threshold: number): number {
    let best = -1
    let bestIou = threshold
    for (let i = 0; i < G; i++) {
      const g = sorted[i]!
      if (taken[g] === 1) continue
      if (best >= 0 && ignoredTruth[best] === 0 && ignoredTruth[g] === 1) break
      if (ious[row + g]! < bestIou) continue
      bestIou = ious[row + g]!
      best = g
    }
    return best
  }
}

/** IoU [detections, truths] into `out`; with a crowd it is the share of the detection's area. True where any reaches the lowest threshold. */
function overlaps(truth: Truth, boxes: Float64Array, ds: Int32Array, gs: Int32Array, out: Float64Array): boolean {
  let any = false
  let at = 0
  for (const d of ds) {
    const x = boxes[4 * d]!
    const y = boxes[4 * d + 1]!
    const w = boxes[4 * d + 2]!
    const h = boxes[4 * d + 3]!
    for (const g of gs) {
      const gx = truth.boxes[4 * g]!
      const gy = truth.boxes[4 * g + 1]!
      const gw = truth.boxes[4 * g + 2]!
      const gh = truth.boxes[4 * g + 3]!
      const iw = Math.min(x + w, gx + gw) - Math.max(x, gx)
      const ih = Math.min(y + h, gy + gh) - Math.max(y, gy)
      let iou = 0
      if (iw > 0 && ih > 0) {
        const inner = iw * ih
        iou = inner / (truth.crowd[g] === 1 ? w * h : w * h + gw * gh - inner)
      }
      if (iou >= 0.5) any = true
      out[at++] = iou
    }
  }
  return any
}
