/** @file Learning-rate schedules: a rate for each step, known in advance. */

export interface ScheduleOptions {
  /** Peak rate. */
  readonly rate: number
  /** Steps in all. */
  readonly steps: number
  /** Steps of linear warm-up from a thousandth of the rate. */
  readonly warmup: number
}

/** Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017); `step` counts from 0. */
export function cosineRate(step: number, { rate, steps, warmup }: ScheduleOptions): number {
  if (step < warmup) return rate * (0.001 + (0.999 * step) / warmup)
  const progress = (step - warmup) / Math.max(1, steps - warmup)
  return 0.5 * rate * (1 + Math.cos(Math.PI * Math.min(1, progress)))
}
