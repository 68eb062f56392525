/** @file Softmax, LogSoftmax and Hardmax; before opset 13 they coerce to two dimensions from their axis on. */
import { intAttribute } from '../ir/attributes.ts'
import type { Node } from '../ir/graph.ts'
import type { ChannelRule, OpDef } from './define.ts'
import { inputOf, link, outputOf, ref, sameAs, unaryVjp, wrapAxis, zeroGradient } from './rules.ts'

function axisOf(node: Node, opset: number): number {
  return wrapAxis(intAttribute(node, 'axis', opset < 13 ? 1 : -1), inputOf(node, 0).shape?.length ?? 0)
}

const channels: ChannelRule = (node, { opset }) => {
  const x = inputOf(node, 0)
  const normalised = axisOf(node, opset)
  const mixed = (axis: number): boolean => (opset < 13 ? axis >= normalised : axis === normalised)
  const axes = (x.shape ?? []).map((_, axis) => axis)
  return {
    links: axes.filter((a) => !mixed(a)).map((axis) => link(ref(x, axis), ref(outputOf(node), axis))),
    blocked: axes.filter(mixed).map((axis) => ({ ref: ref(x, axis), reason: `${node.opType} normalises over this axis` })),
  }
}

export const softmax: readonly OpDef[] = [
  {
    type: 'Softmax',
    shape: sameAs(0),
    // dx = y (dy - sum(dy y))
    vjp: unaryVjp((b, dy, _, y) => {
      const axis = axisOf(y.producer!, b.opset)
      return b.mul(y, b.sub(dy, b.sum(b.mul(dy, y), [axis], true)))
    }),
    channels,
  },
  {
    type: 'LogSoftmax',
    shape: sameAs(0),
    // dx = dy - softmax sum(dy)
    vjp: unaryVjp((b, dy, _, y) => b.sub(dy, b.mul(b.op('Exp', [y]), b.sum(dy, [axisOf(y.producer!, b.opset)], true)))),
    channels,
  },
  { type: 'Hardmax', shape: sameAs(0), vjp: zeroGradient, channels, selects: true },
]
