/** @file Means, spreads and quantiles, worked by hand. */
import { describe, expect, it } from 'vitest'
import { quantile, spreadOf } from '../../src/experiment/statistics.ts'

describe('statistics', () => {
  it('has the standard deviation of the sample, and none of a single value', () => {
    const { mean, sd, n } = spreadOf([1, 2, 3, 6])
    expect([mean, n]).toEqual([3, 4])
    // Squared distances 4, 1, 0, 9; divided by 3.
    expect(sd).toBeCloseTo(Math.sqrt(14 / 3), 12)
    expect(spreadOf([0.5])).toEqual({ mean: 0.5, sd: null, n: 1 })
    expect(() => spreadOf([])).toThrow('no values have no mean')
  })

  it('takes quantiles linearly between neighbours, in any order', () => {
    expect(quantile([4, 1, 3, 2], 0.25)).toBeCloseTo(1.75, 12)
    expect(quantile([4, 1, 3, 2], 0)).toBe(1)
    expect(quantile([4, 1, 3, 2], 1)).toBe(4)
    // Numbers, not text: 10 is above 9.
    expect(quantile([10, 9, -1], 0.5)).toBe(9)
  })
})
