/** @file Bilinear resize: torch's antialiased interpolate is the oracle. */
import { expect, it } from 'vitest'
import type { Image } from '../../src/detection/annotation.ts'
import { resample } from '../../src/data/resample.ts'

const row = [10, 200, 30, 120, 250, 90, 60]
const grey = [...row, ...row.slice().reverse(), ...row.map(() => 77)]
const image: Image = { width: 7, height: 3, data: Uint8Array.from(grey.flatMap((v) => [v, v, 255 - v])) }

// torch 1.13: interpolate(x, size, mode='bilinear', antialias=True, align_corners=False)
const golden: [number, number, number[]][] = [
  [3, 2, [102.41, 132.35, 106.88, 90.71, 97.76, 84.02]],
  [7, 6, [10.0, 200.0, 30.0, 120.0, 250.0, 90.0, 60.0, 22.5, 172.5, 85.0, 120.0, 195.0, 117.5, 47.5, 47.5, 117.5, 195.0, 120.0, 85.0, 172.5, 22.5, 64.25, 86.75, 206.75, 109.25, 41.75, 169.25, 26.75, 72.75, 80.25, 120.25, 87.75, 65.25, 107.75, 60.25, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0]],
  [14, 3, [10.0, 57.5, 152.5, 157.5, 72.5, 52.5, 97.5, 152.5, 217.5, 210.0, 130.0, 82.5, 67.5, 60.0, 60.0, 67.5, 82.5, 130.0, 210.0, 217.5, 152.5, 97.5, 52.5, 72.5, 157.5, 152.5, 57.5, 10.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0, 77.0]],
  [5, 5, [73.33, 105.56, 127.27, 178.89, 70.0, 72.0, 134.89, 127.27, 149.56, 71.33, 70.0, 178.89, 127.27, 105.56, 73.33, 74.2, 117.76, 97.11, 88.42, 75.53, 77.0, 77.0, 77.0, 77.0, 77.0]],
]
it.each(golden)('equals torch at %i x %i', (width, height, expected) => {
  const out = resample(image, { x: 0, y: 0, width: 7, height: 3 }, width, height)
  expected.forEach((value, i) => {
    expect(Math.abs(out.data[i * 3]! - value)).toBeLessThanOrEqual(0.51)
    expect(Math.abs(out.data[i * 3 + 2]! - (255 - value))).toBeLessThanOrEqual(0.51)
  })
})

it('takes a part of the image, unchanged at its own size', () => {
  const out = resample(image, { x: 2, y: 1, width: 3, height: 2 }, 3, 2)
  expect(Array.from(out.data).filter((_, i) => i % 3 === 0)).toEqual([250, 120, 30, 77, 77, 77])
})

it('does not read over the edge of the part', () => {
  const out = resample(image, { x: 4, y: 0, width: 1, height: 1 }, 4, 4)
  expect(new Set(Array.from(out.data).filter((_, i) => i % 3 === 0))).toEqual(new Set([250]))
})
