/** @file The boxes an auxiliary network looks at: positives of the SSD rule, drawn by seed, filled up by repetition. */
import type { Rng } from '../tensor/rng.ts'
import { shuffled } from '../tensor/rng.ts'
import type { GroundTruth } from './annotation.ts'
import type { DefaultBoxes } from './default-boxes.ts'

/** The boxes of a batch, N images of R boxes. */
export interface RoiBatch {
  /** [N*R,4] default boxes B, xyxy, pixels of the input. */
  readonly boxes: Float32Array
  /** [N*R,4] smallest boxes E(A,B) around default box and ground truth; E = B for negatives. */
  readonly contexts: Float32Array
  /** [N*R,4] default boxes as centre, size. */
  readonly centers: Float32Array
  /** [N*R,4] ground truths A, xyxy; B itself for negatives. */
  readonly truths: Float32Array
  /** [N*R] class; `background` for negatives. */
  readonly labels: Int32Array
  /** [N*R] 1 / (times a box is repeated); 0 where an image has no positive. */
  readonly weights: Float32Array
  /** [N*R] the same for positives, 0 for negatives: what the box loss counts. */
  readonly boxWeights: Float32Array
}

export function createRoiBatch(images: number, boxes: number): RoiBatch {
  const n = images * boxes
  const four = (): Float32Array => new Float32Array(4 * n)
  return { boxes: four(), contexts: four(), centers: four(), truths: four(), labels: new Int32Array(n), weights: new Float32Array(n), boxWeights: new Float32Array(n) }
}

/**
 * Fills image `image` of the batch. `matches` [D]: ground truth of each default box or -1. At most `perImage` positives are drawn; with
 * `background` given (a class index), a quarter of the places goes to default boxes without a match, as negatives.
 */
export function sampleRois(out: RoiBatch, image: number, perImage: number, truth: GroundTruth, matches: Int32Array, defaults: DefaultBoxes, rng: Rng, background?: number): void {
  const positives: number[] = []
  const negatives: number[] = []
  matches.forEach((g, d) => (g >= 0 ? positives : negatives).push(d))
  const wantedNegatives = background === undefined || positives.length === 0 ? 0 : Math.max(1, Math.floor(perImage / 4))
  const chosen = [...draw(positives, perImage - wantedNegatives, rng), ...draw(negatives, wantedNegatives, rng)]
  const base = image * perImage
  if (chosen.length === 0) {
    // No positive: any valid box will do, its weights are zero.
    for (let i = 0; i < perImage; i++) writeBox(out, base + i, 0, -1, truth, defaults, 0, background)
    return
  }
  for (let i = 0; i < perImage; i++) {
    const k = i % chosen.length
    const times = Math.floor(perImage / chosen.length) + (k < perImage % chosen.length ? 1 : 0)
    const d = chosen[k]!
    writeBox(out, base + i, d, matches[d]!, truth, defaults, 1 / times, background)
  }
}

function draw(from: number[], count: number, rng: Rng): number[] {
  return from.length <= count ? from : shuffled(from, rng).slice(0, count)
}

function writeBox(out: RoiBatch, at: number, d: number, g: number, truth: GroundTruth, defaults: DefaultBoxes, weight: number, background: number | undefined): void {
  const box = defaults.corners.subarray(4 * d, 4 * d + 4)
  const a = g >= 0 ? truth.boxes.subarray(4 * g, 4 * g + 4) : box
  out.boxes.set(box, 4 * at)
  out.centers.set(defaults.centers.subarray(4 * d, 4 * d + 4), 4 * at)
  out.truths.set(a, 4 * at)
  for (let i = 0; i < 2; i++) {
    out.contexts[4 * at + i] = Math.min(a[i]!, box[i]!)
    out.contexts[4 * at + 2 + i] = Math.max(a[2 + i]!, box[2 + i]!)
  }
  out.labels[at] = g >= 0 ? truth.labels[g]! : (background ?? 0)
  out.weights[at] = weight
  out.boxWeights[at] = g >= 0 ? weight : 0
}
