/** @file SSD's geometric augmentation: expand, IoU-constrained crop, flip. Pure: it picks a rectangle and moves the boxes along. */
import type { GroundTruth } from '../detection/annotation.ts'
import { fitRect, place, placeTruth, type Placement, type Preprocess, type Rect } from '../detection/preprocess.ts'
import type { Rng } from '../tensor/rng.ts'

export interface AugmentOptions {
  /** `full`: brightness, contrast, saturation, hue; `light`: brightness and contrast. */
  readonly photometric: 'full' | 'light' | 'none'
  readonly expand: boolean
  readonly crop: boolean
  readonly flip: boolean
}

export const augmentPresets = {
  ssd: { photometric: 'full', expand: true, crop: true, flip: true },
  light: { photometric: 'light', expand: false, crop: false, flip: true },
  none: { photometric: 'none', expand: false, crop: false, flip: false },
} as const satisfies Record<string, AugmentOptions>

export interface Geometry {
  /** What of the image, in its pixels, fills the network's input; it may exceed the image. */
  readonly rect: Rect
  readonly placement: Placement
  /** The placed pixels are mirrored. */
  readonly flip: boolean
  /** Boxes in input pixels; objects whose centre is cut off are gone. */
  readonly truth: GroundTruth
}

/** The constraint on a crop: the least IoU that some object must have with it. 1 leaves the image whole (as in SSD and torchvision). */
const minimumIous = [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1] as const
const maxExpand = 4
const triesPerConstraint = 50
const constraintsTried = 20

/** Draws how one image of `width` x `height` is shown to the network. */
export function sampleGeometry(truth: GroundTruth, width: number, height: number, pre: Pick<Preprocess, 'width' | 'height' | 'resize'>, rng: Rng, options: AugmentOptions): Geometry {
  let rect: Rect = { x: 0, y: 0, width, height }
  if (options.expand && rng.next() < 0.5) rect = expand(rect, rng)
  if (options.crop) rect = crop(rect, truth, width, height, pre, rng)
  rect = fitRect(rect, pre)
  const flip = options.flip && rng.next() < 0.5
  const placement = place(rect, width, height, pre.width, pre.height)
  return { rect, placement, flip, truth: placeTruth(truth, placement, flip, centredIn(truth, rect)) }
}

/** A canvas up to 4 times the image's sides, the image somewhere on it. */
function expand(image: Rect, rng: Rng): Rect {
  const ratio = rng.uniform(1, maxExpand)
  const width = image.width * ratio
  const height = image.height * ratio
  return { x: -Math.floor(rng.uniform(0, width - image.width)), y: -Math.floor(rng.uniform(0, height - image.height)), width: Math.floor(width), height: Math.floor(height) }
}

function crop(canvas: Rect, truth: GroundTruth, imageWidth: number, imageHeight: number, pre: Pick<Preprocess, 'width' | 'height' | 'resize'>, rng: Rng): Rect {
  for (let constraint = 0; constraint < constraintsTried; constraint++) {
    const minimum = minimumIous[rng.int(minimumIous.length)]!
    if (minimum === 1) return canvas
    for (let i = 0; i < triesPerConstraint; i++) {
      const width = Math.floor(rng.uniform(0.3, 1) * canvas.width)
      const height = Math.floor(rng.uniform(0.3, 1) * canvas.height)
      if (width < 1 || height < 1 || height < width / 2 || height > width * 2) continue
      const x = canvas.x + Math.floor(rng.uniform(0, canvas.width - width))
      const y = canvas.y + Math.floor(rng.uniform(0, canvas.height - height))
      const rect = { x, y, width, height }
      // A letterbox shows more than the crop; the constraint holds for what is shown.
      const shown = fitRect(rect, pre)
      if (shown.x >= imageWidth || shown.y >= imageHeight || shown.x + shown.width <= 0 || shown.y + shown.height <= 0) continue
      if (truth.labels.length === 0) return rect
      const kept = centredIn(truth, shown)
      if (kept.length > 0 && Math.max(...kept.map((k) => iouWith(truth.boxes, k, shown))) >= minimum) return rect
    }
  }
  return canvas
}

/** Objects whose centre lies inside `rect`. */
function centredIn(truth: GroundTruth, rect: Rect): number[] {
  const kept: number[] = []
  for (let i = 0; i < truth.labels.length; i++) {
    const cx = (truth.boxes[i * 4]! + truth.boxes[i * 4 + 2]!) / 2
    const cy = (truth.boxes[i * 4 + 1]! + truth.boxes[i * 4 + 3]!) / 2
    if (cx > rect.x && cx < rect.x + rect.width && cy > rect.y && cy < rect.y + rect.height) kept.push(i)
  }
  return kept
}

function iouWith(boxes: Float32Array, index: number, rect: Rect): number {
  const x1 = boxes[index * 4]!
  const y1 = boxes[index * 4 + 1]!
  const x2 = boxes[index * 4 + 2]!
  const y2 = boxes[index * 4 + 3]!
  const w = Math.min(x2, rect.x + rect.width) - Math.max(x1, rect.x)
  const h = Math.min(y2, rect.y + rect.height) - Math.max(y1, rect.y)
  if (w <= 0 || h <= 0) return 0
  return (w * h) / ((x2 - x1) * (y2 - y1) + rect.width * rect.height - w * h)
}
