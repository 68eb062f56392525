/** @file The small evaluator behind `fold`: shape arithmetic and layout changes on constants, bit for bit as the runtime does them. */
import type { Node } from '../ir/graph.ts'
import { allocate, type DType, isFloat } from '../tensor/dtype.ts'
import { sizeOf, stridesOf, takeAlong, type Tensor, tensor, toNumbers } from '../tensor/tensor.ts'
import type { OpDef } from './define.ts'

type Fold = NonNullable<OpDef['fold']>

/** Larger results are left to the runtime: folding is for shapes, and must not bloat the file. */
export const foldLimit = 4096

/** An elementwise function on plain numbers and, where integers may be folded, on 64-bit ones. */
export interface Arithmetic {
  readonly number?: (...args: number[]) => number
  readonly bigint?: (...args: bigint[]) => bigint
}

/** True where every one of the first `count` inputs is a constant. */
export function allConstant(inputs: readonly (Tensor | undefined)[], count: number): inputs is readonly Tensor[] {
  return inputs.length >= count && inputs.slice(0, count).every((t) => t !== undefined)
}

/** Folds an elementwise op; `result` is the output's type (default: the first input's). */
export function foldElementwise(f: Arithmetic, result?: DType): Fold {
  return (node, inputs) => {
    if (!allConstant(inputs, node.inputs.length)) return undefined
    const out = broadcastMap(inputs, f, result)
    return out && [out]
  }
}

/** A tensor without elements is a constant like any other; half floats and strings are not computed with. */
function broadcastMap(inputs: readonly Tensor[], f: Arithmetic, result: DType | undefined): Tensor | undefined {
  const dtype = inputs[0]!.dtype
  if (inputs.some((t) => t.dtype !== dtype) || dtype === 'string' || dtype === 'float16' || dtype === 'bfloat16') return undefined
  const dims = broadcastAll(inputs.map((t) => t.dims))
  if (sizeOf(dims) > foldLimit) return undefined
  const views = inputs.map((t) => expanded(t, dims))
  const { number, bigint } = f
  if (isFloat(dtype) || dtype === 'bool') {
    if (!number) return undefined
    return fill(result ?? dtype, dims, (i) => number(...views.map((v) => Number(v[i]))))
  }
  if (!bigint) return undefined
  return fill(result ?? dtype, dims, (i) => bigint(...views.map((v) => BigInt(v[i]!))))
}

type Elements = readonly (number | bigint)[]

function expanded(t: Tensor, dims: readonly number[]): Elements {
  const offsets = broadcastOffsets(t.dims, dims)
  return offsets.map((o) => t.data[o] as number | bigint)
}

/** Makes a tensor element by element; typed arrays round and wrap as their types do. */
export function fill(dtype: DType, dims: readonly number[], element: (i: number) => number | bigint): Tensor {
  const data = allocate(dtype, sizeOf(dims))
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) for (let i = 0; i < data.length; i++) data[i] = BigInt(element(i))
  else for (let i = 0; i < data.length; i++) data[i] = Number(element(i))
  return tensor(dtype, dims, data)
}

function broadcastAll(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length))
  return Array.from({ length: rank }, (_, axis) => {
    const lengths = shapes.map((s) => s[axis - (rank - s.length)] ?? 1)
    return lengths.find((d) => d !== 1) ?? 1
  })
}

/** For each element of `to`, where it lies in a tensor of dims `from` that broadcasts to it. */
function broadcastOffsets(from: readonly number[], to: readonly number[]): number[] {
  const own = stridesOf(from)
  const strides = to.map((_, axis) => {
    const at = axis - (to.length - from.length)
    return at < 0 || from[at] === 1 ? 0 : own[at]!
  })
  return offsetsOf(to, strides)
}

/** Offsets of all index tuples of `dims`, row-major, under the given strides. */
function offsetsOf(dims: readonly number[], strides: readonly number[]): number[] {
  let offsets = [0]
  dims.forEach((length, axis) => {
    const next: number[] = []
    for (const o of offsets) for (let i = 0; i < length; i++) next.push(o + i * strides[axis]!)
    offsets = next
  })
  return offsets
}

/** Expand: a small tensor broadcast to `target` (both ways, as ONNX has it). */
export function expandTensor(t: Tensor, target: readonly number[]): Tensor | undefined {
  const dims = broadcastAll([t.dims, target])
  return sizeOf(dims) > foldLimit ? undefined : pick(t, dims, broadcastOffsets(t.dims, dims))
}

/** Where: element types other than the condition's may be any. */
export const foldWhere: Fold = (_, inputs) => {
  if (!allConstant(inputs, 3)) return undefined
  const [condition, x, y] = inputs as readonly [Tensor, Tensor, Tensor]
  const dims = broadcastAll(inputs.map((t) => t.dims))
  if (sizeOf(dims) > foldLimit || x.dtype !== y.dtype) return undefined
  const [c, a, b] = [condition, x, y].map((t) => broadcastOffsets(t.dims, dims)) as [number[], number[], number[]]
  const data = allocate(x.dtype, c.length)
  for (let i = 0; i < c.length; i++) data[i] = condition.data[c[i]!] ? x.data[a[i]!]! : y.data[b[i]!]!
  return [tensor(x.dtype, dims, data)]
}

/** Transpose, any size and type. */
export function transposeTensor(t: Tensor, perm: readonly number[]): Tensor {
  const own = stridesOf(t.dims)
  const dims = perm.map((p) => t.dims[p]!)
  const strides = perm.map((p) => own[p]!)
  const data = allocate(t.dtype, t.data.length)
  const index = new Array<number>(dims.length).fill(0)
  let from = 0
  for (let to = 0; to < data.length; to++) {
    data[to] = t.data[from]!
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      from += strides[axis]!
      if (++index[axis]! < dims[axis]!) break
      from -= strides[axis]! * dims[axis]!
      index[axis] = 0
    }
  }
  return tensor(t.dtype, dims, data)
}

/** Concatenation of small tensors of one type. */
export function concatTensors(parts: readonly Tensor[], axis: number): Tensor | undefined {
  const first = parts[0]!
  const length = parts.reduce((n, t) => n + t.dims[axis]!, 0)
  const dims = first.dims.map((d, i) => (i === axis ? length : d))
  if (sizeOf(dims) > foldLimit || parts.some((t) => t.dtype !== first.dtype)) return undefined
  const outer = sizeOf(dims.slice(0, axis))
  const data = allocate(first.dtype, sizeOf(dims))
  let at = 0
  for (let o = 0; o < outer; o++) {
    for (const t of parts) {
      const run = sizeOf(t.dims.slice(axis))
      for (let i = 0; i < run; i++) data[at++] = t.data[o * run + i]!
    }
  }
  return tensor(first.dtype, dims, data)
}

/** Gather on constant data: indices of any rank, negative ones counted from the end. */
export function gatherTensor(t: Tensor, indices: Tensor, axis: number): Tensor | undefined {
  const length = t.dims[axis]!
  const dims = [...t.dims.slice(0, axis), ...indices.dims, ...t.dims.slice(axis + 1)]
  if (sizeOf(dims) > foldLimit) return undefined
  const taken = takeAlong(t, axis, toNumbers(indices).map((i) => (i < 0 ? i + length : i)))
  return tensor(t.dtype, dims, taken.data)
}

/** The same elements under other dims, without a copy. */
export function reshapeTensor(t: Tensor, dims: readonly number[]): Tensor {
  return tensor(t.dtype, dims, t.data)
}

/** Cast between the types that plain numbers stand for; undefined for the rest. */
export function castTensor(t: Tensor, to: DType): Tensor | undefined {
  if (t.dtype === to) return t
  const hard = (d: DType): boolean => d === 'string' || d === 'float16' || d === 'bfloat16'
  if (hard(t.dtype) || hard(to) || t.data.length > foldLimit) return undefined
  if (to === 'bool') return fill(to, t.dims, (i) => (Number(t.data[i]) !== 0 ? 1 : 0))
  if (isFloat(to) || !isFloat(t.dtype)) return fill(to, t.dims, (i) => t.data[i] as number | bigint)
  // Out of range and not-a-number are the runtime's own affair.
  const whole = Array.from(t.data as ArrayLike<number>, Math.trunc)
  return whole.every((v) => Math.abs(v) < 2 ** 31) ? fill(to, t.dims, (i) => whole[i]!) : undefined
}

function pick(t: Tensor, dims: readonly number[], offsets: readonly number[]): Tensor {
  const data = allocate(t.dtype, offsets.length)
  offsets.forEach((o, i) => (data[i] = t.data[o]!))
  return tensor(t.dtype, dims, data)
}

/** Folds a node with one constant data input by `f`. */
export function foldFirst(f: (t: Tensor, node: Node) => Tensor | undefined): Fold {
  return (node, inputs) => {
    const out = inputs[0] && f(inputs[0], node)
    return out && [out]
  }
}
