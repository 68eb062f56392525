/** @file The sorts against the language's own. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sortByKey, sortDescending } from '../../src/metrics/sorting.ts'

describe('sortDescending', () => {
  it('is the stable sort by falling score, whatever sign and size', () => {
    const score = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0, -0, 0.5, -0.5, 1, 5e-324, -5e-324))
    fc.assert(fc.property(fc.array(score, { maxLength: 60 }), (scores) => {
      const indices = scores.map((_, i) => i)
      // -0 and 0 are equal: they keep their order.
      expect([...sortDescending(Int32Array.from(indices), Float64Array.from(scores))]).toEqual(indices.slice().sort((a, b) => (scores[b]! > scores[a]! ? 1 : scores[b]! < scores[a]! ? -1 : 0)))
    }))
  })

  it('takes some of the indices, in the order that they come in', () => {
    expect([...sortDescending(Int32Array.of(3, 1, 0), Float64Array.of(0.5, 0.5, 9, 0.5))]).toEqual([3, 1, 0])
  })
})

describe('sortByKey', () => {
  it('is stable and tells where each key begins', () => {
    const { order, start } = sortByKey(Int32Array.of(4, 0, 2, 1), Int32Array.of(2, 0, 2, 9, 0), 4)
    expect([...order]).toEqual([4, 1, 0, 2])
    expect([...start]).toEqual([0, 2, 2, 4, 4])
  })
})
