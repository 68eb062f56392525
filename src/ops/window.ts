/** @file Sliding windows: the geometry that Conv, ConvTranspose and the pools share. */
import { intsAttribute, stringAttribute } from '../ir/attributes.ts'
import type { Dim, Node } from '../ir/graph.ts'

/** A window over the spatial axes, one entry an axis. */
export interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Padding before and after each axis; zeros where an auto_pad meets a symbolic length. */
  readonly begin: readonly number[]
  readonly end: readonly number[]
  readonly autoPad: string
}

/** Length of input that one window covers: dilation (kernel - 1) + 1. */
export function extentOf(w: Window, axis: number): number {
  return w.dilations[axis]! * (w.kernel[axis]! - 1) + 1
}

/** True where every axis has stride 1. */
export function isUnitStride(w: Window): boolean {
  return w.strides.every((s) => s === 1)
}

/** The window of a Conv or pool node over `spatial` (the input's lengths after batch and channels). */
export function windowOf(node: Node, kernel: readonly number[], spatial: readonly Dim[]): Window {
  const w = bareWindow(node, kernel)
  if (!w.autoPad.startsWith('SAME')) return w
  const begin: number[] = []
  const end: number[] = []
  spatial.forEach((length, i) => {
    const total = typeof length === 'number' ? Math.max(0, (Math.ceil(length / w.strides[i]!) - 1) * w.strides[i]! + extentOf(w, i) - length) : 0
    const first = w.autoPad === 'SAME_LOWER' ? Math.ceil(total / 2) : Math.floor(total / 2)
    begin.push(first)
    end.push(total - first)
  })
  return { ...w, begin, end }
}

/** Length of the output along spatial axis `axis`; `ceil` as the pools' ceil_mode. */
export function outputLength(w: Window, axis: number, length: Dim, ceil = false): Dim {
  const stride = w.strides[axis]!
  const total = w.begin[axis]! + w.end[axis]!
  if (typeof length !== 'number') {
    // A symbol survives only where the window keeps the length whatever it is.
    const keeps = stride === 1 && (w.autoPad.startsWith('SAME') || total === extentOf(w, axis) - 1)
    return keeps ? length : undefined
  }
  if (w.autoPad.startsWith('SAME')) return Math.ceil(length / stride)
  const room = length + total - extentOf(w, axis)
  if (!ceil) return Math.floor(room / stride) + 1
  const out = Math.ceil(room / stride) + 1
  // A last window that would start in the end padding is left out.
  return (out - 1) * stride >= length + w.begin[axis]! ? out - 1 : out
}

/** The window of a ConvTranspose node with kernel `kernel`, its output padding, and its output lengths. */
export function transposedWindow(node: Node, kernel: readonly number[], spatial: readonly Dim[]): { window: Window; outputPadding: readonly number[]; lengths: readonly Dim[] } {
  const w = bareWindow(node, kernel)
  const outputPadding = intsAttribute(node, 'output_padding') ?? kernel.map(() => 0)
  const wanted = intsAttribute(node, 'output_shape')?.slice(-kernel.length)
  if (!wanted && !w.autoPad.startsWith('SAME')) {
    const lengths = spatial.map((n, i) => typeof n === 'number' ? w.strides[i]! * (n - 1) + outputPadding[i]! + extentOf(w, i) - w.begin[i]! - w.end[i]! : undefined)
    return { window: w, outputPadding, lengths }
  }
  const begin: number[] = []
  const end: number[] = []
  const lengths = spatial.map((n, i) => {
    const length = wanted ? wanted[i]! : typeof n === 'number' ? n * w.strides[i]! : undefined
    const total = typeof n === 'number' && length !== undefined ? Math.max(0, w.strides[i]! * (n - 1) + outputPadding[i]! + extentOf(w, i) - length) : 0
    const first = w.autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2)
    begin.push(first)
    end.push(total - first)
    return length
  })
  return { window: { ...w, begin, end }, outputPadding, lengths }
}

/** The window as the attributes give it, before auto_pad. */
function bareWindow(node: Node, kernel: readonly number[]): Window {
  const rank = kernel.length
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET')
  const pads = autoPad === 'NOTSET' || autoPad === '' ? intsAttribute(node, 'pads') : undefined
  return {
    kernel,
    strides: intsAttribute(node, 'strides') ?? kernel.map(() => 1),
    dilations: intsAttribute(node, 'dilations') ?? kernel.map(() => 1),
    begin: pads?.slice(0, rank) ?? kernel.map(() => 0),
    end: pads?.slice(rank) ?? kernel.map(() => 0),
    autoPad,
  }
}
