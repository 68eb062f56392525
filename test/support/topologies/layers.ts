/** @file Layers for the topologies that tests are run on: seeded random weights, activations of about unit size at any depth. */
import { createModel, dimsOf, Graph, type Model, type Value } from '../../../src/ir/graph.ts'
import { Builder } from '../../../src/ops/builder.ts'
import { createRng, type Rng } from '../../../src/tensor/rng.ts'
import { f32, sizeOf } from '../../../src/tensor/tensor.ts'

export interface ConvOptions {
  readonly kernel?: number
  readonly stride?: number
  readonly group?: number
  readonly bias?: boolean
  /** Default: keeps the size at stride 1. */
  readonly pad?: number
}

export const channelsOf = (x: Value): number => dimsOf(x)[1]!

export class Layers {
  readonly b: Builder
  readonly image: Value
  private readonly rng: Rng

  constructor(name: string, input: readonly number[] = [1, 3, 64, 64], opset = 13) {
    this.b = new Builder(new Graph(name), opset)
    this.rng = createRng(name)
    this.image = this.b.input('images', 'float32', input)
  }

  weight(name: string, dims: readonly number[], scale = 1, mean = 0): Value {
    return this.b.constant(f32(Float32Array.from({ length: sizeOf(dims) }, () => mean + this.rng.normal() * scale), dims), name)
  }

  /** He's normal over fan-in. */
  conv(x: Value, out: number, options: ConvOptions = {}): Value {
    const { kernel: k = 1, stride: s = 1, group = 1, bias = false, pad: p = (k - 1) >> 1 } = options
    const dims = [out, channelsOf(x) / group, k, k]
    const name = this.b.unique('conv')
    const w = this.weight(`${name}.weight`, dims, Math.sqrt(2 / sizeOf(dims.slice(1))))
    return this.b.op('Conv', bias ? [x, w, this.weight(`${name}.bias`, [out], 0.1)] : [x, w], { kernel_shape: [k, k], strides: [s, s], pads: [p, p, p, p], group }, name)
  }

  norm(x: Value): Value {
    const name = this.b.unique('bn')
    const c = [channelsOf(x)]
    const variance = this.b.constant(f32(Float32Array.from({ length: c[0]! }, () => this.rng.uniform(0.5, 1.5))), `${name}.running_var`)
    return this.b.op('BatchNormalization', [x, this.weight(`${name}.weight`, c, 0.2, 1), this.weight(`${name}.bias`, c, 0.1), this.weight(`${name}.running_mean`, c, 0.1), variance], {}, name)
  }

  /** An operator by name; "Silu" is x times its Sigmoid, as exporters write it. */
  act(type: string, x: Value): Value {
    return type === 'Silu' ? this.b.mul(x, this.b.op('Sigmoid', [x])) : this.b.op(type, [x])
  }

  /** Conv, BatchNormalization, activation. */
  block(x: Value, out: number, options: ConvOptions = {}, act = 'Relu'): Value {
    return this.act(act, this.norm(this.conv(x, out, options)))
  }

  depthwise(x: Value, kernel: number, stride = 1): Value {
    return this.conv(x, channelsOf(x), { kernel, stride, group: channelsOf(x) })
  }

  maxPool(x: Value, kernel: number, stride: number, pad = 0): Value {
    return this.b.op('MaxPool', [x], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] })
  }

  averagePool(x: Value, kernel: number, stride: number, pad = 0): Value {
    return this.b.op('AveragePool', [x], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] })
  }

  concat(...parts: Value[]): Value {
    return this.b.op('Concat', parts, { axis: 1 })
  }

  split(x: Value, ...lengths: number[]): Value[] {
    return [...this.b.ops('Split', [x, this.b.ints(lengths)], lengths.length, { axis: 1 })]
  }

  /** Twice the size, as PyTorch exports nearest upsampling. */
  upsample(x: Value): Value {
    return this.b.op('Resize', [x, undefined, this.b.floats([1, 1, 2, 2])], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' })
  }

  /** Squeeze-excitation: a gate a channel from the mean over all positions. */
  squeezeExcite(x: Value, inner: number, act: string, gate: string): Value {
    const squeezed = this.act(act, this.conv(this.b.op('GlobalAveragePool', [x]), inner, { bias: true }))
    return this.b.mul(x, this.act(gate, this.conv(squeezed, channelsOf(x), { bias: true })))
  }

  linear(x: Value, out: number): Value {
    const name = this.b.unique('fc')
    const features = dimsOf(x)[1]!
    return this.b.op('Gemm', [x, this.weight(`${name}.weight`, [out, features], Math.sqrt(2 / features)), this.weight(`${name}.bias`, [out], 0.1)], { transB: 1 }, name)
  }

  /** Global pooling and a linear layer. */
  classifier(x: Value, classes = 10): Model {
    return this.model(this.linear(this.b.op('Flatten', [this.b.op('GlobalAveragePool', [x])], { axis: 1 }), classes))
  }

  model(...outputs: Value[]): Model {
    for (const v of outputs) this.b.output(v)
    return createModel(this.b.graph, this.b.opset)
  }
}
