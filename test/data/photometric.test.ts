/** @file Photometric augmentation against a plain HSV computation. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyPhotometric, samplePhotometric, type PhotometricDraw } from '../../src/data/photometric.ts'
import { createRng } from '../../src/tensor/rng.ts'

const neutral: PhotometricDraw = { brightness: 0, contrast: 1, contrastFirst: true, saturation: 1, hue: 0 }

function apply(pixel: readonly number[], draw: PhotometricDraw): number[] {
  const image = { width: 1, height: 1, data: Uint8Array.from(pixel) }
  applyPhotometric(image, { x: 0, y: 0, width: 1, height: 1 }, draw)
  return Array.from(image.data)
}

/** The textbook way: to HSV, change, and back. */
function reference(pixel: readonly number[], draw: PhotometricDraw): number[] {
  const scale = (v: number, on: boolean): number => (on ? v * draw.contrast : v)
  const [r, g, b] = pixel.map((v) => Math.max(0, scale(v + draw.brightness, draw.contrastFirst))) as [number, number, number]
  const v = Math.max(r, g, b)
  const c = v - Math.min(r, g, b)
  const h = c === 0 ? 0 : v === r ? 60 * ((g - b) / c) : v === g ? 60 * (2 + (b - r) / c) : 60 * (4 + (r - g) / c)
  const hue = (((h + draw.hue) % 360) + 360) % 360
  const s = v === 0 ? 0 : Math.min(1, (c / v) * draw.saturation)
  const channel = (n: number): number => {
    const k = (n + hue / 60) % 6
    return v - v * s * Math.max(0, Math.min(k, 4 - k, 1))
  }
  return [channel(5), channel(3), channel(1)].map((x) => Math.min(255, Math.max(0, scale(x, !draw.contrastFirst))))
}

describe('applyPhotometric', () => {
  it('equals the textbook', () => {
    const byte = fc.integer({ min: 0, max: 255 })
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte), fc.nat(), (pixel, seed) => {
        const draw = { ...samplePhotometric(createRng(seed), 'full'), hue: createRng(seed).fork('hue').uniform(-18, 18), saturation: createRng(seed).fork('sat').uniform(0.5, 1.5) }
        const out = apply(pixel, draw)
        reference(pixel, draw).forEach((v, i) => expect(Math.abs(out[i]! - v)).toBeLessThanOrEqual(0.51))
      }),
      { numRuns: 2000 },
    )
  })

  it('does what its words say', () => {
    const pixel = [200, 100, 50]
    expect(apply(pixel, neutral)).toEqual(pixel)
    expect(apply(pixel, { ...neutral, brightness: -60 })).toEqual([140, 40, 0])
    expect(apply(pixel, { ...neutral, contrast: 1.5 })).toEqual([255, 150, 75])
    expect(apply(pixel, { ...neutral, saturation: 0.5 })).toEqual([200, 150, 125])
    expect(apply([200, 0, 0], { ...neutral, hue: 18 })).toEqual([200, 60, 0])
    expect(apply([77, 77, 77], { ...neutral, hue: 18, saturation: 1.5 })).toEqual([77, 77, 77])
  })

  it('leaves the pixels around the rectangle alone', () => {
    const image = { width: 3, height: 3, data: new Uint8Array(27).fill(100) }
    applyPhotometric(image, { x: 1, y: 1, width: 1, height: 2 }, { ...neutral, brightness: 10 })
    expect(Array.from(image.data).filter((_, i) => i % 3 === 0)).toEqual([100, 100, 100, 100, 110, 100, 100, 110, 100])
  })

  it('draws in SSD\'s ranges, each half the time', () => {
    const draws = Array.from({ length: 400 }, (_, i) => samplePhotometric(createRng(i), 'full'))
    for (const [key, low, high, neutralValue] of [['brightness', -32, 32, 0], ['contrast', 0.5, 1.5, 1], ['saturation', 0.5, 1.5, 1], ['hue', -18, 18, 0]] as const) {
      const values = draws.map((d) => d[key])
      expect(values.every((v) => v >= low && v <= high)).toBe(true)
      const changed = values.filter((v) => v !== neutralValue)
      expect(changed.length > 150 && changed.length < 250).toBe(true)
      expect(Math.min(...changed) < low + 0.1 * (high - low) && Math.max(...changed) > high - 0.1 * (high - low)).toBe(true)
    }
    const light = Array.from({ length: 50 }, (_, i) => samplePhotometric(createRng(i), 'light'))
    expect(light.every((d) => d.hue === 0 && d.saturation === 1)).toBe(true)
  })
})
