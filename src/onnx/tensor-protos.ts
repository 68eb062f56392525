/** @file All tensors of a model's protobuf message: initializers, attributes, those of functions and training info. */
import type { AttributeProto, GraphProto, ModelProto, TensorProto } from 'onnx-buf'

interface FoundTensor {
  readonly tensor: TensorProto
  /** What it is in the model, for messages. */
  readonly what: string
}

export function tensorProtos(model: ModelProto): FoundTensor[] {
  const found: FoundTensor[] = []
  const visit = (tensor: TensorProto | undefined, what: string): void => {
    if (tensor) found.push({ tensor, what })
  }
  const attribute = (a: AttributeProto, what: string): void => {
    visit(a.t, what)
    for (const t of a.tensors) visit(t, what)
    for (const s of a.sparseTensor ? [a.sparseTensor, ...a.sparseTensors] : a.sparseTensors) {
      visit(s.values, what)
      visit(s.indices, what)
    }
    if (a.g) graph(a.g)
    for (const g of a.graphs) graph(g)
  }
  const graph = (g: GraphProto): void => {
    for (const t of g.initializer) visit(t, `initializer "${t.name}"`)
    for (const node of g.node) for (const a of node.attribute) attribute(a, `attribute "${a.name}" of ${node.opType} "${node.name}"`)
  }
  if (model.graph) graph(model.graph)
  for (const f of model.functions) for (const node of f.node) for (const a of node.attribute) attribute(a, `attribute "${a.name}" in function "${f.name}"`)
  for (const info of model.trainingInfo) for (const g of [info.initialization, info.algorithm]) if (g) graph(g)
  return found
}
