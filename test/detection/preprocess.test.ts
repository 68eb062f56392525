/** @file Preprocessing: where pixels and boxes go, and back. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GroundTruth, Image } from '../../src/detection/annotation.ts'
import { fillColor, fitRect, mirror, normalize, place, placeTruth, preprocessOf, toImage, toNetwork, transformOf, type Preprocess } from '../../src/detection/preprocess.ts'

const pre: Preprocess = { width: 4, height: 2, channels: 'RGB', mean: [1, 2, 3], std: [1, 2, 4], resize: 'stretch' }
const whole = (width: number, height: number) => ({ x: 0, y: 0, width, height })

describe('normalize', () => {
  const image: Image = { width: 4, height: 2, data: Uint8Array.from({ length: 24 }, (_, i) => i * 3) }

  it('writes planes in the network\'s channel order', () => {
    const rgb = normalize(image, pre)
    expect(rgb[0]).toBe((0 - 1) / 1)
    expect(rgb[8 + 1]).toBe((12 - 2) / 2) // green of pixel 1 is byte 4
    expect(rgb[16 + 7]).toBe((69 - 3) / 4)
    const bgr = normalize(image, { ...pre, channels: 'BGR' })
    expect(bgr[0]).toBe((6 - 1) / 1)
    expect(bgr[16]).toBe((0 - 3) / 4)
  })

  it('writes at an offset and leaves the rest', () => {
    const out = new Float32Array(50).fill(9)
    normalize(image, pre, out, 24)
    expect(out[23]).toBe(9)
    expect(out[24]).toBe(-1)
    expect(out[48]).toBe(9)
  })

  it('refuses another size', () => expect(() => normalize({ ...image, width: 2, height: 4 }, pre)).toThrow(/2x4.*4x2/))
})

describe('fill', () => {
  it('is the mean as RGB, or the letterbox grey', () => {
    expect(fillColor({ ...pre, mean: [103.53, 116.28, 123.675], channels: 'BGR' })).toEqual([124, 116, 104])
    expect(fillColor({ ...pre, resize: 'letterbox' })).toEqual([114, 114, 114])
    expect(fillColor({ ...pre, resize: 'letterbox-centre', pad: 0 })).toEqual([0, 0, 0])
  })
})

describe('letterbox', () => {
  const square = { ...pre, width: 416, height: 416, resize: 'letterbox' as const }

  it('puts 640x480 at the top left of 416, 312 rows high', () => {
    const rect = fitRect(whole(640, 480), square)
    const placement = place(rect, 640, 480, 416, 416)
    expect(placement).toEqual({ source: whole(640, 480), target: whole(416, 312) })
    const t = transformOf(placement)
    expect(Array.from(toNetwork(Float32Array.of(64, 48, 640, 480), t))).toEqual([41.6, 31.2, 416, 312].map(Math.fround))
  })

  it('puts it in the middle where the rule says so', () => {
    const centred = { ...square, resize: 'letterbox-centre' as const }
    expect(place(fitRect(whole(640, 480), centred), 640, 480, 416, 416)).toEqual({ source: whole(640, 480), target: { x: 0, y: 52, width: 416, height: 312 } })
    expect(place(fitRect(whole(300, 600), centred), 300, 600, 416, 416)).toEqual({ source: whole(300, 600), target: { x: 104, y: 0, width: 208, height: 416 } })
    expect(fitRect({ x: 10, y: 20, width: 100, height: 50 }, { ...centred, width: 200, height: 200 })).toEqual({ x: 10, y: -5, width: 100, height: 100 })
  })

  it('keeps the aspect ratio within half a pixel', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 2000 }), (w, h) => {
        const { source, target } = place(fitRect(whole(w, h), square), w, h, 416, 416)
        const scale = 416 / Math.max(w, h)
        expect(source).toEqual(whole(w, h))
        expect(target.x).toBe(0)
        expect(Math.abs(target.width - w * scale)).toBeLessThanOrEqual(w * scale < 0.5 ? 1 : 0.5 + 1e-9)
        expect(Math.abs(target.height - h * scale)).toBeLessThanOrEqual(h * scale < 0.5 ? 1 : 0.5 + 1e-9)
      }),
    )
  })
})

describe('place', () => {
  it('maps a rectangle that exceeds the image, by hand', () => {
    // A canvas twice the image's sides, the image in its middle.
    const placement = place({ x: -10, y: -20, width: 40, height: 80 }, 20, 40, 100, 100)
    expect(placement).toEqual({ source: whole(20, 40), target: { x: 25, y: 25, width: 50, height: 50 } })
    expect(Array.from(toNetwork(Float32Array.of(0, 0, 20, 40), transformOf(placement)))).toEqual([25, 25, 75, 75])
    expect(Array.from(toNetwork(Float32Array.of(2, 0, 6, 40), transformOf(placement, true)))).toEqual([60, 25, 70, 75])
  })

  it('refuses a rectangle beside the image', () => expect(() => place({ x: 20, y: 0, width: 5, height: 5 }, 20, 20, 10, 10)).toThrow(/does not touch/))

  it('stays in bounds, and boxes go there and back', () => {
    const side = fc.integer({ min: 1, max: 900 })
    fc.assert(
      fc.property(side, side, fc.integer({ min: -900, max: 900 }), fc.integer({ min: -900, max: 900 }), side, side, fc.boolean(), (w, h, x, y, rw, rh, flip) => {
        fc.pre(x < w && y < h && x + rw > 0 && y + rh > 0)
        const { source, target } = place({ x, y, width: rw, height: rh }, w, h, 300, 200)
        for (const [r, mw, mh] of [[source, w, h], [target, 300, 200]] as const) {
          for (const v of Object.values(r)) expect(Number.isInteger(v)).toBe(true)
          expect(r.x >= 0 && r.y >= 0 && r.width >= 1 && r.height >= 1 && r.x + r.width <= mw && r.y + r.height <= mh).toBe(true)
        }
        const t = transformOf({ source, target }, flip)
        const box = Float32Array.of(source.x, source.y, source.x + source.width, source.y + source.height)
        const there = toNetwork(box, t)
        const expected = [target.x, target.y, target.x + target.width, target.y + target.height]
        expected.forEach((v, i) => expect(there[i]).toBeCloseTo(v, 2))
        toImage(there, t).forEach((v, i) => expect(Math.abs(v - box[i]!)).toBeLessThan(0.05))
      }),
    )
  })
})

describe('placeTruth', () => {
  const truth: GroundTruth = {
    boxes: Float32Array.of(0, 0, 10, 10, 10, 10, 20, 20),
    labels: Int32Array.of(3, 5),
    crowd: Uint8Array.of(0, 1),
    difficult: Uint8Array.of(1, 0),
    areas: Float32Array.of(50, 100),
  }

  it('cuts boxes at the target and keeps the share of the area', () => {
    const placed = placeTruth(truth, place({ x: 5, y: 0, width: 10, height: 20 }, 20, 20, 20, 20), false, [0])
    expect(Array.from(placed.boxes)).toEqual([0, 0, 10, 10])
    expect(Array.from(placed.areas)).toEqual([50]) // half the box, twice as wide
    expect([placed.labels[0], placed.difficult[0], placed.crowd[0]]).toEqual([3, 1, 0])
  })

  it('keeps all by default', () => expect(placeTruth(truth, place(whole(20, 20), 20, 20, 20, 20))).toEqual(truth))
})

it('mirrors within a rectangle only', () => {
  const image: Image = { width: 4, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) }
  mirror(image, { x: 1, y: 0, width: 3, height: 1 })
  expect(Array.from(image.data)).toEqual([1, 2, 3, 10, 11, 12, 7, 8, 9, 4, 5, 6])
})

it('reads a card', () => {
  const card = { input: { width: 300, height: 200 }, channels: 'BGR' as const, mean: [1, 2, 3], std: [1, 1, 1], resize: 'letterbox' as const }
  expect(preprocessOf(card)).toEqual({ width: 300, height: 200, channels: 'BGR', mean: [1, 2, 3], std: [1, 1, 1], resize: 'letterbox' })
})
