/** @file The time of one layer over the shares of its input and output that are left. */
import { nonNegativeLeastSquares } from './nnls.ts'

/** A measurement of a layer: shares of its input and output that are left, and milliseconds. */
export interface LayerPoint {
  readonly in: number
  readonly out: number
  readonly ms: number
}

/** Milliseconds at shares; never falls as one of them grows. */
export type LayerSurface = (at: { readonly in: number; readonly out: number }) => number

/** Stands for times too short to be measured, so that relative errors stay numbers. */
const shortest = 1e-4

/**
 * ms = a + b in + c out + d in out, none of the four negative: what is there anyway, reading, writing, multiplying. Least squares of relative errors, so that
 * narrow layers count as much as wide ones.
 */
export function fitSurface(points: readonly LayerPoint[]): LayerSurface {
  const weights = points.map((p) => 1 / Math.max(p.ms, shortest))
  const rows = points.map((p, i) => [1, p.in, p.out, p.in * p.out].map((v) => v * weights[i]!))
  const [a, b, c, d] = nonNegativeLeastSquares(rows, points.map((p, i) => p.ms * weights[i]!)) as [number, number, number, number]
  return (at) => a + b * at.in + c * at.out + d * at.in * at.out
}
