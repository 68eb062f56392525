/** @file The boxes an auxiliary network looks at: positives of the SSD rule, or the ground truths themselves; drawn by seed, filled up by repetition. */
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
  const write = (at: number, d: number, weight: number): void => {
    const part = (all: Float32Array): Float32Array => all.subarray(4 * d, 4 * d + 4)
    writeBox(out, at, { box: part(defaults.corners), center: part(defaults.centers), g: matches[d]! }, truth, weight, background)
  }
  fillImage(image * perImage, perImage, { positives, negatives, filler: 0, write }, rng, background !== undefined)
}

/** As sampleRois, with the ground truths' own boxes for positives (B = A), crowds and difficult ones left out; negatives are default boxes without a match. */
export function sampleTruths(out: RoiBatch, image: number, perImage: number, truth: GroundTruth, matches: Int32Array, defaults: DefaultBoxes, rng: Rng, background?: number): void {
  // Ground truths count from 0, default boxes after them.
  const count = truth.labels.length
  const positives = Array.from(truth.labels.keys()).filter((g) => truth.crowd[g] !== 1 && truth.difficult[g] !== 1)
  const negatives: number[] = []
  matches.forEach((g, d) => g < 0 && negatives.push(count + d))
  const write = (at: number, i: number, weight: number): void => {
    const [from, k] = i < count ? [truth.boxes, i] : [defaults.corners, i - count]
    const box = from.subarray(4 * k, 4 * k + 4)
    const [x1, y1, x2, y2] = box as unknown as [number, number, number, number]
    writeBox(out, at, { box, center: [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], g: i < count ? i : -1 }, truth, weight, background)
  }
  fillImage(image * perImage, perImage, { positives, negatives, filler: count, write }, rng, background !== undefined)
}

interface Candidates {
  readonly positives: number[]
  readonly negatives: number[]
  /** Written where there is no positive: any valid box will do, its weight is zero. */
  readonly filler: number
  readonly write: (at: number, candidate: number, weight: number) => void
}

/** Draws candidates and writes them from place `base` on, each as often as it takes to fill `perImage` places. */
function fillImage(base: number, perImage: number, { positives, negatives, filler, write }: Candidates, rng: Rng, withNegatives: boolean): void {
  const wantedNegatives = !withNegatives || positives.length === 0 ? 0 : Math.max(1, Math.floor(perImage / 4))
  const chosen = [...draw(positives, perImage - wantedNegatives, rng), ...draw(negatives, wantedNegatives, rng)]
  if (chosen.length === 0) {
    for (let i = 0; i < perImage; i++) write(base + i, filler, 0)
    return
  }
  for (let i = 0; i < perImage; i++) {
    const k = i % chosen.length
    const times = Math.floor(perImage / chosen.length) + (k < perImage % chosen.length ? 1 : 0)
    write(base + i, chosen[k]!, 1 / times)
  }
}

function draw(from: number[], count: number, rng: Rng): number[] {
  return from.length <= count ? from : shuffled(from, rng).slice(0, count)
}

/** A box B with its centre and size, and the ground truth that it stands for: -1 for none. */
interface Roi {
  readonly box: Float32Array
  readonly center: ArrayLike<number>
  readonly g: number
}

function writeBox(out: RoiBatch, at: number, { box, center, g }: Roi, truth: GroundTruth, weight: number, background: number | undefined): void {
  const a = g >= 0 ? truth.boxes.subarray(4 * g, 4 * g + 4) : box
  out.boxes.set(box, 4 * at)
  out.centers.set(center, 4 * at)
  out.truths.set(a, 4 * at)
  for (let i = 0; i < 2; i++) {
    out.contexts[4 * at + i] = Math.min(a[i]!, box[i]!)
    out.contexts[4 * at + 2 + i] = Math.max(a[2 + i]!, box[2 + i]!)
  }
  out.labels[at] = g >= 0 ? truth.labels[g]! : (background ?? 0)
  out.weights[at] = weight
  out.boxWeights[at] = g >= 0 ? weight : 0
}
