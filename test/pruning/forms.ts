/** @file Operators in the form that a net's opset has them in: sizes as attributes in older ones, as inputs in newer ones. */
import type { Value } from '../../src/ir/graph.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import type { Net } from './nets.ts'

/** Parts of the given lengths, or `parts` equal ones that the node does not name. */
export function split({ b }: Net, x: Value, parts: readonly number[] | number, axis = 1): Value[] {
  if (typeof parts === 'number') return b.ops('Split', [x], parts, b.opset >= 18 ? { axis, num_outputs: parts } : { axis })
  return b.opset < 13 ? b.ops('Split', [x], parts.length, { axis, split: parts }) : b.ops('Split', [x, b.ints(parts)], parts.length, { axis })
}

/** Steps need opset 10. */
export function slice({ b }: Net, x: Value, starts: readonly number[], ends: readonly number[], axes: readonly number[], steps?: readonly number[]): Value {
  if (b.opset < 10) return b.op('Slice', [x], { starts, ends, axes })
  return b.op('Slice', [x, b.ints(starts), b.ints(ends), b.ints(axes), ...(steps ? [b.ints(steps)] : [])])
}

/** `pads`: before every axis, then after every axis. */
export function pad({ b }: Net, x: Value, pads: readonly number[], mode: 'constant' | 'reflect' | 'edge', value = 0): Value {
  if (b.opset < 11) return b.op('Pad', [x], { pads, mode, value: { float: value } })
  return b.op('Pad', [x, b.ints(pads), ...(mode === 'constant' ? [b.scalar(value)] : [])], { mode })
}

export function squeeze({ b }: Net, x: Value, axes: readonly number[]): Value {
  return b.opset < 13 ? b.op('Squeeze', [x], { axes }) : b.op('Squeeze', [x, b.ints(axes)])
}

export function unsqueeze({ b }: Net, x: Value, axes: readonly number[]): Value {
  return b.opset < 13 ? b.op('Unsqueeze', [x], { axes }) : b.op('Unsqueeze', [x, b.ints(axes)])
}

export function reduce({ b }: Net, type: string, x: Value, axes: readonly number[], keepdims = 1): Value {
  const byInput = b.opset >= (type === 'ReduceSum' ? 13 : 18)
  return byInput ? b.op(type, [x, b.ints(axes)], { keepdims }) : b.op(type, [x], { axes, keepdims })
}

export function clip({ b }: Net, x: Value, low: number, high: number): Value {
  if (b.opset < 11) return b.op('Clip', [x], { min: { float: low }, max: { float: high } })
  return b.op('Clip', [x, b.scalar(low), b.scalar(high)])
}

/** Upsample in opset 9, Resize from 10 on; `sizes` (all axes) only from 11 on. */
export function resize({ b }: Net, x: Value, to: { readonly scales: readonly number[] } | { readonly sizes: readonly number[] }, mode: 'nearest' | 'linear'): Value {
  // What is not given is an empty tensor, or, from opset 13 on, no input at all.
  const none = (name: string): Value | undefined => (b.opset < 13 ? b.constant(f32([]), name) : undefined)
  if ('sizes' in to && b.opset >= 11) return b.op('Resize', [x, none('roi'), none('scales'), b.ints(to.sizes)], { mode })
  const scales = b.floats('scales' in to ? to.scales : to.sizes.map((n, axis) => n / Number(x.shape![axis])), 'scales')
  if (b.opset < 10) return b.op('Upsample', [x, scales], { mode })
  return b.opset < 11 ? b.op('Resize', [x, scales], { mode }) : b.op('Resize', [x, none('roi'), scales], { mode })
}
