/** @file Bilinear resize in TypeScript, half-pixel centres, antialiased when shrinking (the triangle filter of PIL and torch). */
import type { Image } from '../detection/annotation.ts'
import type { Rect } from '../detection/preprocess.ts'

/** For every output pixel its first input pixel and `taps` weights that sum to 1. */
interface Filter {
  readonly taps: number
  readonly first: Int32Array
  readonly weights: Float32Array
}

/** The part `source` (whole pixels within the image) resized to `width` x `height`. */
export function resample(image: Image, source: Rect, width: number, height: number): Image {
  const across = filterOf(source.width, width)
  const down = filterOf(source.height, height)
  const stride = width * 3
  const rows = new Float32Array(source.height * stride)
  for (let y = 0; y < source.height; y++) {
    const from = ((source.y + y) * image.width + source.x) * 3
    for (let x = 0; x < width; x++) {
      let r = 0
      let g = 0
      let b = 0
      let at = from + across.first[x]! * 3
      for (let t = x * across.taps; t < (x + 1) * across.taps; t++, at += 3) {
        const weight = across.weights[t]!
        if (weight === 0) continue
        r += weight * image.data[at]!
        g += weight * image.data[at + 1]!
        b += weight * image.data[at + 2]!
      }
      const to = y * stride + x * 3
      rows[to] = r
      rows[to + 1] = g
      rows[to + 2] = b
    }
  }
  const data = new Uint8Array(height * stride)
  const sum = new Float32Array(stride)
  for (let y = 0; y < height; y++) {
    sum.fill(0.5) // rounds when the fraction is cut off
    for (let t = 0; t < down.taps; t++) {
      const weight = down.weights[y * down.taps + t]!
      if (weight === 0) continue
      const from = (down.first[y]! + t) * stride
      for (let i = 0; i < stride; i++) sum[i] = sum[i]! + weight * rows[from + i]!
    }
    data.set(sum, y * stride)
  }
  return { width, height, data }
}

function filterOf(size: number, out: number): Filter {
  const scale = size / out
  const support = Math.max(1, scale)
  const taps = Math.ceil(support) * 2 + 1
  const first = new Int32Array(out)
  const weights = new Float32Array(out * taps)
  for (let i = 0; i < out; i++) {
    const centre = (i + 0.5) * scale
    const from = Math.max(0, Math.floor(centre - support + 0.5))
    const till = Math.min(size, Math.floor(centre + support + 0.5), from + taps)
    first[i] = from
    let total = 0
    for (let j = from; j < till; j++) total += Math.max(0, 1 - Math.abs(j + 0.5 - centre) / support)
    for (let j = from; j < till; j++) weights[i * taps + j - from] = Math.max(0, 1 - Math.abs(j + 0.5 - centre) / support) / total
  }
  return { taps, first, weights }
}
