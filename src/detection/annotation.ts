/** @file What is known or found in an image: ground truth and detections. Boxes are xyxy in pixels of the original image. */

/** The labelled objects of one image. N objects, class indices start at 0 and know no background. */
export interface GroundTruth {
  /** [N,4] xyxy, pixels of the original image, exclusive right and bottom edges (width = x2 - x1). */
  readonly boxes: Float32Array
  /** [N] index into the data set's classes. */
  readonly labels: Int32Array
  /** [N] 1 for COCO crowd regions. */
  readonly crowd: Uint8Array
  /** [N] 1 for VOC "difficult" objects: neither asked for nor counted against. */
  readonly difficult: Uint8Array
  /** [N] area in pixels: COCO's own (of the segment) where the file has it, else width times height. */
  readonly areas: Float32Array
}

/** What a detector found in one image, best score first. */
export interface Detections {
  /** [N,4] xyxy, pixels of the original image. */
  readonly boxes: Float32Array
  /** [N] in [0, 1]. */
  readonly scores: Float32Array
  /** [N] index into the detector's classes. */
  readonly labels: Int32Array
}

/** The detections scored at least `threshold`; they come best first. */
export function aboveScore({ boxes, scores, labels }: Detections, threshold: number): Detections {
  const n = scores.filter((s) => s >= threshold).length
  return { boxes: boxes.subarray(0, 4 * n), scores: scores.subarray(0, n), labels: labels.subarray(0, n) }
}

/** One image of a data set: where it lies, its size, what is in it. */
export interface Sample {
  /** Stable name within the data set: the file name without its folder and extension, or COCO's image id. */
  readonly id: string
  /** Path of the image, readable by the data set's store. */
  readonly path: string
  /** Pixels of the original image, as the annotation says. */
  readonly width: number
  readonly height: number
  readonly truth: GroundTruth
}

/** An image that cannot be used; the reason names it. */
export interface SkippedImage {
  readonly path: string
  readonly reason: string
}

/** One split of a data set; that of plain images (format "images") has no labels and no classes. */
export interface Dataset {
  readonly format: 'voc' | 'coco' | 'yolo' | 'shapes' | 'images'
  readonly split: string
  readonly classes: readonly string[]
  /** Indices of the classes that the data itself knows, where `classes` are a model's; default: all. */
  readonly present?: readonly number[]
  readonly samples: readonly Sample[]
  /** What was dropped or mended while reading, one plain sentence each, naming file and object. */
  readonly problems: readonly string[]
  /** Images that are there but could not even be measured; none of `samples`. */
  readonly skipped: readonly SkippedImage[]
}

/** An 8-bit RGB image, HWC. */
export interface Image {
  readonly width: number
  readonly height: number
  /** [height, width, 3], RGB, 0..255. */
  readonly data: Uint8Array
}
