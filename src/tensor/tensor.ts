/** @file Tensor: element type, dims and row-major data. Immutable by convention; weights are shared between graphs. */
import { allocate, type DType, type TensorData } from './dtype.ts'

export interface Tensor {
  readonly dtype: DType
  readonly dims: readonly number[]
  readonly data: TensorData
}

/** Number of elements; 1 for a scalar (no dims). */
export function sizeOf(dims: readonly number[]): number {
  let n = 1
  for (const d of dims) n *= d
  return n
}

/** A tensor over `data`; throws when the dims do not fit it. */
export function tensor(dtype: DType, dims: readonly number[], data: TensorData): Tensor {
  if (sizeOf(dims) !== data.length) throw new RangeError(`dims [${dims.join(',')}] need ${sizeOf(dims)} elements, got ${data.length}`)
  return { dtype, dims, data }
}

export function zeros(dtype: DType, dims: readonly number[]): Tensor {
  return { dtype, dims, data: allocate(dtype, sizeOf(dims)) }
}

/** float32 tensor; dims default to one axis. */
export function f32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
  return tensor('float32', dims, values instanceof Float32Array ? values : Float32Array.from(values))
}

/** int64 tensor from plain numbers; dims default to one axis. */
export function i64(values: readonly number[], dims: readonly number[] = [values.length]): Tensor {
  return tensor('int64', dims, BigInt64Array.from(values, (v) => BigInt(v)))
}

/** float32 scalar. */
export function scalar(value: number): Tensor {
  return f32([value], [])
}

/** The data of a float32 tensor; throws on any other type, naming it. */
export function floats(t: Tensor): Float32Array {
  if (!(t.data instanceof Float32Array)) throw new TypeError(`expected a float32 tensor, got ${t.dtype}`)
  return t.data
}

/** Elements as plain numbers (int64 included; float16 is decoded). For small tensors: shapes, axes, pads. */
export function toNumbers(t: Tensor): number[] {
  if (t.dtype === 'string') throw new TypeError('a string tensor has no numbers')
  if (t.dtype === 'float16') return Array.from(t.data as Uint16Array, halfToNumber)
  if (t.dtype === 'bfloat16') return Array.from(t.data as Uint16Array, bfloatToNumber)
  return Array.from(t.data as ArrayLike<number | bigint>, Number)
}

/** Row-major strides of `dims`, in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length)
  let step = 1
  for (let i = dims.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= dims[i]!
  }
  return strides
}

/** Runs of so many elements and more are copied as a block. */
const blockCopy = 32

/** Copies the entries `indices` of `axis`, in that order. Works on every element type. */
export function takeAlong(t: Tensor, axis: number, indices: readonly number[]): Tensor {
  const outer = sizeOf(t.dims.slice(0, axis))
  const inner = sizeOf(t.dims.slice(axis + 1))
  const length = t.dims[axis]
  if (length === undefined) throw new RangeError(`no axis ${axis} in [${t.dims.join(',')}]`)
  const dims = t.dims.map((d, i) => (i === axis ? indices.length : d))
  const out = allocate(t.dtype, sizeOf(dims))
  let at = 0
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      if (index < 0 || index >= length) throw new RangeError(`index ${index} is outside axis ${axis} of length ${length}`)
      const from = (o * length + index) * inner
      if (inner >= blockCopy && !Array.isArray(out)) (out as Uint8Array).set((t.data as Uint8Array).subarray(from, from + inner), at)
      else for (let i = 0; i < inner; i++) out[at + i] = t.data[from + i]!
      at += inner
    }
  }
  return { dtype: t.dtype, dims, data: out }
}

/** IEEE half to number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

const word = new Float32Array(1)
const bitsOfWord = new Uint32Array(word.buffer)

/** The IEEE half nearest to a number, ties to even; beyond 65504 (from 65520 on) infinity. */
export function numberToHalf(value: number): number {
  word[0] = value
  const bits = bitsOfWord[0]!
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  // Below 2^-14 halves are whole multiples of 2^-24.
  if (magnitude < 0x38800000) return sign | roundToEven(Math.abs(word[0]) * 2 ** 24)
  const kept = magnitude - 0x38000000
  return sign | ((kept + 0xfff + ((kept >>> 13) & 1)) >>> 13)
}

/** To the nearest whole number, halves to the even one, as runtimes round. */
export function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

/** sum (a - b)^2; without `b`, from 0. */
export function squaredDistance(a: ArrayLike<number>, b?: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - (b ? b[i]! : 0)) ** 2
  return sum
}

function bfloatToNumber(bits: number): number {
  const word = new Uint32Array([bits << 16])
  return new Float32Array(word.buffer)[0]!
}
