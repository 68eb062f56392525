/** @file Inferred types and shapes against what the runtime computes. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cloneModel } from '../../src/ir/edit.ts'
import { type Model, opsetOf, type Value } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { inferShapes } from '../../src/passes/infer-shapes.ts'
import { i64 } from '../../src/tensor/tensor.ts'
import { runOnRandom, sharedModels } from '../onnx/ort.ts'
import { sharedIt } from '../support/shared.ts'
import { Net } from './nets.ts'

/** A copy without the types that the file states for computed values. */
function stripped(model: Model): Model {
  const copy = cloneModel(model).model
  for (const node of copy.graph.nodes) {
    for (const v of node.outputs) {
      if (!v) continue
      v.dtype = undefined
      v.shape = undefined
    }
  }
  return copy
}

/** Every computed value as an output, with the dims that the runtime gives it. */
async function runtimeDims(model: Model): Promise<Map<string, string>> {
  const copy = cloneModel(model).model
  const computed = copy.graph.nodes.flatMap((n) => n.outputs.filter((v) => v !== undefined)) as Value[]
  copy.graph.outputs.splice(0, Infinity, ...computed)
  const results = await runOnRandom(serializeModel(copy))
  return new Map(Object.entries(results).map(([name, t]) => [name, `${t.type}[${t.dims.join()}]`]))
}

describe('inferShapes', () => {
  for (const path of sharedModels) {
    sharedIt(path, `finds the type of every value of ${path} from its inputs alone`, async (file) => {
      const model = parseModel(readFileSync(file), file)
      const inferred = inferShapes(stripped(model))
      verify(inferred.graph)
      for (const node of inferred.graph.nodes) for (const v of node.outputs) expect(v!.initializer).toBe(undefined)
      const found = new Map(inferred.graph.nodes.flatMap((n) => n.outputs.map((v) => [v!.name, `${v!.dtype}[${v!.shape?.map((d) => d ?? '?').join()}]`])))
      expect(found).toEqual(await runtimeDims(inferred))
    }, 20000)
  }

  it('follows exported shape arithmetic when the input is static', () => {
    const net = new Net()
    const x = net.input('x', [2, 3, 4, 5])
    const first = net.op('Unsqueeze', [net.op('Gather', [net.op('Shape', [x]), net.constant('zero', i64([0], []))]), net.constant('axes', i64([0]))])
    const target = net.op('Concat', [first, net.constant('rest', i64([-1]))], { axis: 0 })
    const model = net.model(17, net.op('Reshape', [x, target]))
    expect(print(inferShapes(model).graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[2,3,4,5]) {
        zero: int64[] = initializer
        axes: int64[1] = initializer
        rest: int64[1] = initializer
        shape1: int64[4] = Shape(x)
        gather2: int64[] = Gather(shape1, zero)
        unsqueeze3: int64[1] = Unsqueeze(gather2, axes)
        concat4: int64[2] = Concat(unsqueeze3, rest) {axis=0}
        reshape5: float32[2,60] = Reshape(x, concat4)
        return reshape5
      }"
    `)
  })

  it('keeps what the file states where an op is unknown, and fills gaps', () => {
    const net = new Net()
    const x = net.input('x', ['N', 3])
    const odd = net.op('Odd', [x])
    odd.dtype = 'float32'
    odd.shape = [1, 7]
    const relu = net.op('Relu', [odd])
    relu.shape = [1, 8]
    const reshaped = net.op('Reshape', [x, net.input('shape', [2], 'int64')])
    reshaped.shape = ['A', 6]
    const inferred = inferShapes(net.model(17, relu, reshaped))
    expect([odd, relu, reshaped].map((v) => valueNamed(inferred.graph, v.name).shape)).toEqual([[1, 7], [1, 7], ['A', 6]])
    expect(valueNamed(inferred.graph, reshaped.name).dtype).toBe('float32')
    expect([relu.dtype, relu.shape, opsetOf(inferred)]).toEqual([undefined, [1, 8], 17])
  })
})
