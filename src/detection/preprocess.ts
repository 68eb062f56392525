/** @file What an image goes through before the network sees it, and boxes on the way there and back. Typed arrays only. */
import type { GroundTruth, Image } from './annotation.ts'

/** What a detector wants of its input; a card says it. */
export interface Preprocess {
  /** Pixels of the network's input. */
  readonly width: number
  readonly height: number
  readonly channels: 'RGB' | 'BGR'
  /** In the network's channel order: (pixel 0..255 - mean) / std. */
  readonly mean: readonly number[]
  readonly std: readonly number[]
  readonly resize: ResizeRule
  /** Grey around letterboxed images, 0..255; default: YOLOX's. */
  readonly pad?: number
}

/** "letterbox" keeps the image's proportions, at the top left of the input; "letterbox-centre" puts it in the middle. */
export const resizeRules = ['stretch', 'letterbox', 'letterbox-centre'] as const
export type ResizeRule = (typeof resizeRules)[number]

/** A rectangle in pixels; it may exceed the image it speaks of. */
export interface Rect {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Where the pixels of an image go: `source`, whole pixels within the image, is resized to `target`, whole pixels within the output. */
export interface Placement {
  readonly source: Rect
  readonly target: Rect
}

/** Image pixels to input pixels: x' = x * scaleX + offsetX. A mirrored image has a negative scaleX. */
export interface BoxTransform {
  readonly scaleX: number
  readonly scaleY: number
  readonly offsetX: number
  readonly offsetY: number
}

/** The grey around letterboxed images, as YOLOX has it. */
const letterboxGrey = 114

/** What a detector card says of it. */
export function preprocessOf({ input, channels, mean, std, resize, pad }: Omit<Preprocess, 'width' | 'height'> & { readonly input: { readonly width: number; readonly height: number } }): Preprocess {
  return { width: input.width, height: input.height, channels, mean, std, resize, ...(pad !== undefined && { pad }) }
}

/** RGB that fills what the image does not cover: grey for letterboxes, else the mean (0 after normalisation). */
export function fillColor(pre: Preprocess): [number, number, number] {
  const { pad = letterboxGrey } = pre
  if (pre.resize !== 'stretch') return [pad, pad, pad]
  const [a, b, c] = pre.mean.map((v) => Math.min(255, Math.max(0, Math.round(v)))) as [number, number, number]
  return pre.channels === 'RGB' ? [a, b, c] : [c, b, a]
}

/** `rect` as it fills the network's input: itself when stretched; when letterboxed lengthened, to the right or bottom or on both sides alike. */
export function fitRect(rect: Rect, pre: Pick<Preprocess, 'width' | 'height' | 'resize'>): Rect {
  if (pre.resize === 'stretch') return rect
  const scale = Math.min(pre.width / rect.width, pre.height / rect.height)
  const [width, height] = [pre.width / scale, pre.height / scale]
  const share = pre.resize === 'letterbox-centre' ? 0.5 : 0
  return { x: rect.x - share * (width - rect.width), y: rect.y - share * (height - rect.height), width, height }
}

/**
 * Where the image's pixels go when `rect` of it is resized to `outWidth` x `outHeight`. Both sides of the answer are whole
 * pixels, and boxes follow it (`transformOf`), so that no rounding comes between pixels and labels.
 */
export function place(rect: Rect, imageWidth: number, imageHeight: number, outWidth: number, outHeight: number): Placement {
  const h = placeAxis(rect.x, rect.width, imageWidth, outWidth)
  const v = placeAxis(rect.y, rect.height, imageHeight, outHeight)
  return {
    source: { x: h.from, y: v.from, width: h.length, height: v.length },
    target: { x: h.to, y: v.to, width: h.outLength, height: v.outLength },
  }
}

function placeAxis(start: number, length: number, size: number, out: number): { from: number; length: number; to: number; outLength: number } {
  const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, Math.round(v)))
  const end = start + length
  if (!(length > 0) || end <= 0 || start >= size) throw new RangeError(`a rectangle from ${start} to ${end} does not touch an image of ${size} pixels`)
  const from = clamp(start, 0, size - 1)
  const till = clamp(end, from + 1, size)
  const to = start < 0 ? clamp((-start * out) / length, 0, out - 1) : 0
  const outTill = end > size ? clamp(((size - start) * out) / length, to + 1, out) : out
  return { from, length: till - from, to, outLength: outTill - to }
}

/** The map of boxes that goes with a placement; `flip` mirrors the image within its target. */
export function transformOf({ source, target }: Placement, flip = false): BoxTransform {
  const scaleX = target.width / source.width
  const scaleY = target.height / source.height
  const offsetY = target.y - source.y * scaleY
  if (flip) return { scaleX: -scaleX, scaleY, offsetX: target.x + target.width + source.x * scaleX, offsetY }
  return { scaleX, scaleY, offsetX: target.x - source.x * scaleX, offsetY }
}

/** [N,4] xyxy, image pixels -> input pixels. */
export function toNetwork(boxes: Float32Array, t: BoxTransform): Float32Array {
  const out = new Float32Array(boxes.length)
  for (let i = 0; i < boxes.length; i += 4) {
    const xa = boxes[i]! * t.scaleX + t.offsetX
    const xb = boxes[i + 2]! * t.scaleX + t.offsetX
    out[i] = Math.min(xa, xb)
    out[i + 1] = boxes[i + 1]! * t.scaleY + t.offsetY
    out[i + 2] = Math.max(xa, xb)
    out[i + 3] = boxes[i + 3]! * t.scaleY + t.offsetY
  }
  return out
}

/** [N,4] xyxy, input pixels -> image pixels. */
export function toImage(boxes: Float32Array, t: BoxTransform): Float32Array {
  return toNetwork(boxes, { scaleX: 1 / t.scaleX, scaleY: 1 / t.scaleY, offsetX: -t.offsetX / t.scaleX, offsetY: -t.offsetY / t.scaleY })
}

/** Ground truth in input pixels, cut off at the placement's target; areas keep their share of the box. `keep` names the objects that stay (default: all). */
export function placeTruth(truth: GroundTruth, placement: Placement, flip = false, keep?: readonly number[]): GroundTruth {
  const kept = keep ?? Array.from(truth.labels, (_, i) => i)
  const all = toNetwork(truth.boxes, transformOf(placement, flip))
  const { x, y, width, height } = placement.target
  const boxes = new Float32Array(kept.length * 4)
  const areas = new Float32Array(kept.length)
  kept.forEach((from, to) => {
    const x1 = Math.min(x + width, Math.max(x, all[from * 4]!))
    const y1 = Math.min(y + height, Math.max(y, all[from * 4 + 1]!))
    const x2 = Math.min(x + width, Math.max(x, all[from * 4 + 2]!))
    const y2 = Math.min(y + height, Math.max(y, all[from * 4 + 3]!))
    boxes.set([x1, y1, x2, y2], to * 4)
    const b = truth.boxes.subarray(from * 4, from * 4 + 4)
    areas[to] = (truth.areas[from]! * (x2 - x1) * (y2 - y1)) / ((b[2]! - b[0]!) * (b[3]! - b[1]!))
  })
  return {
    boxes,
    labels: Int32Array.from(kept, (i) => truth.labels[i]!),
    crowd: Uint8Array.from(kept, (i) => truth.crowd[i]!),
    difficult: Uint8Array.from(kept, (i) => truth.difficult[i]!),
    areas,
  }
}

/** Mirrors the columns of `rect` in place, left to right. */
export function mirror(image: Image, rect: Rect): void {
  const { data, width } = image
  for (let row = rect.y; row < rect.y + rect.height; row++) {
    let a = (row * width + rect.x) * 3
    let b = a + (rect.width - 1) * 3
    for (; a < b; a += 3, b -= 3) {
      for (let c = 0; c < 3; c++) {
        const keep = data[a + c]!
        data[a + c] = data[b + c]!
        data[b + c] = keep
      }
    }
  }
}

/** HWC bytes of an image of the network's size -> `out` [3,H,W] (at `offset`), normalised, in the network's channel order. */
export function normalize(image: Image, pre: Preprocess, out = new Float32Array(3 * pre.width * pre.height), offset = 0): Float32Array {
  if (image.width !== pre.width || image.height !== pre.height) {
    throw new RangeError(`an image of ${image.width}x${image.height} was given for an input of ${pre.width}x${pre.height}`)
  }
  const area = pre.width * pre.height
  for (let c = 0; c < 3; c++) {
    const mean = pre.mean[c]!
    const std = pre.std[c]!
    // All 256 answers at once: a byte has no others.
    const table = Float32Array.from({ length: 256 }, (_, v) => (v - mean) / std)
    const from = pre.channels === 'RGB' ? c : 2 - c
    const to = offset + c * area
    for (let i = 0; i < area; i++) out[to + i] = table[image.data[i * 3 + from]!]!
  }
  return out
}
