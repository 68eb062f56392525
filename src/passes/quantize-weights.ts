/** @file Numbers in 8 bits: ranges of activations to scale and zero point, weights to int8 a channel, biases to int32. */
import { f32, roundToEven, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts'

/** The least and the largest number that a value takes. */
export interface Range {
  readonly min: number
  readonly max: number
}

/** real = scale (quantized - zeroPoint) */
export interface AffineScale {
  readonly scale: number
  /** 0..255 */
  readonly zeroPoint: number
}

/** uint8 numbers that reach over the range, zero among them exactly: padding and what a Relu cuts off are zeros. */
export function activationScale({ min, max }: Range): AffineScale {
  const low = Math.min(0, min)
  const high = Math.max(0, max)
  // float32: what the file holds, so that biases are in the very same units.
  const scale = Math.fround((high - low) / 255)
  if (scale === 0) return { scale: 1, zeroPoint: 0 }
  return { scale, zeroPoint: Math.min(255, Math.max(0, roundToEven(-low / scale))) }
}

/** Units of an int32 bias stay below; the products that are added to it have room beside it. */
const biasLimit = 2 ** 30

/** Largest magnitude of each channel of a weight along `axis`. */
function channelMagnitudes(weight: Tensor, axis: number): Float32Array {
  const most = new Float32Array(weight.dims[axis]!)
  const data = weight.data as Float32Array
  const inner = sizeOf(weight.dims.slice(axis + 1))
  for (let i = 0; i < data.length; i++) {
    const channel = Math.floor(i / inner) % most.length
    const magnitude = Math.abs(data[i]!)
    if (magnitude > most[channel]!) most[channel] = magnitude
  }
  return most
}

/** A layer that a weight serves: its bias, and the scale of its input. */
export interface WeightUse {
  readonly inputScale: number
  readonly bias: Tensor | undefined
}

/**
 * The scale of each channel of a weight along `axis`: its largest magnitude is `steps` of them. In a channel of next to no weight the scale is what the biases
 * need to fit: they count in units of input scale times weight scale.
 */
export function weightScales(weight: Tensor, axis: number, uses: readonly WeightUse[], steps: number): Float32Array {
  const scales = channelMagnitudes(weight, axis).map((most) => most / steps)
  for (const { inputScale, bias } of uses) {
    // With groups a transposed convolution's channels are those of one group: biases go through them again and again.
    bias?.data.forEach((b: unknown, i: number) => {
      const channel = i % scales.length
      scales[channel] = Math.max(scales[channel]!, Math.abs(b as number) / (inputScale * biasLimit))
    })
  }
  return scales.map((s) => (s > 0 ? s : 1))
}

/** int8, symmetric: element / scale of its channel, to the nearest. */
export function quantizeWeight(weight: Tensor, axis: number, scales: Float32Array, steps: number): Tensor {
  const data = weight.data as Float32Array
  const inner = sizeOf(weight.dims.slice(axis + 1))
  return tensor('int8', weight.dims, Int8Array.from(data, (v, i) => Math.min(steps, Math.max(-steps, roundToEven(v / scales[Math.floor(i / inner) % scales.length]!)))))
}

/** int32 biases with their scales: input scale times weight scale. */
export function quantizeBias(bias: Tensor, inputScale: number, weightScale: Float32Array): { readonly content: Tensor; readonly scales: Tensor } {
  const scales = Float32Array.from({ length: bias.data.length }, (_, i) => inputScale * weightScale[i % weightScale.length]!)
  return { content: tensor('int32', bias.dims, Int32Array.from(bias.data as Float32Array, (b, i) => roundToEven(b / scales[i]!))), scales: f32(scales) }
}
