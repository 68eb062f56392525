/** @file Folding a per-channel affine form (BatchNormalization) into the weights before it. */
import { f32, type Tensor } from '../tensor/tensor.ts'
import type { Affine } from './define.ts'

/** `weight` with every element times the factor of its output channel, which `channelOf` tells from the indices along axes 0 and 1; float32 only. */
export function scaleChannels(weight: Tensor, factors: Float32Array, channelOf: (i: number, j: number) => number): Tensor | undefined {
  if (!(weight.data instanceof Float32Array)) return undefined
  const [rows = 1, columns = 1] = weight.dims
  const inner = weight.data.length / Math.max(1, rows * columns)
  const out = new Float32Array(weight.data.length)
  let at = 0
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const factor = factors[channelOf(i, j)]
      if (factor === undefined) return undefined
      for (let k = 0; k < inner; k++, at++) out[at] = weight.data[at]! * factor
    }
  }
  return f32(out, weight.dims)
}

/** The bias after the affine form: scale bias + shift; a missing bias counts as zero. float32 only. */
export function shiftBias(bias: Tensor | undefined, affine: Affine): Tensor | undefined {
  if (bias && (!(bias.data instanceof Float32Array) || bias.data.length !== affine.scale.length)) return undefined
  const old = bias?.data
  return f32(affine.shift.map((s, i) => s + (old ? Number(old[i]) * affine.scale[i]! : 0)))
}
