/** @file Infers element types and shapes of all values, with shape arithmetic computed along the way. */
import { cloneModel } from '../ir/edit.ts'
import { constantOf, type Dim, type Graph, type Model, type Node, opsetOf, type Value } from '../ir/graph.ts'
import { subgraphsOf } from '../ir/walk.ts'
import { inferNode } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Constants of more elements than this are weights, not shapes: nothing is computed from them during inference. */
const shapeLimit = 4096

/** A copy of the model with inferred types. What the file states stays where an op is unknown or its rule leaves a gap. */
export function inferShapes(model: Model): Model {
  const copy = cloneModel(model).model
  inferGraph(copy.graph, opsetOf(copy))
  return copy
}

/** The same for a model that gets new initializers: up to IR 3 those had to be graph inputs. */
export function extensibleCopy(model: Model): Model {
  const copy = inferShapes(model)
  if (copy.irVersion < 4) copy.irVersion = 8
  return copy
}

/** Infers the types of a graph in place; its inputs must have theirs. `visit` sees every node before its own types are inferred. */
export function inferGraph(graph: Graph, opset: number, visit: (node: Node) => void = () => {}): void {
  const computed: Value[] = []
  try {
    walk(graph, opset, computed, visit)
  } finally {
    for (const v of computed) v.initializer = undefined
  }
}

/** A shape computation's result is lent to its value as content, so that the rules downstream see a constant. */
function walk(graph: Graph, opset: number, computed: Value[], visit: (node: Node) => void): void {
  for (const node of graph.nodes) {
    visit(node)
    for (const g of subgraphsOf(node)) walk(g, opset, computed, visit)
    const stated = node.outputs.map((v) => v?.shape)
    inferNode(node, opset)
    node.outputs.forEach((v, i) => {
      if (v) v.shape = fillGaps(v.shape, stated[i])
    })
    if (node.inputs.some((v) => (v?.initializer?.data.length ?? 0) > shapeLimit)) continue
    foldNode(node, opset)?.forEach((t, i) => {
      const out = node.outputs[i]
      if (!out) return
      out.initializer = t
      out.dtype = t.dtype
      out.shape = t.dims
      computed.push(out)
    })
  }
}

function fillGaps(inferred: readonly Dim[] | undefined, stated: readonly Dim[] | undefined): readonly Dim[] | undefined {
  if (!inferred || !stated || inferred.length !== stated.length) return inferred
  return inferred.map((d, axis) => d ?? stated[axis])
}

/** The node's outputs as constants, where its op computes them from what is known. */
export function foldNode(node: Node, opset: number): readonly Tensor[] | undefined {
  return lookup(node.opType, node.domain)?.fold?.(node, node.inputs.map(constantOf), { opset })
}
