/** @file What COCO's evaluation takes: flat ground truth and detections, and the thresholds and ranges that are fixed. */

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
