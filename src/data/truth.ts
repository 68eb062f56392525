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
  const kept = objects.filter((object) => {
    const [x1, y1, x2, y2] = object.box
    const lost = faultOf(object.box, width, height)
    if (lost !== undefined) problems.push(`${object.place}: ${lost}; dropped`)
    else if (Math.max(-x1, -y1, x2 - width, y2 - height) > rounding) problems.push(`${object.place}: ${boxText(object.box)} exceeds the image of ${width}x${height}; clipped`)
    return lost === undefined
  })
  const boxes = new Float32Array(4 * kept.length)
  const areas = new Float32Array(kept.length)
  kept.forEach(({ box: [left, top, right, bottom], area }, i) => {
    const [x1, y1, x2, y2] = [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)]
    boxes.set([x1, y1, x2, y2], 4 * i)
    areas[i] = area ?? (x2 - x1) * (y2 - y1)
  })
  return {
    boxes,
    labels: Int32Array.from(kept, (k) => k.label),
    crowd: Uint8Array.from(kept, (k) => (k.crowd ? 1 : 0)),
    difficult: Uint8Array.from(kept, (k) => (k.difficult ? 1 : 0)),
    areas,
  }
}

/** Why a box is of no use, in words; undefined where it is. */
function faultOf(box: LabelledBox['box'], width: number, height: number): string | undefined {
  const [x1, y1, x2, y2] = box
  if (!box.every(Number.isFinite)) return 'its box is not made of numbers'
  if (!(x2 > x1 && y2 > y1)) return `${boxText(box)} has no area`
  if (x2 <= 0 || y2 <= 0 || x1 >= width || y1 >= height) return `${boxText(box)} lies outside the image of ${width}x${height}`
  return undefined
}

function boxText(box: LabelledBox['box']): string {
  return `box ${box.map((v) => Number(v.toFixed(2))).join(' ')} (x1 y1 x2 y2)`
}
