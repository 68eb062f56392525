/** @file What COCO's evaluation takes: flat ground truth and detections, and the thresholds and ranges that are fixed. */
import type { Detections, GroundTruth } from '../detection/annotation.ts'

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
export const areaRanges: readonly (readonly [number, number])[] = [[0, 1e10], [0, 1024], [1024, 9216], [9216, 1e10]]
export const areaCount = areaRanges.length

/** Detections counted per image and class. */
export const maxDetections = 100
/** Mask with the bits of all IoU thresholds. */
export const allThresholds = (1 << iouThresholds.length) - 1

/** Throws RangeError naming the first index or score that cannot be. */
export function checkCocoInput({ truth, detections, images, classes }: CocoEvalInput): void {
  checkIndices(truth.image, images, 'image of a ground truth')
  checkIndices(truth.label, classes, 'label of a ground truth')
  checkIndices(detections.image, images, 'image of a detection')
  checkIndices(detections.label, classes, 'label of a detection')
  detections.scores.forEach((score, i) => {
    if (!Number.isFinite(score)) throw new RangeError(`score of detection ${i} is ${score}, must be finite`)
  })
}

function checkIndices(indices: Int32Array, limit: number, what: string): void {
  for (let i = 0; i < indices.length; i++) {
    if (indices[i]! < 0 || indices[i]! >= limit) throw new RangeError(`${what} is ${indices[i]}, must be in 0..${limit - 1} (entry ${i})`)
  }
}

/** Images of ours as flat input; a difficult object is one to ignore. */
export function cocoInputOf(images: readonly { truth: GroundTruth; detections: Detections }[], classes: number): CocoEvalInput {
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
