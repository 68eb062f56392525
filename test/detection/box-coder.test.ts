/** @file SSD's coding of boxes, and the targets made of it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBox, encodeBox, ssdVariances } from '../../src/detection/box-coder.ts'
import type { DefaultBoxes } from '../../src/detection/default-boxes.ts'
import { encodeTargets } from '../../src/detection/targets.ts'

function defaultsOf(...centers: [number, number, number, number][]): DefaultBoxes {
  return {
    count: centers.length,
    centers: Float32Array.from(centers.flat()),
    corners: Float32Array.from(centers.flatMap(([x, y, w, h]) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2])),
  }
}

describe('box coding', () => {
  it('a hand-worked box', () => {
    // Centre (60, 45) against (50, 50), size 40x10 against 20x20.
    const out = new Float32Array(4)
    encodeBox(Float32Array.of(40, 40, 80, 50), 0, defaultsOf([50, 50, 20, 20]), 0, ssdVariances, out, 0)
    expect([...out]).toEqual([5, -2.5, Math.fround(Math.log(2) / 0.2), Math.fround(-Math.log(2) / 0.2)])
  })

  it('decode . encode = identity', () => {
    const position = fc.double({ min: 0, max: 300, noNaN: true })
    const size = fc.double({ min: 1, max: 300, noNaN: true })
    fc.assert(fc.property(fc.tuple(position, position, size, size), fc.tuple(position, position, size, size), ([x, y, w, h], prior) => {
      const box = Float32Array.of(x, y, x + w, y + h)
      const offsets = new Float32Array(8)
      const defaults = defaultsOf([1, 1, 1, 1], prior)
      encodeBox(box, 0, defaults, 1, ssdVariances, offsets, 4)
      const back = new Float32Array(4)
      decodeBox(offsets, defaults, 1, ssdVariances, back, 0)
      for (let i = 0; i < 4; i++) expect(Math.abs(back[i]! - box[i]!)).toBeLessThan(2e-3)
    }))
  })
})

describe('encodeTargets', () => {
  const defaults = defaultsOf([50, 50, 20, 20], [10, 10, 20, 20], [60, 45, 40, 10])
  const truth = { boxes: Float32Array.of(0, 0, 20, 20, 40, 40, 80, 50), labels: Int32Array.of(4, 0) }

  it('writes one image of the batch and leaves the others alone', () => {
    const labels = new Int32Array(9).fill(77)
    const offsets = new Float32Array(36).fill(9)
    expect(encodeTargets(truth, Int32Array.of(1, 0, -1), defaults, { labels, offsets }, 1)).toBe(2)
    expect([...labels]).toEqual([77, 77, 77, 1, 5, 0, 77, 77, 77])
    expect([...offsets.subarray(12, 16)]).toEqual([5, -2.5, Math.fround(Math.log(2) / 0.2), Math.fround(-Math.log(2) / 0.2)])
    expect([...offsets.subarray(16, 24)]).toEqual(new Array(8).fill(0))
    expect(offsets[11]).toBe(9)
    expect(offsets[24]).toBe(9)
  })

  it('writes int64 labels too', () => {
    const labels = new BigInt64Array(3).fill(77n)
    encodeTargets(truth, Int32Array.of(-1, 0, 1), defaults, { labels, offsets: new Float32Array(12) }, 0)
    expect([...labels]).toEqual([0n, 5n, 1n])
  })

  it('refuses what does not fit', () => {
    const out = { labels: new Int32Array(3), offsets: new Float32Array(12) }
    expect(() => encodeTargets(truth, new Int32Array(3), defaults, out, 1)).toThrow('does not fit')
    expect(() => encodeTargets(truth, new Int32Array(2), defaults, out, 0)).toThrow('2 matches for 3 default boxes')
  })
})
