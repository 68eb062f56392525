/** @file SSD's box coding: a box as four offsets from a default box, divided by variances. */
import type { DefaultBoxes } from './default-boxes.ts'

/** Variance of the centre's offsets and of the size's; (0.1, 0.2) in SSD. */
export type Variances = readonly [number, number]

export const ssdVariances: Variances = [0.1, 0.2]

/**
 * Writes the offsets of xyxy box `i` from default box `d` to out[at..at+3]: the centre's shift in default box widths and heights, and the
 * logs of the ratios of width and height. The box must have an area.
 */
export function encodeBox(boxes: Float32Array, i: number, defaults: DefaultBoxes, d: number, variances: Variances, out: Float32Array, at: number): void {
  const w = boxes[4 * i + 2]! - boxes[4 * i]!
  const h = boxes[4 * i + 3]! - boxes[4 * i + 1]!
  const { centers } = defaults
  const dw = centers[4 * d + 2]!
  const dh = centers[4 * d + 3]!
  out[at] = (boxes[4 * i]! + w / 2 - centers[4 * d]!) / dw / variances[0]
  out[at + 1] = (boxes[4 * i + 1]! + h / 2 - centers[4 * d + 1]!) / dh / variances[0]
  out[at + 2] = Math.log(w / dw) / variances[1]
  out[at + 3] = Math.log(h / dh) / variances[1]
}

/** The inverse: writes the xyxy box that the offsets [D,4] of default box `d` stand for to out[at..at+3]. */
export function decodeBox(offsets: Float32Array, defaults: DefaultBoxes, d: number, variances: Variances, out: Float32Array, at: number): void {
  const { centers } = defaults
  const dw = centers[4 * d + 2]!
  const dh = centers[4 * d + 3]!
  const x = centers[4 * d]! + offsets[4 * d]! * variances[0] * dw
  const y = centers[4 * d + 1]! + offsets[4 * d + 1]! * variances[0] * dh
  const w = dw * Math.exp(offsets[4 * d + 2]! * variances[1])
  const h = dh * Math.exp(offsets[4 * d + 3]! * variances[1])
  out[at] = x - w / 2
  out[at + 1] = y - h / 2
  out[at + 2] = x + w / 2
  out[at + 3] = y + h / 2
}
