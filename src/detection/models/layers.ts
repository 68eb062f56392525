/** @file Layers with seeded random weights, named as torchvision names them, so that its classifiers' weights fit. */
import type { Value } from '../../ir/graph.ts'
import type { Builder } from '../../ops/builder.ts'
import type { Rng } from '../../tensor/rng.ts'
import { f32, sizeOf } from '../../tensor/tensor.ts'

/** Random weights of one layer, for any dims: those of a pruned layer too. */
export type Draw = (dims: readonly number[]) => Float32Array

/** What layers are made with: where nodes go and where random weights come from. */
export interface Maker {
  readonly b: Builder
  readonly rng: Rng
  /** Takes down how each random weight was drawn, by its name. */
  readonly draws?: Map<string, Draw>
}

export interface ConvOptions {
  readonly kernel: number
  readonly out: number
  readonly stride?: number
  /** Default: (kernel - 1) / 2 * dilation, which keeps the size at stride 1. */
  readonly pad?: number
  readonly dilation?: number
  readonly bias?: boolean
  /** He et al. 2015 normal over fan-out (trunks), or Glorot uniform (heads). */
  readonly init?: 'kaiming' | 'xavier'
}

/** Conv named `name`, weights `name.weight` [out, in, k, k] and, where wanted, `name.bias` (zero). */
export function conv(m: Maker, x: Value, name: string, options: ConvOptions): Value {
  const { kernel: k, out, stride = 1, dilation = 1 } = options
  const channels = x.shape?.[1]
  if (typeof channels !== 'number') throw new Error(`the channels of "${x.name}" are not known`)
  const pad = options.pad ?? ((k - 1) / 2) * dilation
  const dims = [out, channels, k, k]
  const draw = drawFrom(() => m.rng.fork(name), options.init ?? 'kaiming')
  m.draws?.set(`${name}.weight`, draw)
  const weight = m.b.constant(f32(draw(dims), dims), `${name}.weight`)
  const bias = options.bias ? m.b.constant(f32(new Float32Array(out)), `${name}.bias`) : undefined
  return m.b.op('Conv', bias ? [x, weight, bias] : [x, weight], {
    kernel_shape: [k, k], strides: [stride, stride], pads: [pad, pad, pad, pad], dilations: [dilation, dilation], group: 1,
  }, name)
}

/** dims: [out, in, k, k] */
function drawFrom(start: () => Rng, init: 'kaiming' | 'xavier'): Draw {
  return (dims) => {
    const rng = start()
    const [out = 1, channels = 1, ...kernel] = dims
    const kaiming = Math.sqrt(2 / (out * sizeOf(kernel)))
    const glorot = Math.sqrt(6 / ((out + channels) * sizeOf(kernel)))
    return Float32Array.from({ length: sizeOf(dims) }, init === 'xavier' ? () => rng.uniform(-glorot, glorot) : () => kaiming * rng.normal())
  }
}

/** BatchNormalization named `name`, fresh: scale 1, bias 0, mean 0, variance 1. */
export function batchNorm(m: Maker, x: Value, name: string): Value {
  const channels = x.shape?.[1] as number
  const filled = (value: number, suffix: string): Value => m.b.constant(f32(new Float32Array(channels).fill(value)), `${name}.${suffix}`)
  return m.b.op('BatchNormalization', [x, filled(1, 'weight'), filled(0, 'bias'), filled(0, 'running_mean'), filled(1, 'running_var')], { epsilon: 1e-5 }, name)
}

export function relu(m: Maker, x: Value, name: string): Value {
  return m.b.op('Relu', [x], {}, name)
}

/** Conv, BatchNormalization, ReLU: `prefix.conv<i>`, `prefix.bn<i>`, `prefix.relu<i>`. */
export function convBnRelu(m: Maker, x: Value, prefix: string, i: number, options: ConvOptions): Value {
  return relu(m, batchNorm(m, conv(m, x, `${prefix}.conv${i}`, options), `${prefix}.bn${i}`), `${prefix}.relu${i}`)
}

export function maxPool(m: Maker, x: Value, name: string, options: { kernel: number; stride: number; pad?: number; ceil?: boolean }): Value {
  const { kernel: k, stride: s, pad: p = 0 } = options
  return m.b.op('MaxPool', [x], { kernel_shape: [k, k], strides: [s, s], pads: [p, p, p, p], ceil_mode: options.ceil ? 1 : 0 }, name)
}
