/** @file Building ground truth from boxes as files have them: what is degenerate or outside is mended or dropped, and said. */
import type { GroundTruth } from '../detection/annotation.ts'

/** One labelled object, xyxy in image pixels, exclusive right and bottom. */
export interface LabelledBox {
  readonly box: readonly [number, number, number, number]
  readonly label: number
  readonly crowd?: boolean
  readonly difficult?: boolean
  /** COCO's own area; default: width times height. */
  readonly area?: number
  /** How a problem with it is named, file first. */
  readonly place: string
}

/** Overshoot that is rounding of the file's decimals, in pixels: cut off without a word. */
const rounding = 0.5

/** Ground truth of one image of `width` x `height`; every mended or dropped box adds a sentence to `problems`. */
export function buildTruth(objects: readonly LabelledBox[], width: number, height: number, problems: string[]): GroundTruth {
  const kept: (LabelledBox & { cut: readonly number[] })[] = []
  for (const object of objects) {
    const [x1, y1, x2, y2] = object.box
    const shown = `box ${[x1, y1, x2, y2].map((v) => Number(v.toFixed(2))).join(' ')} (x1 y1 x2 y2)`
    if (!object.box.every(Number.isFinite)) problems.push(`${object.place}: its box is not made of numbers; dropped`)
    else if (!(x2 > x1 && y2 > y1)) problems.push(`${object.place}: ${shown} has no area; dropped`)
    else if (x2 <= 0 || y2 <= 0 || x1 >= width || y1 >= height) problems.push(`${object.place}: ${shown} lies outside the image of ${width}x${height}; dropped`)
    else {
      if (Math.max(-x1, -y1, x2 - width, y2 - height) > rounding) problems.push(`${object.place}: ${shown} exceeds the image of ${width}x${height}; clipped`)
      kept.push({ ...object, cut: [Math.max(0, x1), Math.max(0, y1), Math.min(width, x2), Math.min(height, y2)] })
    }
  }
  return {
    boxes: Float32Array.from(kept.flatMap((k) => k.cut)),
    labels: Int32Array.from(kept, (k) => k.label),
    crowd: Uint8Array.from(kept, (k) => (k.crowd ? 1 : 0)),
    difficult: Uint8Array.from(kept, (k) => (k.difficult ? 1 : 0)),
    areas: Float32Array.from(kept, (k) => k.area ?? (k.cut[2]! - k.cut[0]!) * (k.cut[3]! - k.cut[1]!)),
  }
}
