/** @file Means, spreads and intervals. */

export interface Spread {
  readonly mean: number
  /** Standard deviation of the sample (n - 1); null for a single value. */
  readonly sd: number | null
  readonly n: number
}

/** Of at least one value. */
export function spreadOf(values: readonly number[]): Spread {
  const n = values.length
  if (n === 0) throw new Error('no values have no mean')
  const mean = values.reduce((sum, v) => sum + v, 0) / n
  return { mean, sd: n === 1 ? null : Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1)), n }
}

/** Quantile q in 0..1 of values in any order, linear between neighbours. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort()
  const at = q * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.min(low + 1, sorted.length - 1)
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!)
}
