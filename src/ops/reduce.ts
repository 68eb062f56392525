/** @file Reductions over axes, given by attribute or by input, and ArgMax/ArgMin. */
import { intAttribute } from '../ir/attributes.ts'
import { type Dim, dimsOf, type Node, type Value } from '../ir/graph.ts'
import type { Emitter } from './emitter.ts'
import { type ChannelRule, notDifferentiable, type OpDef, type ShapeRule, type Vjp } from './define.ts'
import { inputOf, intsOf, link, outputOf, ref, typed, wrapAxis } from './rules.ts'

/** The reduced axes, non-negative; undefined where they are computed in the graph. */
function reducedAxes(node: Node): number[] | undefined {
  const rank = inputOf(node, 0).shape?.length
  if (rank === undefined) return undefined
  const given = node.attributes.has('axes') || node.inputs[1] ? intsOf(node, 'axes', 1) : []
  if (given === undefined) return undefined
  if (given.length > 0) return given.map((a) => wrapAxis(a, rank))
  return intAttribute(node, 'noop_with_empty_axes', 0) ? [] : Array.from({ length: rank }, (_, i) => i)
}

function reducedShape(node: Node, axes: readonly number[] | undefined): readonly Dim[] | undefined {
  const shape = inputOf(node, 0).shape
  const keep = intAttribute(node, 'keepdims', 1) !== 0
  if (!shape) return undefined
  if (!axes) return keep ? shape.map(() => undefined) : undefined
  return keep ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i))
}

const shape: ShapeRule = (node) => typed(inputOf(node, 0).dtype, reducedShape(node, reducedAxes(node)))

/** Ties the axes that stay; `reduced` says what becomes of the others. */
function channels(reduced: 'contract' | string, axesOf: (node: Node) => readonly number[] | undefined = reducedAxes): ChannelRule {
  return (node) => {
    const x = inputOf(node, 0)
    const axes = axesOf(node)
    if (!axes || !x.shape) return { links: [] }
    const keep = intAttribute(node, 'keepdims', 1) !== 0
    const gone = axes.map((axis) => ref(x, axis))
    const links = x.shape.flatMap((_, axis) => {
      if (axes.includes(axis)) return []
      const to = keep ? axis : axis - axes.filter((a) => a < axis).length
      return [link(ref(x, axis), ref(outputOf(node), to))]
    })
    return reduced === 'contract' ? { links, contracts: gone } : { links, blocked: gone.map((at) => ({ ref: at, reason: reduced })) }
  }
}

/** A result or its cotangent with the reduced axes kept as length 1, so that it broadcasts against the input. */
function kept(b: Emitter, value: Value, node: Node, axes: readonly number[]): Value {
  if (intAttribute(node, 'keepdims', 1)) return value
  return b.reshape(value, dimsOf(inputOf(node, 0)).map((d, i) => (axes.includes(i) ? 1 : d)))
}

/** Gradient by a rule on the kept forms of cotangent and result (made only when asked for). */
function reduceVjp(rule: (b: Emitter, dy: Value, x: Value, axes: readonly number[], y: () => Value) => Value): Vjp {
  return (b, node, [dy]) => {
    const gradient = (flowing: Value): Value => {
      const axes = reducedAxes(node)
      if (!axes) throw new Error(`${node.opType} "${node.name}": the gradient needs constant axes`)
      return rule(b, kept(b, flowing, node, axes), inputOf(node, 0), axes, () => kept(b, outputOf(node), node, axes))
    }
    return [dy && (() => gradient(dy))]
  }
}

const expandTo = (b: Emitter, v: Value, x: Value): Value => b.op('Expand', [v, b.ints(dimsOf(x))])

const mean = reduceVjp((b, dy, x, axes) => {
  const dims = dimsOf(x)
  return expandTo(b, b.mul(dy, b.scalar(1 / axes.reduce((n, axis) => n * dims[axis]!, 1))), x)
})

/** The extremum's gradient is shared equally among equal elements (as torch's amax does). */
const extremum = reduceVjp((b, dy, x, axes, y) => {
  const hit = b.cast(b.op('Equal', [x, y()]), 'float32')
  return b.mul(hit, b.div(dy, b.sum(hit, axes, true)))
})

/** x / |x|; zero where the norm is zero. */
const l2 = reduceVjp((b, dy, x, _, y) => b.mul(dy, b.div(x, b.op('Max', [y(), b.scalar(1e-30)]))))

function reduction(type: string, vjp: OpDef['vjp'], reduced: 'contract' | string): OpDef {
  return { type, shape, vjp, channels: channels(reduced) }
}

/** Position of the largest or smallest element: int64. */
function arg(type: string): OpDef {
  const axes = (node: Node): number[] | undefined => {
    const rank = inputOf(node, 0).shape?.length
    return rank === undefined ? undefined : [wrapAxis(intAttribute(node, 'axis', 0), rank)]
  }
  return {
    type,
    shape: (node) => typed('int64', reducedShape(node, axes(node))),
    vjp: notDifferentiable,
    channels: channels('the position found counts along this axis', axes),
    selects: true,
  }
}

export const reduce: readonly OpDef[] = [
  reduction('ReduceSum', reduceVjp((b, dy, x) => expandTo(b, dy, x)), 'contract'),
  reduction('ReduceL1', reduceVjp((b, dy, x) => b.mul(dy, b.op('Sign', [x]))), 'contract'),
  // Squares of numbers that float16 holds may lie beyond it.
  { ...reduction('ReduceL2', l2, 'contract'), float32: 'all' },
  { ...reduction('ReduceSumSquare', reduceVjp((b, dy, x) => b.mul(b.mul(dy, b.scalar(2)), x)), 'contract'), float32: 'all' },
  reduction('ReduceLogSum', reduceVjp((b, dy, x, _, y) => expandTo(b, b.div(dy, b.op('Exp', [y()])), x)), 'contract'),
  reduction('ReduceMean', mean, 'the mean over this axis counts its length'),
  reduction('ReduceMax', extremum, 'a zero takes part in the maximum over this axis'),
  reduction('ReduceMin', extremum, 'a zero takes part in the minimum over this axis'),
  reduction('ReduceLogSumExp', reduceVjp((b, dy, x, _, y) => b.mul(dy, b.op('Exp', [b.sub(x, y())]))), 'a zero adds exp(0) to the sum over this axis'),
  reduction('ReduceProd', notDifferentiable, 'a zero makes the product over this axis zero'),
  arg('ArgMax'),
  arg('ArgMin'),
]
