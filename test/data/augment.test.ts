/** @file Geometric augmentation: what holds for every draw, and what the constraints mean. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { augmentPresets, sampleGeometry } from '../../src/data/augment.ts'
import type { GroundTruth } from '../../src/detection/annotation.ts'
import { toImage, transformOf } from '../../src/detection/preprocess.ts'
import { createRng } from '../../src/tensor/rng.ts'

function truthOf(boxes: number[][]): GroundTruth {
  const n = boxes.length
  return {
    boxes: Float32Array.from(boxes.flat()),
    labels: Int32Array.from({ length: n }, (_, i) => 10 + i),
    crowd: new Uint8Array(n),
    difficult: new Uint8Array(n),
    areas: Float32Array.from(boxes, ([x1, y1, x2, y2]) => (x2! - x1!) * (y2! - y1!)),
  }
}

const scene = fc
  .record({ width: fc.integer({ min: 2, max: 700 }), height: fc.integer({ min: 2, max: 700 }) })
  .chain(({ width, height }) => {
    const span = (size: number) => fc.tuple(fc.integer({ min: 0, max: size - 1 }), fc.integer({ min: 1, max: size })).map(([a, b]) => (a < b ? [a, b] : [b - 1, a + 1]))
    const box = fc.tuple(span(width), span(height)).map(([[x1, x2], [y1, y2]]) => [x1!, y1!, x2!, y2!])
    return fc.record({ width: fc.constant(width), height: fc.constant(height), truth: fc.array(box, { maxLength: 6 }).map(truthOf) })
  })
const resize = fc.constantFrom('stretch' as const, 'letterbox' as const)

describe('sampleGeometry', () => {
  it('keeps boxes in the placed image, with their labels, and back at their objects', () => {
    fc.assert(
      fc.property(scene, resize, fc.nat(), ({ width, height, truth }, how, seed) => {
        const pre = { width: 300, height: 200, resize: how }
        const { placement, flip, truth: out } = sampleGeometry(truth, width, height, pre, createRng(seed), augmentPresets.ssd)
        const { x, y, width: w, height: h } = placement.target
        expect(x >= 0 && y >= 0 && x + w <= 300 && y + h <= 200).toBe(true)
        const back = toImage(out.boxes, transformOf(placement, flip))
        out.labels.forEach((label, i) => {
          const [x1, y1, x2, y2] = Array.from(out.boxes.subarray(i * 4, i * 4 + 4)) as [number, number, number, number]
          expect(x1 >= x && y1 >= y && x2 <= x + w && y2 <= y + h && x2 >= x1 && y2 >= y1).toBe(true)
          const origin = truth.boxes.subarray((label - 10) * 4, (label - 10) * 4 + 4)
          const cut = back.subarray(i * 4, i * 4 + 4)
          expect(cut[0]! >= origin[0]! - 0.05 && cut[1]! >= origin[1]! - 0.05 && cut[2]! <= origin[2]! + 0.05 && cut[3]! <= origin[3]! + 0.05).toBe(true)
        })
        if (truth.labels.length > 0) expect(out.labels.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })

  it('gives the same for the same seed', () => {
    fc.assert(
      fc.property(scene, fc.nat(), ({ width, height, truth }, seed) => {
        const draw = () => sampleGeometry(truth, width, height, { width: 300, height: 300, resize: 'stretch' }, createRng(seed), augmentPresets.ssd)
        expect(draw()).toEqual(draw())
      }),
      { numRuns: 30 },
    )
  })

  it('changes nothing with the preset none, and only mirrors with light', () => {
    const truth = truthOf([[10, 20, 30, 60]])
    const pre = { width: 200, height: 100, resize: 'stretch' as const }
    const none = sampleGeometry(truth, 100, 100, pre, createRng(1), augmentPresets.none)
    expect(none).toMatchObject({ rect: { x: 0, y: 0, width: 100, height: 100 }, flip: false })
    expect(Array.from(none.truth.boxes)).toEqual([20, 20, 60, 60])
    const drawn = Array.from({ length: 40 }, (_, i) => sampleGeometry(truth, 100, 100, pre, createRng(i), augmentPresets.light))
    for (const { flip, truth: t } of drawn) expect(Array.from(t.boxes)).toEqual(flip ? [140, 20, 180, 60] : [20, 20, 60, 60])
    const flips = drawn.filter((d) => d.flip).length
    expect(flips > 8 && flips < 32).toBe(true)
  })

  it('expands about half the time, to at most 4 times the sides, showing the whole image', () => {
    const options = { ...augmentPresets.none, expand: true }
    const drawn = Array.from({ length: 400 }, (_, i) => sampleGeometry(truthOf([]), 100, 50, { width: 300, height: 300, resize: 'stretch' }, createRng(i), options).rect)
    const grown = drawn.filter((r) => r.width > 100)
    expect(grown.length > 150 && grown.length < 250).toBe(true)
    for (const r of drawn) expect(r.width <= 400 && r.height <= 200 && r.x <= 0 && r.y <= 0 && r.x + r.width >= 100 && r.y + r.height >= 50).toBe(true)
    expect(Math.max(...drawn.map((r) => r.width))).toBeGreaterThan(350)
  })

  it('crops to 0.3 to 1 of the sides, aspect 1/2 to 2, leaving a whole image about 1 time in 7', () => {
    const truth = truthOf([[0, 0, 400, 300]])
    const options = { ...augmentPresets.none, crop: true }
    const drawn = Array.from({ length: 700 }, (_, i) => sampleGeometry(truth, 400, 300, { width: 300, height: 300, resize: 'stretch' }, createRng(i), options))
    const cropped = drawn.map((d) => d.rect).filter((r) => r.width < 400)
    for (const r of cropped) expect(r.width >= 119 && r.height >= 89 && r.height >= r.width / 2 && r.height <= r.width * 2 && r.x >= 0 && r.y >= 0 && r.x + r.width <= 400 && r.y + r.height <= 300).toBe(true)
    // The whole image is drawn 1 time in 7; constraints that 50 tries do not meet are drawn anew.
    const whole = 1 - cropped.length / 700
    expect(whole > 0.1 && whole < 0.3).toBe(true)
    const ious = cropped.map((r) => (r.width * r.height) / (400 * 300))
    expect(ious.some((v) => v < 0.3) && ious.some((v) => v > 0.7)).toBe(true)
  })
})
