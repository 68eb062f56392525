/** @file Small nets for the pruning tests, drawn by seed, and a way to run them. */
import { createModel, type Dim, dimsOf, Graph, type Model, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import type { RunModel } from '../../src/pruning/certify.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { createRng, type Rng } from '../../src/tensor/rng.ts'
import { f32, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'

function randomTensor(rng: Rng, dims: readonly number[], scale = 1): Tensor {
  return f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal() * scale), dims)
}

/** Layers with random weights on a builder; weights are named after their layer. */
export class Net {
  readonly b: Builder
  readonly rng: Rng
  readonly x: Value

  constructor(seed: number, input: readonly Dim[] = [2, 3, 6, 6], opset = 17) {
    this.b = new Builder(new Graph('net'), opset)
    this.rng = createRng(seed)
    this.x = this.b.input('x', 'float32', input)
  }

  weight(name: string, dims: readonly number[], fan = sizeOf(dims.slice(1))): Value {
    return this.b.constant(randomTensor(this.rng, dims, 1 / Math.sqrt(fan)), name)
  }

  conv(name: string, x: Value, channels: number, kernel = 3, bias = true): Value {
    const w = this.weight(`${name}.w`, [channels, lengthOf(x, 1), kernel, kernel])
    return this.convWith(name, x, w, bias ? this.weight(`${name}.b`, [channels], 4) : undefined)
  }

  convWith(name: string, x: Value, w: Value, bias?: Value, group = 1): Value {
    const pad = (dimsOf(w)[2]! - 1) / 2
    return this.b.op('Conv', bias ? [x, w, bias] : [x, w], { kernel_shape: dimsOf(w).slice(2), pads: [pad, pad, pad, pad], group }, name)
  }

  /** Grouped convolution; depthwise where `group` is the number of channels. */
  grouped(name: string, x: Value, channels: number, group: number): Value {
    const w = this.weight(`${name}.w`, [channels, lengthOf(x, 1) / group, 3, 3])
    return this.convWith(name, x, w, this.weight(`${name}.b`, [channels], 4), group)
  }

  norm(name: string, x: Value): Value {
    const c = lengthOf(x, 1)
    const positive = f32(Float32Array.from({ length: c }, () => this.rng.uniform(0.5, 1.5)))
    const params = [this.weight(`${name}.scale`, [c], 1), this.weight(`${name}.bias`, [c], 1), this.weight(`${name}.mean`, [c], 1), this.b.constant(positive, `${name}.var`)]
    return this.b.op('BatchNormalization', [x, ...params], {}, name)
  }

  linear(name: string, x: Value, features: number): Value {
    const w = this.weight(`${name}.w`, [features, lengthOf(x, 1)])
    return this.b.op('Gemm', [x, w, this.weight(`${name}.b`, [features], 4)], { transB: 1 }, name)
  }

  act(type: string, x: Value): Value {
    return this.b.op(type, [x])
  }

  model(...outputs: Value[]): Model {
    for (const v of outputs) this.b.output(v)
    return createModel(this.b.graph, this.b.opset)
  }
}

/** Random inputs; a free batch is 2. */
export function inputsFor(model: Model, rng: Rng): Record<string, Tensor> {
  return Object.fromEntries(model.graph.inputs.map((v) => [v.name, randomTensor(rng, v.shape!.map((d) => (typeof d === 'number' ? d : 2)))]))
}

/** The length of one axis, others may be free. */
function lengthOf(x: Value, axis: number): number {
  const length = x.shape?.[axis]
  if (typeof length !== 'number') throw new Error(`axis ${axis} of "${x.name}" has no known length`)
  return length
}

export const run: RunModel = (model, feeds, strict) => runOnce(nodeRuntime, model, feeds, { threads: 1, strict })
