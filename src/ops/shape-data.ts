/** @file What is known of small vectors (shapes, axes, targets) without running the graph: numbers, and symbols of axes. */
import { intAttribute, intsAttribute, tensorAttribute } from '../ir/attributes.ts'
import { type Dim, type Node, staticShape, type Value } from '../ir/graph.ts'
import { isFloat } from '../tensor/dtype.ts'
import { sizeOf, type Tensor, toNumbers } from '../tensor/tensor.ts'

/** Longer vectors hold data, not shapes. */
const longest = 64

type Content = readonly Dim[] | undefined
type Memo = Map<Value, Content>

/**
 * Elements of a scalar or a vector as far as they follow from constants and shapes; undefined where not even their
 * number is known. An element is a number, the symbol of an axis, or undefined.
 */
export function contentOf(value: Value | undefined): Content {
  return value && evaluate(value, new Map())
}

/** The elements of `value` where all of them are known numbers. */
export function numbersOf(value: Value | undefined): number[] | undefined {
  if (value?.initializer) return value.initializer.dtype === 'string' ? undefined : toNumbers(value.initializer)
  const content = contentOf(value)
  return content?.every((v) => typeof v === 'number') ? [...content] : undefined
}

function evaluate(value: Value, memo: Memo): Content {
  if (memo.has(value)) return memo.get(value)
  const content = value.initializer ? ofTensor(value.initializer) : ofNode(value, memo)
  const known = content && content.length <= longest ? content : undefined
  memo.set(value, known)
  return known
}

function ofTensor(t: Tensor): Content {
  return t.dims.length > 1 || sizeOf(t.dims) > longest || t.dtype === 'string' ? undefined : toNumbers(t)
}

function ofNode(value: Value, memo: Memo): Content {
  const node = value.producer
  if (!node || node.domain !== '' || (value.shape && value.shape.length > 1)) return undefined
  const rule = rules[node.opType]
  const content = rule?.(node, (i) => {
    const input = node.inputs[i]
    return input && evaluate(input, memo)
  })
  if (content) return content
  // Nothing known of the elements, but of their number.
  const dims = staticShape(value)
  return dims && sizeOf(dims) <= longest ? new Array<Dim>(sizeOf(dims)).fill(undefined) : undefined
}

type Rule = (node: Node, input: (index: number) => Content) => Content

const same: Rule = (_, input) => input(0)

const rules: Readonly<Record<string, Rule>> = {
  Shape(node) {
    const shape = node.inputs[0]?.shape
    return shape?.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', shape.length))
  },
  Constant(node) {
    const t = tensorAttribute(node, 'value')
    if (t) return ofTensor(t)
    const a = node.attributes.get('value_int') ?? node.attributes.get('value_float')
    return a?.kind === 'int' || a?.kind === 'float' ? [Number(a.value)] : intsAttribute(node, 'value_ints')
  },
  Size(node) {
    const dims = node.inputs[0] && staticShape(node.inputs[0])
    return dims && [sizeOf(dims)]
  },
  Identity: same,
  Squeeze: same,
  Unsqueeze: same,
  Reshape: same,
  Flatten: same,
  Cast(node, input) {
    const to = node.outputs[0]?.dtype
    const integer = to !== undefined && !isFloat(to)
    return input(0)?.map((v) => (typeof v === 'number' && integer ? Math.trunc(v) : v))
  },
  Floor: (_, input) => input(0)?.map((v) => (typeof v === 'number' ? Math.floor(v) : undefined)),
  Ceil: (_, input) => input(0)?.map((v) => (typeof v === 'number' ? Math.ceil(v) : undefined)),
  Gather(_, input) {
    const data = input(0)
    return data && input(1)?.map((i) => (typeof i === 'number' ? data.at(i) : undefined))
  },
  Slice(node, input) {
    const data = input(0)
    const read = (name: string, index: number): Content => intsAttribute(node, name) ?? input(index)
    const [start] = read('starts', 1) ?? []
    const [end] = read('ends', 2) ?? []
    const [step] = node.inputs[4] ? (input(4) ?? []) : [1]
    if (!data || typeof start !== 'number' || typeof end !== 'number' || typeof step !== 'number') return undefined
    return sliceIndices({ start, end, step }, data.length).map((i) => data[i])
  },
  Concat(node, input) {
    const parts = node.inputs.map((_, i) => input(i))
    return parts.every((p) => p !== undefined) ? parts.flat() : undefined
  },
  Add: (_, input) => combine(input, (a, b) => a + b, 0),
  Sub: (_, input) => combine(input, (a, b) => a - b),
  Mul: (_, input) => combine(input, (a, b) => a * b, 1),
  Div(node, input) {
    const dtype = node.inputs[0]?.dtype
    const integer = dtype !== undefined && !isFloat(dtype)
    return combine(input, (a, b) => (integer ? Math.trunc(a / b) : a / b))
  },
}

/** Elementwise on numbers, with broadcasting of single elements; a symbol survives next to the neutral element. */
function combine(input: (index: number) => Content, f: (a: number, b: number) => number, neutral?: number): Content {
  const a = input(0)
  const b = input(1)
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const x = a[a.length === 1 ? 0 : i]
    const y = b[b.length === 1 ? 0 : i]
    if (typeof x === 'number' && typeof y === 'number') return f(x, y)
    return neutral === undefined ? undefined : x === neutral ? y : y === neutral ? x : undefined
  })
}

/** One axis of a Slice, as the op gives it: negative and out-of-range bounds allowed. */
export interface SliceRange {
  readonly start: number
  readonly end: number
  readonly step: number
}

/** First index, step and number of elements that a slice takes from an axis of `length`. */
export function resolveSlice({ start, end, step }: SliceRange, length: number): { start: number; step: number; count: number } {
  const wrap = (i: number): number => (i < 0 ? i + length : i)
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1]
  const clamp = (i: number): number => Math.min(Math.max(wrap(i), low), high)
  // A negative step starts at the last element at most, and an end below -length means "down to the first".
  const first = step > 0 ? clamp(start) : Math.min(Math.max(wrap(start), 0), length - 1)
  const count = Math.max(0, Math.ceil((clamp(end) - first) / step))
  return { start: first, step, count }
}

/** The indices that a slice takes, in order. */
export function sliceIndices(range: SliceRange, length: number): number[] {
  const { start, step, count } = resolveSlice(range, length)
  return Array.from({ length: count }, (_, k) => start + k * step)
}
