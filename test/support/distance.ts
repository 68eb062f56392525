/** @file How far one result is from another. */
import { expect } from 'vitest'
import { type Tensor, toNumbers } from '../../src/tensor/tensor.ts'

/** max|a - b| / max|a|; what is not finite in `a` must be the same in `b`, unless that is left open. Types and dims must be equal. */
export function distance(a: Tensor, b: Tensor, open = false): number {
  expect({ dtype: b.dtype, dims: [...b.dims] }).toEqual({ dtype: a.dtype, dims: [...a.dims] })
  if (a.dtype === 'string') return a.data.every((v, i) => v === b.data[i]) ? 0 : Infinity
  const [x, y] = [toNumbers(a), toNumbers(b)]
  let [difference, scale] = [0, 1e-3]
  x.forEach((v, i) => {
    if (Number.isFinite(v)) {
      difference = Math.max(difference, Number.isFinite(y[i]) ? Math.abs(v - y[i]!) : Infinity)
      scale = Math.max(scale, Math.abs(v))
    } else if (!open) expect(y[i]).toBe(v)
  })
  return difference / scale
}
