/**
 * @file Gradients of convolutions as graphs. Which form is used where was chosen by measuring processor time on
 * onnxruntime's CPU kernels (bench of the layers of ResNets at 300x300, batch 8).
 */
import { dimsOf, type Value } from '../ir/graph.ts'
import { f32, sizeOf } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import { extentOf, isUnitStride, outputLength, type Window } from './window.ts'

/** Below this many positions of a map the flip of the kernel costs more than ConvTranspose's scattering. */
const smallMap = 128
/** With at most this many input channels single taps make matrix products too thin. */
const fewChannels = 8

/**
 * Gradient of a convolution's input.
 * @param dy cotangent of the output [N,O,...T]
 * @param kernel [O,C/groups,...k]
 * @param spatial the input's lengths, which a strided convolution's output does not tell
 */
export function inputGradient(b: Emitter, dy: Value, kernel: Value, w: Window, groups: number, spatial: readonly number[]): Value {
  const lengths = dimsOf(dy).slice(2)
  const begin = w.begin.map((p, i) => extentOf(w, i) - 1 - p)
  const end = spatial.map((n, i) => n + extentOf(w, i) - 1 - lengths[i]! - begin[i]!)
  const attributes = { kernel_shape: w.kernel, dilations: w.dilations, group: groups }
  const flips = sizeOf(w.kernel) > 1
  const small = flips && groups === 1 && sizeOf(lengths) <= smallMap
  if (isUnitStride(w) && !small && begin.every((p) => p >= 0) && end.every((p) => p >= 0)) {
    return b.op('Conv', [dy, backwardKernel(b, kernel, groups)], { ...attributes, pads: [...begin, ...end] }, 'dx')
  }
  const leftover = spatial.map((n, i) => n + w.begin[i]! + w.end[i]! - extentOf(w, i) - w.strides[i]! * (lengths[i]! - 1))
  return b.op('ConvTranspose', [dy, kernel], { ...attributes, strides: w.strides, pads: [...w.begin, ...w.end], output_padding: leftover }, 'dx')
}

/** Gradient of a ConvTranspose's input: the Conv it is the transpose of. */
export function transposedInputGradient(b: Emitter, dy: Value, kernel: Value, w: Window, groups: number, spatial: readonly number[]): Value {
  const dx = b.op('Conv', [dy, kernel], { kernel_shape: w.kernel, strides: w.strides, dilations: w.dilations, group: groups, pads: [...w.begin, ...w.end] }, 'dx')
  const lengths = dimsOf(dy).slice(2).map((_, i) => outputLength(w, i, dimsOf(dy)[i + 2]))
  // Output padding as long as a stride adds positions that no input has.
  if (lengths.every((n, i) => n === spatial[i])) return dx
  return b.op('Slice', [dx, b.ints(spatial.map(() => 0)), b.ints(spatial), b.ints(spatial.map((_, i) => i + 2))])
}

/** [O,C/g,...k] -> [C,O/g,...k] with every spatial axis reversed. */
function backwardKernel(b: Emitter, kernel: Value, groups: number): Value {
  const [o = 1, c = 1, ...k] = dimsOf(kernel)
  const taps = sizeOf(k)
  const flat = b.reshape(kernel, [groups, o / groups, c, taps])
  // A product with the reversed identity turns the taps round in half the time of a Slice with negative steps.
  const flipped = taps === 1 ? flat : b.op('MatMul', [flat, b.constant(reversal(taps), 'reversal')])
  return b.reshape(c === 1 ? flipped : b.transpose(flipped, [0, 2, 1, 3]), [groups * c, o / groups, ...k])
}

function reversal(n: number): ReturnType<typeof f32> {
  return f32(Float32Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) + (i % n) === n - 1 ? 1 : 0)), [n, n])
}

/**
 * Gradient of a convolution's kernel: the sum over images and positions of dy . x, tap by tap.
 * @param x input [N,C,...S]
 * @param dy cotangent of the output [N,O,...T]
 * @returns [O,C/groups,...k]
 */
export function kernelGradient(b: Emitter, x: Value, dy: Value, w: Window, groups: number): Value {
  const [, c = 1] = dimsOf(x)
  const [n = 1, o = 1, ...lengths] = dimsOf(dy)
  const positions = sizeOf(lengths)
  const taps = sizeOf(w.kernel)
  if (groups > 1 && groups === c && groups === o) return depthwiseKernelGradient(b, x, dy, w)
  if (groups > 1) return tapwise(b, x, w, lengths, [groups, o / groups, c / groups], groupedTap(b, dy, [n, groups, o / groups, positions]))
  if (c <= fewChannels && lengths.length === 2 && taps > 1) return rowwise(b, x, dy, w)
  // The sums over the images of [O,C] products against one transposition of both maps.
  if (taps * o * c > 3 * (o + c) * positions) return tapwise(b, channelsLast(b, x), w, lengths, [1, o, c], foldedTap(b, dy, n, positions), 1)
  if (!isUnitStride(w)) return tapwise(b, channelsLast(b, x), w, lengths, [1, o, c], lastTap(b, dy, [n, o, positions]), 1)
  return tapwise(b, x, w, lengths, [1, o, c], groupedTap(b, dy, [n, 1, o, positions]))
}

type Tap = (x: Value, channels: number) => Value

/** dy . x^T for each image and group: [N,g,C/g,T] -> [g,O/g,C/g]. The runtime fuses the transposition into the product. */
function groupedTap(b: Emitter, dy: Value, [n, g, o, t]: readonly [number, number, number, number]): Tap {
  const left = b.reshape(dy, g === 1 ? [n, o, t] : [n, g, o, t])
  return (x, channels) => {
    const right = b.reshape(x, g === 1 ? [n, channels, t] : [n, g, channels / g, t])
    return b.sum(b.op('MatMul', [left, b.transpose(right, g === 1 ? [0, 2, 1] : [0, 1, 3, 2])]), [0])
  }
}

/** As groupedTap, for taps with the channels last. */
function lastTap(b: Emitter, dy: Value, [n, o, t]: readonly [number, number, number]): Tap {
  const left = b.reshape(dy, [n, o, t])
  return (x, channels) => b.sum(b.op('MatMul', [left, b.reshape(x, [n, t, channels])]), [0])
}

/** One product over all images, for taps with the channels last. */
function foldedTap(b: Emitter, dy: Value, n: number, t: number): Tap {
  const o = dimsOf(dy)[1]!
  const left = b.reshape(b.transpose(b.reshape(dy, [n, o, t]), [1, 0, 2]), [o, n * t])
  return (x, channels) => b.op('MatMul', [left, b.reshape(x, [n * t, channels])])
}

function channelsLast(b: Emitter, x: Value): Value {
  const rank = dimsOf(x).length
  return b.transpose(x, [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1])
}

/** A product for every tap of the kernel. `first` is the first spatial axis of x: 2, or 1 with the channels last. */
function tapwise(b: Emitter, x: Value, w: Window, lengths: readonly number[], [g, o, c]: readonly [number, number, number], tap: Tap, first = 2): Value {
  const padded = fit(b, x, w, lengths, first)
  const axes = lengths.map((_, i) => i + first)
  const single = isUnitStride(w) && w.kernel.every((k) => k === 1)
  const parts = [...places(w.kernel)].map((place) => {
    const starts = place.map((p, i) => p * w.dilations[i]!)
    const ends = starts.map((s, i) => s + w.strides[i]! * (lengths[i]! - 1) + 1)
    const seen = single ? padded : b.op('Slice', [padded, b.ints(starts), b.ints(ends), b.ints(axes), b.ints(w.strides)])
    return b.reshape(tap(seen, g * c), [g * o, 1, c])
  })
  // Side by side within an output channel, the taps need only their own transposition there: a whole one is three times as slow.
  const joined = parts.length === 1 ? parts[0]! : b.transpose(b.op('Concat', parts, { axis: 1 }), [0, 2, 1])
  return b.reshape(joined, [g * o, c, ...w.kernel], 'dw')
}

/** Few input channels: the columns of a kernel row side by side as channels, one product a kernel row. */
function rowwise(b: Emitter, x: Value, dy: Value, w: Window): Value {
  const [n = 1, c = 1] = dimsOf(x)
  const [, o = 1, rows = 1, columns = 1] = dimsOf(dy)
  const [kh = 1, kw = 1] = w.kernel
  const [sh = 1, sw = 1] = w.strides
  const [dh = 1, dw = 1] = w.dilations
  const padded = fit(b, x, w, [rows, columns], 2)
  const height = sh * (rows - 1) + extentOf(w, 0)
  const left = b.reshape(dy, [n, o, rows * columns])
  // Rows are parted by their remainder modulo the stride, so that a kernel row is a plain range of one part.
  const part = new Map<number, Value>()
  const partOf = (rest: number): Value => {
    let made = part.get(rest)
    if (!made) {
      const seen = Array.from({ length: kw }, (_, j) =>
        b.op('Slice', [padded, b.ints([rest, j * dw]), b.ints([height, j * dw + sw * (columns - 1) + 1]), b.ints([2, 3]), b.ints([sh, sw])]))
      made = b.op('Concat', seen, { axis: 1 })
      part.set(rest, made)
    }
    return made
  }
  const products = Array.from({ length: kh }, (_, i) => {
    const at = Math.floor((i * dh) / sh)
    const band = b.op('Slice', [partOf((i * dh) % sh), b.ints([at]), b.ints([at + rows]), b.ints([2])])
    const right = b.transpose(b.reshape(band, [n, kw * c, rows * columns]), [0, 2, 1])
    return b.reshape(b.sum(b.op('MatMul', [left, right]), [0]), [o, 1, kw, c])
  })
  return b.transpose(b.op('Concat', products, { axis: 1 }), [0, 3, 1, 2], 'dw')
}

/** Every channel of every image is a group of one convolution whose kernel is dy; strides and dilations change places. */
function depthwiseKernelGradient(b: Emitter, x: Value, dy: Value, w: Window): Value {
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const lengths = dimsOf(dy).slice(2)
  const end = missing(w, spatial, lengths)
  const cropped = crop(b, x, spatial, end, 2)
  const taps = b.op('Conv', [
    b.reshape(cropped, [1, n * c, ...spatial.map((s, i) => s + Math.min(0, end[i]!))]),
    b.reshape(dy, [n * c, 1, ...lengths]),
  ], { kernel_shape: lengths, strides: w.dilations, dilations: w.strides, group: n * c, pads: [...w.begin, ...end.map((e) => Math.max(0, e))] })
  return b.reshape(b.sum(b.reshape(taps, [n, c, sizeOf(w.kernel)]), [0]), [c, 1, ...w.kernel], 'dw')
}

/** x padded, and cropped at the end, to just the positions that some tap reads. */
function fit(b: Emitter, x: Value, w: Window, lengths: readonly number[], first: number): Value {
  const dims = dimsOf(x)
  const spatial = dims.slice(first, first + lengths.length)
  const end = missing(w, spatial, lengths)
  const cropped = crop(b, x, spatial, end, first)
  const after = end.map((e) => Math.max(0, e))
  if ([...w.begin, ...after].every((p) => p === 0)) return cropped
  const around = (p: readonly number[]): number[] => dims.map((_, axis) => p[axis - first] ?? 0)
  return b.op('Pad', [cropped, b.ints([...around(w.begin), ...around(after)])])
}

/** Padding (or, negative, cropping) at each end that makes x as long as the taps reach. */
function missing(w: Window, spatial: readonly number[], lengths: readonly number[]): number[] {
  return spatial.map((s, i) => w.strides[i]! * (lengths[i]! - 1) + extentOf(w, i) - s - w.begin[i]!)
}

function crop(b: Emitter, x: Value, spatial: readonly number[], end: readonly number[], first: number): Value {
  const axes = end.flatMap((e, i) => (e < 0 ? [i] : []))
  if (axes.length === 0) return x
  return b.op('Slice', [x, b.ints(axes.map(() => 0)), b.ints(axes.map((i) => spatial[i]! + end[i]!)), b.ints(axes.map((i) => i + first))])
}

/** All index tuples below `dims`, in row-major order. */
function* places(dims: readonly number[]): Generator<number[]> {
  const count = sizeOf(dims)
  for (let i = 0; i < count; i++) {
    const at: number[] = []
    let rest = i
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      at.unshift(rest % dims[axis]!)
      rest = Math.floor(rest / dims[axis]!)
    }
    yield at
  }
}

/** Gradient of a per-channel bias: dy summed over all but axis 1. Two reductions of contiguous runs are the fastest form. */
export function channelSum(b: Emitter, dy: Value): Value {
  const [n = 1, c = 1, ...spatial] = dimsOf(dy)
  if (sizeOf(spatial) === 1) return b.sum(b.reshape(dy, [n, c]), [0])
  return b.sum(b.reshape(b.sum(b.reshape(dy, [n * c, sizeOf(spatial)]), [1]), [n, c]), [0])
}
