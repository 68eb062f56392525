/** @file Selection and order: TopK, OneHot, NonZero, NonMaxSuppression, Compress, Unique, CumSum, ReverseSequence. */
import { intAttribute } from '../ir/attributes.ts'
import { type Dim, dimsOf, type Node, type Value } from '../ir/graph.ts'
import { notDifferentiable, opaque, type ChannelRule, type OpDef } from './define.ts'
import { asStated, inputOf, link, outputOf, ref, sameAs, typed, wrapAxis, zerosLike } from './rules.ts'
import { contentOf, numbersOf } from './shape-data.ts'

const rankOf = (v: Value): number => v.shape?.length ?? 0
const axisOf = (node: Node): number => wrapAxis(intAttribute(node, 'axis', -1), rankOf(inputOf(node, 0)))

/** Ties all axes but one of the first input to the outputs' same axes. */
function allBut(axisOf: (node: Node) => number | undefined, reason: string): ChannelRule {
  return (node) => {
    const x = inputOf(node, 0)
    const axis = axisOf(node)
    if (axis === undefined) return { links: [] }
    const others = [...(x.shape ?? []).keys()].filter((i) => i !== axis)
    return {
      links: node.outputs.flatMap((y) => (y ? others.map((i) => link(ref(x, i), ref(y, i))) : [])),
      blocked: [{ ref: ref(x, axis), reason }],
    }
  }
}

const topK: OpDef = {
  type: 'TopK',
  shape(node) {
    const x = inputOf(node, 0)
    const axis = axisOf(node)
    const k: Dim = node.inputs[1] ? contentOf(node.inputs[1])?.[0] : intAttribute(node, 'k', 1)
    const shape = x.shape?.map((d, i) => (i === axis ? k : d))
    return [{ dtype: x.dtype, shape }, { dtype: 'int64', shape }]
  },
  vjp(b, node, [dy]) {
    const dims = dimsOf(inputOf(node, 0))
    // The winners' places are all different, so nothing needs adding up.
    return [dy && (() => b.op('ScatterElements', [zerosLike(b, dims), outputOf(node, 1), dy], { axis: axisOf(node) }))]
  },
  channels: allBut(axisOf, 'TopK ranks the elements of this axis'),
  selects: true,
  float32: 'all',
}

const oneHot: OpDef = {
  type: 'OneHot',
  shape(node) {
    const indices = inputOf(node, 0).shape
    const depth = contentOf(node.inputs[1])?.[0]
    if (!indices) return typed(node.inputs[2]?.dtype, undefined)
    const axis = wrapAxis(intAttribute(node, 'axis', -1), indices.length + 1)
    return typed(node.inputs[2]?.dtype, [...indices.slice(0, axis), depth, ...indices.slice(axis)])
  },
  vjp: notDifferentiable,
  channels: opaque('OneHot makes an axis of classes'),
}

export const selection: readonly OpDef[] = [
  topK,
  oneHot,
  {
    type: 'NonZero',
    shape: (node) => typed('int64', [inputOf(node, 0).shape?.length, undefined]),
    vjp: notDifferentiable,
    channels: opaque('NonZero returns positions'),
    selects: true,
  },
  {
    type: 'NonMaxSuppression',
    shape: () => typed('int64', [undefined, 3]),
    vjp: notDifferentiable,
    channels: opaque('NonMaxSuppression returns positions of boxes and classes'),
    selects: true,
    float32: 'all',
  },
  {
    type: 'CumSum',
    shape: sameAs(0),
    // An element is in every sum from its own place on: the same sums from the other end.
    vjp: (b, node, [dy]) => [dy && (() => b.op('CumSum', [dy, node.inputs[1]], { exclusive: intAttribute(node, 'exclusive', 0), reverse: 1 - intAttribute(node, 'reverse', 0) }))],
    channels: allBut((node) => {
      const axis = numbersOf(node.inputs[1])?.[0]
      return axis === undefined ? undefined : wrapAxis(axis, rankOf(inputOf(node, 0)))
    }, 'CumSum adds up along this axis'),
    float32: 'all',
  },
  {
    type: 'Compress',
    shape(node) {
      const { dtype, shape } = inputOf(node, 0)
      const axis = node.attributes.has('axis') ? wrapAxis(intAttribute(node, 'axis', 0), shape?.length ?? 0) : undefined
      return typed(dtype, axis === undefined ? [undefined] : shape?.map((d, i) => (i === axis ? undefined : d)))
    },
    vjp: notDifferentiable,
    channels: opaque('Compress keeps what a condition tells'),
    selects: true,
  },
  {
    type: 'Unique',
    shape: asStated,
    vjp: notDifferentiable,
    channels: opaque('Unique sorts values'),
    selects: true,
  },
  {
    type: 'ReverseSequence',
    shape: sameAs(0),
    // Each sequence is turned round within its own length: doing it again undoes it.
    vjp: (b, node, [dy]) => [dy && (() => b.op('ReverseSequence', [dy, node.inputs[1]], { time_axis: intAttribute(node, 'time_axis', 0), batch_axis: intAttribute(node, 'batch_axis', 1) }))],
    channels(node) {
      const x = inputOf(node, 0)
      const turned = [intAttribute(node, 'time_axis', 0), intAttribute(node, 'batch_axis', 1)]
      return {
        links: [...(x.shape ?? []).keys()].filter((axis) => !turned.includes(axis)).map((axis) => link(ref(x, axis), ref(outputOf(node), axis))),
        blocked: turned.map((axis) => ({ ref: ref(x, axis), reason: 'ReverseSequence turns sequences of stated lengths round' })),
      }
    },
  },
]
