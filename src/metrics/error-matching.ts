/** @file Why each detection is wrong, as TIDE asks (Bolya et al., ECCV 2020): image by image, against the objects of all classes. */
import { maxDetections, type CocoEvalInput } from './coco-input.ts'
import { countUp, sortByKey, sortDescending } from './sorting.ts'

/** IoU from which a detection finds an object (t_f), and up to which it is background (t_b). */
export const foreground = 0.5
const background = 0.1

/** What becomes of a detection. */
export const verdicts = { unseen: 0, correct: 1, classification: 2, localization: 3, both: 4, duplicate: 5, background: 6 } as const

export interface ErrorMatches {
  /** Detections that count (the best 100 of an image), best score first; equal scores by image, then by place in the input. */
  readonly order: Int32Array
  /** [detections] one of `verdicts`. */
  readonly verdict: Uint8Array
  /** [detections] 1 where a wrong one lies in a crowd or on a difficult object, so that it does not count against the detector. */
  readonly ignored: Uint8Array
  /** [detections] the object that a classification or localization error would find if it were mended, or -1 where the object is found already, or by a better one. */
  readonly mends: Int32Array
  /** [classes] objects that count. */
  readonly positives: Int32Array
  /** [classes] of those, not found. */
  readonly unfound: Int32Array
  /** [classes] of those, such that no classification or localization error points at them: missed. */
  readonly missed: Int32Array
}

/** `input` as for COCO's numbers, whose indices and scores were checked. */
export function matchErrors(input: CocoEvalInput): ErrorMatches {
  const { truth, detections, images, classes } = input
  const byImage = (indices: Int32Array, image: Int32Array) => sortByKey(indices, image, images)
  const byScore = sortDescending(byImage(countUp(detections.scores.length), detections.image).order, detections.scores)
  const found = byImage(byScore, detections.image)
  const asked = byImage(countUp(truth.label.length), truth.image)
  const matcher = new ImageMatcher(input)
  for (let i = 0; i < images; i++) {
    const from = found.start[i]!
    matcher.match(found.order.subarray(from, Math.min(found.start[i + 1]!, from + maxDetections)), asked.order.subarray(asked.start[i]!, asked.start[i + 1]!))
  }
  const positives = new Int32Array(classes)
  const unfound = new Int32Array(classes)
  const missed = new Int32Array(classes)
  const { verdict, ignored, mends, finder, pointedAt } = matcher
  for (let g = 0; g < truth.label.length; g++) {
    if (truth.crowd[g] === 1 || truth.ignore[g] === 1) continue
    positives[truth.label[g]!]!++
    if (finder[g]! >= 0) continue
    unfound[truth.label[g]!]!++
    if (pointedAt[g] === 0) missed[truth.label[g]!]!++
  }
  return { order: byScore.filter((d) => verdict[d] !== verdicts.unseen), verdict, ignored, mends, positives, unfound, missed }
}

/** Judges the detections of one image after the other; its scratch is kept from image to image. */
class ImageMatcher {
  readonly verdict: Uint8Array
  readonly ignored: Uint8Array
  readonly mends: Int32Array
  /** [ground truths] the detection that found it, or -1. */
  readonly finder: Int32Array
  /** [ground truths] 1 where a classification or localization error points at it. */
  readonly pointedAt: Uint8Array
  /** [detections of the image, ground truths of the image]; with a crowd, the share of the detection inside it. */
  private ious = new Float64Array(0)
  /** [detections of the image] the greatest of them: most detections overlap nothing, and need no further look. */
  private readonly most = new Float64Array(maxDetections)

  constructor(private readonly input: CocoEvalInput) {
    const found = input.detections.scores.length
    const asked = input.truth.label.length
    this.verdict = new Uint8Array(found)
    this.ignored = new Uint8Array(found)
    this.mends = new Int32Array(found).fill(-1)
    this.finder = new Int32Array(asked).fill(-1)
    this.pointedAt = new Uint8Array(asked)
  }

  /** Detections best first, ground truths in the order of the input. */
  match(found: Int32Array, asked: Int32Array): void {
    this.overlaps(found, asked)
    for (let row = 0; row < found.length; row++) {
      if (this.most[row]! < foreground) continue
      const d = found[row]!
      if (this.find(d, asked, row)) this.verdict[d] = verdicts.correct
      else if (this.forgiven(d, asked, row)) this.ignored[d] = 1
    }
    // Which objects are found must be known of all before the errors are told apart.
    for (let row = 0; row < found.length; row++) {
      const d = found[row]!
      if (this.verdict[d] !== verdicts.correct) this.verdict[d] = this.most[row]! < background ? verdicts.background : this.judge(d, asked, row)
    }
  }

  /** Takes the free object of its class that the detection overlaps most, the first of equals. */
  private find(d: number, asked: Int32Array, row: number): boolean {
    const g = this.nearest(asked, row, (g) => this.counts(g) && this.alike(d, g) && this.finder[g]! < 0)
    if (g < 0 || this.ious[row * asked.length + g]! < foreground) return false
    this.finder[asked[g]!] = d
    return true
  }

  /** In a crowd of its class by more than half of its area, or on a difficult object of its class that no other took. */
  private forgiven(d: number, asked: Int32Array, row: number): boolean {
    const { truth } = this.input
    if (this.nearestOver(asked, row, (g) => truth.crowd[g] === 1 && this.alike(d, g)) > foreground) return true
    const g = this.nearest(asked, row, (g) => truth.ignore[g] === 1 && truth.crowd[g] === 0 && this.alike(d, g) && this.finder[g]! < 0)
    if (g < 0 || this.ious[row * asked.length + g]! < foreground) return false
    this.finder[asked[g]!] = d
    return true
  }

  /** The order of the questions is that of the reference implementation. */
  private judge(d: number, asked: Int32Array, row: number): number {
    const own = this.nearest(asked, row, (g) => this.counts(g) && this.alike(d, g))
    const ownIou = own < 0 ? 0 : this.ious[row * asked.length + own]!
    if (ownIou >= background && ownIou <= foreground) {
      this.point(d, asked[own]!)
      return verdicts.localization
    }
    const other = this.nearest(asked, row, (g) => this.counts(g) && !this.alike(d, g))
    const otherIou = other < 0 ? 0 : this.ious[row * asked.length + other]!
    if (otherIou >= foreground) {
      this.point(d, asked[other]!)
      return verdicts.classification
    }
    if (ownIou >= foreground) return verdicts.duplicate
    return Math.max(ownIou, otherIou) <= background ? verdicts.background : verdicts.both
  }

  /** Only the best detection that points at an unfound object can mend it, whichever of the two errors it makes. */
  private point(d: number, g: number): void {
    if (this.finder[g]! >= 0) return
    if (this.pointedAt[g] === 0) this.mends[d] = g
    this.pointedAt[g] = 1
  }

  private counts(g: number): boolean {
    return this.input.truth.crowd[g] === 0 && this.input.truth.ignore[g] === 0
  }

  private alike(d: number, g: number): boolean {
    return this.input.truth.label[g] === this.input.detections.label[d]
  }

  /** Place in `asked` of the ground truth with the highest overlap above 0 (the first of equals) among those that `of` takes, or -1. */
  private nearest(asked: Int32Array, row: number, of: (g: number) => boolean): number {
    const at = row * asked.length
    let best = -1
    let most = 0
    for (let i = 0; i < asked.length; i++) {
      if (this.ious[at + i]! <= most || !of(asked[i]!)) continue
      best = i
      most = this.ious[at + i]!
    }
    return best
  }

  private nearestOver(asked: Int32Array, row: number, of: (g: number) => boolean): number {
    const g = this.nearest(asked, row, of)
    return g < 0 ? 0 : this.ious[row * asked.length + g]!
  }

  private overlaps(found: Int32Array, asked: Int32Array): void {
    const { truth, detections: { boxes } } = this.input
    const G = asked.length
    if (this.ious.length < found.length * G) this.ious = new Float64Array(2 * found.length * G)
    for (let row = 0; row < found.length; row++) {
      const d = 4 * found[row]!
      const x = boxes[d]!
      const y = boxes[d + 1]!
      const w = boxes[d + 2]!
      const h = boxes[d + 3]!
      let most = 0
      for (let i = 0; i < G; i++) {
        const g = 4 * asked[i]!
        const iw = Math.min(x + w, truth.boxes[g]! + truth.boxes[g + 2]!) - Math.max(x, truth.boxes[g]!)
        const ih = Math.min(y + h, truth.boxes[g + 1]! + truth.boxes[g + 3]!) - Math.max(y, truth.boxes[g + 1]!)
        const inner = iw > 0 && ih > 0 ? iw * ih : 0
        const whole = truth.crowd[asked[i]!] === 1 ? w * h : w * h + truth.boxes[g + 2]! * truth.boxes[g + 3]! - inner
        const iou = inner === 0 ? 0 : inner / whole
        this.ious[row * G + i] = iou
        if (iou > most) most = iou
      }
      this.most[row] = most
    }
  }
}
