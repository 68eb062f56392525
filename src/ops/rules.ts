/** @file Rules as data: what several op families share (broadcasting, axes, links). */
import { intsAttribute } from '../ir/attributes.ts'
import { dimsOf, type Dim, type Node, type Value } from '../ir/graph.ts'
import type { DType } from '../tensor/dtype.ts'
import type { Emitter } from './emitter.ts'
import type { AxisRef, ChannelRule, Link, ShapeRule, TypeInfo, Vjp } from './define.ts'
import { identity, type IndexMap } from './index-map.ts'
import { numbersOf } from './shape-data.ts'

/** Input `index` of a node that must be there. */
export function inputOf(node: Node, index: number): Value {
  const v = node.inputs[index]
  if (!v) throw new Error(`${node.opType} "${node.name}" lacks input ${index}`)
  return v
}

/** Output `index` of a node that must be there. */
export function outputOf(node: Node, index = 0): Value {
  const v = node.outputs[index]
  if (!v) throw new Error(`${node.opType} "${node.name}" lacks output ${index}`)
  return v
}

/** The output has the type of input `index`. */
export function sameAs(index: number): ShapeRule {
  return (node) => [{ dtype: node.inputs[index]?.dtype, shape: node.inputs[index]?.shape }]
}

/** What the file states of the outputs stands: they are known at run time only. */
export const asStated: ShapeRule = (node) => node.outputs.map((v) => ({ dtype: v?.dtype, shape: v?.shape }))

/** NumPy broadcasting of two shapes; throws, naming the node, when they do not fit. */
export function broadcastDims(node: Node, a: readonly Dim[], b: readonly Dim[]): Dim[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const x = i < rank - a.length ? 1 : a[i - (rank - a.length)]
    const y = i < rank - b.length ? 1 : b[i - (rank - b.length)]
    if (x === 1) return y
    if (y === 1 || x === y) return x
    if (typeof x === 'number' && typeof y === 'number') throw new Error(`${node.opType} "${node.name}": shapes [${a.join(',')}] and [${b.join(',')}] do not broadcast`)
    return typeof x === 'number' ? x : typeof y === 'number' ? y : undefined
  })
}

/** A non-negative axis. */
export function wrapAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis
}

/** Integers that older opsets give as attribute `name` and newer ones as input `index`; undefined when neither is known. */
export function intsOf(node: Node, name: string, index: number): number[] | undefined {
  return intsAttribute(node, name) ?? numbersOf(node.inputs[index])
}

export function ref(value: Value, axis: number): AxisRef {
  return { value, axis }
}

export function link(from: AxisRef, to: AxisRef, map: IndexMap = identity): Link {
  return { from, to, map }
}

/** Links every axis of `from` with the same axis of `to`. */
export function linkAll(from: Value, to: Value): Link[] {
  return (from.shape ?? []).map((_, axis) => link(ref(from, axis), ref(to, axis)))
}

/** An axis whose indices the node does not read: tied to nothing but itself, it may be cut freely as far as this node goes. */
export function free(at: AxisRef): Link {
  return link(at, at)
}

/** One output type. */
export function typed(dtype: DType | undefined, shape: readonly Dim[] | undefined): TypeInfo[] {
  return [{ dtype, shape }]
}

/** The inputs that are there. */
export function presentInputs(node: Node): Value[] {
  return node.inputs.filter((v) => v !== undefined)
}

/** NumPy broadcasting of all the values' shapes; undefined where one has no known rank. */
export function broadcastOf(node: Node, values: readonly Value[]): Dim[] | undefined {
  let out: Dim[] | undefined = []
  for (const v of values) out = out && v.shape && broadcastDims(node, out, v.shape)
  return out
}

/** The output has the first input's element type (or `dtype`) and all inputs' broadcast shape. */
export function broadcastShape(dtype?: DType): ShapeRule {
  return (node) => typed(dtype ?? node.inputs[0]?.dtype, broadcastOf(node, presentInputs(node)))
}

/**
 * Ties the axes of operands to the result they broadcast to. Axes of length 1 have nothing to cut; where lengths are not
 * known well enough to tell a broadcast from none, the axis is tied nowhere and so stays whole.
 */
export function broadcastLinks(operands: readonly Value[], result: Value): Link[] {
  const shape = result.shape
  if (!shape || operands.some((v) => !v.shape)) return []
  return shape.flatMap((_, axis) => {
    const bound = operands.flatMap((v) => {
      const own = axis - (shape.length - v.shape!.length)
      return own < 0 || v.shape![own] === 1 ? [] : [{ at: ref(v, own), length: v.shape![own] }]
    })
    const length = bound[0]?.length
    if (bound.length > 1 && bound.some((x) => x.length === undefined || x.length !== length)) return []
    return bound.map((x) => link(x.at, ref(result, axis)))
  })
}

/** Channels of an op that works element by element on all of its inputs. */
export const elementwiseChannels: ChannelRule = (node) => ({
  links: node.outputs.flatMap((out) => (out ? broadcastLinks(presentInputs(node), out) : [])),
})

/** Channels of an op whose first input goes to its outputs element by element; further inputs are settings. */
export const unaryChannels: ChannelRule = (node) => ({
  links: node.outputs.flatMap((out) => (out && node.inputs[0] ? broadcastLinks([node.inputs[0]], out) : [])),
})

/** Gradient of y = f(x), for ops with one differentiable input. */
export function unaryVjp(rule: (b: Emitter, dy: Value, x: Value, y: Value) => Value): Vjp {
  return (b, node, [dy]) => [dy && (() => rule(b, dy, inputOf(node, 0), outputOf(node)))]
}

/** Piecewise constant: the gradient is zero wherever there is one, so nothing flows back. */
export const zeroGradient: Vjp = () => []

/** Gradient of ops that only give the elements of their first input another shape. */
export const reshapeVjp: Vjp = unaryVjp((b, dy, x) => b.reshape(dy, dimsOf(x)))

/** A boolean mask as float32 zeros and ones: Cast and Mul are the fastest way to use it (Where and Sign took twice as long). */
export function masked(b: Emitter, value: Value, mask: Value): Value {
  return b.mul(value, b.cast(mask, 'float32'))
}

/** Zeros of the given dims. */
export function zerosLike(b: Emitter, dims: readonly number[]): Value {
  return b.op('Expand', [b.scalar(0), b.ints(dims)])
}
