/** @file COCO's matching within one image and class. */
import { areaCount, iouThresholds, maxDetections, type CocoEvalInput } from './coco-input.ts'

interface SortedCoco {
  /** Detections by class and image, best score first. */
  readonly found: Int32Array
  /** [detections] where a detection's masks lie within an area range. */
  readonly places: Int32Array
  /** Ground truths by class and image. */
  readonly asked: Int32Array
  /** [area ranges, ground truths] 1 where a ground truth does not count. */
  readonly notAsked: Uint8Array
}

/** Matches the detections of one image and class, best first, and writes their masks. Its scratch is kept from group to group. */
export class GroupMatcher {
  readonly hit: Uint16Array
  readonly ignored: Uint16Array
  /** Detections of the group that overlap some ground truth enough for the lowest threshold, and the largest overlap of each. */
  private readonly near = new Int32Array(maxDetections)
  private readonly nearest = new Float64Array(maxDetections)
  /** [near, ground truths] */
  private ious = new Float64Array(0)
  /** Of the group's ground truths: those that count first; 1 for each that counts; 1 for each that a detection has taken. */
  private preferred = new Int32Array(0)
  private counts = new Uint8Array(0)
  private taken = new Uint8Array(0)
  private readonly input: CocoEvalInput
  private readonly sorted: SortedCoco

  constructor(input: CocoEvalInput, sorted: SortedCoco) {
    this.input = input
    this.sorted = sorted
    this.hit = new Uint16Array(areaCount * sorted.places.length)
    this.ignored = new Uint16Array(areaCount * sorted.places.length)
  }

  /** The detections `found[dFrom..dTo]`, at most `maxDetections`, against the ground truths `asked[gFrom..gTo]`. */
  match(dFrom: number, dTo: number, gFrom: number, gTo: number): void {
    const G = gTo - gFrom
    if (G > this.taken.length) {
      this.ious = new Float64Array(2 * G * maxDetections)
      this.preferred = new Int32Array(2 * G)
      this.counts = new Uint8Array(2 * G)
      this.taken = new Uint8Array(2 * G)
    }
    const count = this.overlaps(dFrom, dTo, gFrom, G)
    if (count === 0) return
    const { near, nearest, taken, counts } = this
    const { places, asked } = this.sorted
    const { crowd } = this.input.truth
    for (let area = 0; area < areaCount; area++) {
      this.prefer(gFrom, G, area)
      for (let t = 0; t < iouThresholds.length; t++) {
        taken.fill(0, 0, G)
        for (let n = 0; n < count; n++) {
          if (nearest[n]! < iouThresholds[t]!) continue
          const g = this.best(n, G, iouThresholds[t]!)
          if (g < 0) continue
          taken[g] = crowd[asked[gFrom + g]!] === 1 ? 0 : 1
          const mask = counts[g] === 1 ? this.hit : this.ignored
          mask[area * places.length + places[near[n]!]!]! |= 1 << t
        }
      }
    }
  }

  /** Ground truths that count come first, so that a detection prefers them. */
  private prefer(gFrom: number, G: number, area: number): void {
    const { asked, notAsked } = this.sorted
    let place = 0
    for (let g = 0; g < G; g++) {
      this.counts[g] = notAsked[area * this.input.truth.areas.length + asked[gFrom + g]!] === 1 ? 0 : 1
      if (this.counts[g] === 1) this.preferred[place++] = g
    }
    for (let g = 0; g < G; g++) if (this.counts[g] === 0) this.preferred[place++] = g
  }

  /** The free ground truth of highest IoU (the last of equals) for the n-th near detection, or -1. */
  private best(n: number, G: number, threshold: number): number {
    const { ious, preferred, taken, counts } = this
    let best = -1
    let bestIou = threshold
    for (let i = 0; i < G; i++) {
      const g = preferred[i]!
      if (taken[g] === 1 || ious[n * G + g]! < bestIou) continue
      // One that counts is not given up for one that does not.
      if (best >= 0 && counts[best]! > counts[g]!) break
      bestIou = ious[n * G + g]!
      best = g
    }
    return best
  }

  /** Fills `near`, `nearest` and their `ious`; the number of near detections. With a crowd, IoU is the share of the detection's area. */
  private overlaps(dFrom: number, dTo: number, gFrom: number, G: number): number {
    const { near, nearest, ious } = this
    const { found, asked } = this.sorted
    const { truth, detections: { boxes } } = this.input
    let count = 0
    for (let n = dFrom; n < dTo; n++) {
      const d = found[n]!
      const x = boxes[4 * d]!
      const y = boxes[4 * d + 1]!
      const w = boxes[4 * d + 2]!
      const h = boxes[4 * d + 3]!
      let most = 0
      for (let i = 0; i < G; i++) {
        const g = asked[gFrom + i]!
        const gx = truth.boxes[4 * g]!
        const gy = truth.boxes[4 * g + 1]!
        const gw = truth.boxes[4 * g + 2]!
        const gh = truth.boxes[4 * g + 3]!
        const iw = Math.min(x + w, gx + gw) - Math.max(x, gx)
        const ih = Math.min(y + h, gy + gh) - Math.max(y, gy)
        const inner = iw > 0 && ih > 0 ? iw * ih : 0
        const iou = inner === 0 ? 0 : inner / (truth.crowd[g] === 1 ? w * h : w * h + gw * gh - inner)
        ious[count * G + i] = iou
        if (iou > most) most = iou
      }
      if (most < iouThresholds[0]!) continue
      near[count] = d
      nearest[count++] = most
    }
    return count
  }
}
