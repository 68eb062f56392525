/** @file RoiAlign. */
import { intAttribute } from '../ir/attributes.ts'
import { notDifferentiable, type OpDef } from './define.ts'
import { inputOf, link, outputOf, ref } from './rules.ts'

export const roi: readonly OpDef[] = [
  {
    type: 'RoiAlign',
    shape: (node) => {
      const x = inputOf(node, 0)
      const boxes = inputOf(node, 1)
      return [{ dtype: x.dtype, shape: x.shape && [boxes.shape?.[0], x.shape[1], intAttribute(node, 'output_height', 1), intAttribute(node, 'output_width', 1)] }]
    },
    // The auxiliary networks build RoIAlign from differentiable pieces (detection/roi-align).
    vjp: notDifferentiable,
    channels: (node) => ({
      links: [link(ref(inputOf(node, 0), 1), ref(outputOf(node), 1))],
      blocked: [2, 3].map((axis) => ({ ref: ref(inputOf(node, 0), axis), reason: 'RoiAlign samples positions' })),
    }),
  },
]
