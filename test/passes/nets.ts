/** @file Small nets for the passes' tests, and the runtime to compare them before and after. */
import type { Tensor as OrtTensor } from 'onnxruntime-node'
import type { AttributeInit } from '../../src/ir/attributes.ts'
import { addInitializer, addInput, addNode } from '../../src/ir/edit.ts'
import { createModel, type Dim, Graph, type Model, type Value } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import type { DType } from '../../src/tensor/dtype.ts'
import { runOnRandom, worstDifference } from '../onnx/ort.ts'

/** Writes a net in a few lines: `op` returns the first output. */
export class Net {
  readonly graph = new Graph('net')
  private count = 0

  input(name: string, shape: readonly Dim[], dtype: DType = 'float32'): Value {
    return addInput(this.graph, name, dtype, shape)
  }

  constant(name: string, content: Tensor): Value {
    return addInitializer(this.graph, name, content)
  }

  /** Seeded random weights. */
  weights(name: string, dims: readonly number[], low = -1, high = 1): Value {
    const rng = createRng(name)
    return this.constant(name, f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.uniform(low, high)), dims))
  }

  op(type: string, inputs: readonly (Value | undefined)[], attributes: Record<string, AttributeInit> = {}, outputs?: readonly string[]): Value {
    return addNode(this.graph, type, inputs, outputs ?? [`${type.toLowerCase()}${++this.count}`], attributes).outputs[0]!
  }

  /** Closes the net. */
  model(opset: number, ...outputs: Value[]): Model {
    this.graph.outputs.push(...outputs)
    const model = createModel(this.graph, opset)
    verify(this.graph)
    return model
  }
}

/** max|difference| / max|reference| of two models on the same random inputs. */
export async function difference(a: Model, b: Model, inputs?: Record<string, OrtTensor>): Promise<number> {
  verify(a.graph)
  return worstDifference(await runOnRandom(serializeModel(a), { inputs }), await runOnRandom(serializeModel(b), { inputs }))
}
