/** @file Reads the golden files that scripts/golden/make_golden.py wrote. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { DType } from '../../src/tensor/dtype.ts'
import { viewBytes } from '../../src/tensor/dtype.ts'
import { floats, tensor, type Tensor } from '../../src/tensor/tensor.ts'

export interface GoldenCase {
  readonly name: string
  readonly attributes: Readonly<Record<string, number | number[]>>
  readonly tensors: Readonly<Record<string, Tensor>>
}

interface GoldenFile {
  readonly cases: readonly {
    readonly name: string
    readonly attributes: Record<string, number | number[]>
    readonly tensors: Record<string, { readonly dtype: DType; readonly dims: number[]; readonly data: string }>
  }[]
}

/** The cases of test/golden/`name`.json. */
export function golden(name: string): GoldenCase[] {
  const file = JSON.parse(readFileSync(fileURLToPath(new URL(`${name}.json`, import.meta.url)), 'utf8')) as GoldenFile
  return file.cases.map((c) => ({
    name: c.name,
    attributes: c.attributes,
    tensors: Object.fromEntries(Object.entries(c.tensors).map(([key, t]) => [key, tensor(t.dtype, t.dims, viewBytes(t.dtype, new Uint8Array(Buffer.from(t.data, 'base64'))))])),
  }))
}

/** The tensor called `name`; throws when the case has none. */
export function of(c: GoldenCase, name: string): Tensor {
  const t = c.tensors[name]
  if (!t) throw new Error(`golden case "${c.name}" has no tensor "${name}"`)
  return t
}

/** max|a - b| / max|b|, of tensors of the same dims. */
export function relativeError(a: Tensor, b: Tensor): number {
  if (a.dims.join() !== b.dims.join()) throw new Error(`dims [${a.dims.join()}] are not [${b.dims.join()}]`)
  const [x, y] = [floats(a), floats(b)]
  let difference = 0
  let size = 0
  for (let i = 0; i < y.length; i++) {
    // NaN must not pass for small.
    if (!(Math.abs(x[i]! - y[i]!) <= difference)) difference = Math.abs(x[i]! - y[i]!)
    size = Math.max(size, Math.abs(y[i]!))
  }
  return difference / Math.max(size, 1e-12)
}
