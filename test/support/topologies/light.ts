/** @file Reads ONNX's "light" models: real topologies whose weights are left out, a ConstantOfShape in the place of each. */
import { readFileSync } from 'node:fs'
import { addInitializer, removeNode, removeUnusedInitializers, replaceUses } from '../../../src/ir/edit.ts'
import { constantOf, type Model } from '../../../src/ir/graph.ts'
import { parseModel } from '../../../src/onnx/load.ts'
import { foldConstants } from '../../../src/passes/fold-constants.ts'
import { createRng } from '../../../src/tensor/rng.ts'
import { f32, sizeOf, toNumbers } from '../../../src/tensor/tensor.ts'

/** The model with seeded random weights: He's normal for kernels, 0.5 to 1.5 for vectors (variances must be positive). */
export function readLightModel(file: string): Model {
  const model = parseModel(readFileSync(file), file)
  const { graph } = model
  for (const node of graph.nodes.slice()) {
    const shape = node.opType === 'ConstantOfShape' ? constantOf(node.inputs[0]) : undefined
    const value = node.outputs[0]
    if (!shape || !value) continue
    const dims = toNumbers(shape)
    const rng = createRng(value.name)
    const scale = Math.sqrt(2 / sizeOf(dims.slice(1)))
    const data = Float32Array.from({ length: sizeOf(dims) }, () => (dims.length > 1 ? scale * rng.normal() : rng.uniform(0.5, 1.5)))
    replaceUses(graph, value, addInitializer(graph, value.name, f32(data, dims)))
    const [shapeInput] = node.inputs
    removeNode(graph, node)
    removeUnusedInitializers(graph, [shapeInput!])
  }
  return foldConstants(model)
}
