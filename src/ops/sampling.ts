/** @file Ops that read a map at computed places: RoiAlign, MaxRoiPool, GridSample, DeformConv, AffineGrid. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts'
import type { Node } from '../ir/graph.ts'
import { type ChannelLinks, notDifferentiable, opaque, type OpDef } from './define.ts'
import { asStated, inputOf, link, outputOf, ref, typed } from './rules.ts'

/** Channels pass; the positions, and what says where to read, stay whole. */
function channelsAlone(node: Node): ChannelLinks {
  const x = inputOf(node, 0)
  return {
    links: [link(ref(x, 1), ref(outputOf(node), 1))],
    blocked: (x.shape ?? []).map((_, axis) => axis).slice(2).map((axis) => ({ ref: ref(x, axis), reason: `${node.opType} samples positions` })),
  }
}

export const sampling: readonly OpDef[] = [
  {
    type: 'RoiAlign',
    shape: (node) => {
      const x = inputOf(node, 0)
      const boxes = inputOf(node, 1)
      return typed(x.dtype, x.shape && [boxes.shape?.[0], x.shape[1], intAttribute(node, 'output_height', 1), intAttribute(node, 'output_width', 1)])
    },
    // The auxiliary networks build RoIAlign from differentiable pieces (detection/roi-align).
    vjp: notDifferentiable,
    channels: channelsAlone,
  },
  {
    type: 'MaxRoiPool',
    shape: (node) => {
      const x = inputOf(node, 0)
      return typed(x.dtype, x.shape && [inputOf(node, 1).shape?.[0], x.shape[1], ...(intsAttribute(node, 'pooled_shape') ?? [])])
    },
    vjp: notDifferentiable,
    channels: channelsAlone,
    // A pixel's bin hangs on how its box is rounded.
    selects: true,
  },
  {
    type: 'GridSample',
    shape: (node) => {
      const x = inputOf(node, 0)
      const grid = inputOf(node, 1).shape
      return typed(x.dtype, x.shape && grid && [x.shape[0], x.shape[1], ...grid.slice(1, -1)])
    },
    vjp: notDifferentiable,
    channels: channelsAlone,
  },
  { type: 'AffineGrid', shape: asStated, vjp: notDifferentiable, channels: opaque('its coordinates are no channels') },
  { type: 'DeformConv', shape: asStated, vjp: notDifferentiable, channels: opaque('its offsets are tied to its kernel and its groups in ways that are not followed') },
]
