/** @file SSD's matching on cases worked by hand, and against the plain rule. */
import { describe, expect, it } from 'vitest'
import { iouMatrix } from '../../src/detection/boxes.ts'
import { makeDefaultBoxes, ssdLevels } from '../../src/detection/default-boxes.ts'
import { createMatcher } from '../../src/detection/matcher.ts'
import { createRng } from '../../src/tensor/rng.ts'

const of = (...values: number[]): Float32Array => Float32Array.from(values)
// Four 10x10 default boxes in a row.
const row = of(0, 0, 10, 10, 10, 0, 20, 10, 20, 0, 30, 10, 30, 0, 40, 10)

describe('createMatcher', () => {
  const match = createMatcher(row)

  it('IoU of .5 is enough; the box of a poor overlap is forced, the first of equals', () => {
    // IoU .5 with box 0; IoU 25/175 with boxes 2 and 3 each.
    expect([...match({ boxes: of(0, 0, 10, 5, 27.5, 0, 32.5, 10) })]).toEqual([0, -1, 1, -1])
    expect([...match({ boxes: of(0, 0, 10, 4.9, 0, 20, 10, 30) })]).toEqual([0, -1, -1, -1])
  })

  it('a default box takes the ground truth it overlaps most, the first of equals', () => {
    const wide = createMatcher(of(0, 0, 10, 10, 0, 0, 10, 9))
    expect([...wide({ boxes: of(0, 0, 10, 9, 0, 0, 10, 10) })]).toEqual([1, 0])
    // The equal second takes box 0 by force, and box 1 stays with the first.
    expect([...wide({ boxes: of(0, 0, 10, 10, 0, 0, 10, 10) })]).toEqual([1, 0])
  })

  it('a later ground truth takes the forced box from an earlier one', () => {
    expect([...match({ boxes: of(2, 2, 5, 5, 1, 1, 5, 5) })]).toEqual([1, -1, -1, -1])
    expect([...match({ boxes: of(1, 1, 5, 5, 2, 2, 5, 5) })]).toEqual([1, -1, -1, -1])
  })

  it('leaves out crowds, difficult objects and what nothing overlaps', () => {
    const boxes = of(0, 0, 10, 10, 10, 0, 20, 10, 20, 0, 30, 10, 100, 100, 110, 110)
    expect([...match({ boxes, crowd: Uint8Array.of(1, 0, 0, 0), difficult: Uint8Array.of(0, 0, 1, 0) })]).toEqual([-1, 1, -1, -1])
    expect([...match({ boxes: of() })]).toEqual([-1, -1, -1, -1])
  })

  it('writes into a given array and refuses one of another length', () => {
    const out = Int32Array.of(7, 7, 7, 7)
    expect(match({ boxes: of(30, 0, 40, 10) }, out)).toBe(out)
    expect([...out]).toEqual([-1, -1, -1, 0])
    expect(() => match({ boxes: of() }, new Int32Array(3))).toThrow('do not fit')
  })

  it('is the plain rule over SSD300 boxes', () => {
    const { corners, count } = makeDefaultBoxes(ssdLevels({ width: 300, height: 300, featureSizes: [[38, 38], [19, 19], [10, 10]], ratios: [[2], [2, 3], [2, 3]] }))
    const matchAll = createMatcher(corners)
    const rng = createRng('matcher')
    for (let round = 0; round < 4; round++) {
      const boxes = Float32Array.from(Array.from({ length: 12 }, () => {
        const x = rng.uniform(0, 280)
        const y = rng.uniform(0, 280)
        return [x, y, x + rng.uniform(12, 150), y + rng.uniform(12, 150)]
      }).flat())
      const matches = matchAll({ boxes })
      const ious = iouMatrix(boxes, corners)
      const highest = Array.from({ length: 12 }, (_, g) => Math.max(...ious.subarray(g * count, (g + 1) * count)))
      let positives = 0
      for (let d = 0; d < count; d++) {
        const column = Array.from({ length: 12 }, (_, g) => ious[g * count + d]!)
        const g = matches[d]!
        if (g < 0) expect(Math.max(...column)).toBeLessThan(0.5)
        else {
          positives++
          const forced = Math.abs(column[g]! - highest[g]!) < 1e-6
          if (!forced) expect(column[g]! >= 0.5 && column[g] === Math.max(...column)).toBe(true)
        }
      }
      expect(positives).toBeGreaterThanOrEqual(12)
    }
  })
})
