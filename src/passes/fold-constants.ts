/** @file Replaces what depends on constants alone by initializers, and leaves out nodes that do nothing at inference. */
import { addInitializer, cloneModel, removeNode, removeUnusedInitializers, replaceUses } from '../ir/edit.ts'
import { constantOf, type Graph, type Model, type Node, opsetOf, staticShape, type Value } from '../ir/graph.ts'
import { subgraphsOf } from '../ir/walk.ts'
import { serializeModel } from '../onnx/save.ts'
import { lookup } from '../ops/registry.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { sweep } from './dead-code.ts'
import { foldNode, inferGraph } from './infer-shapes.ts'

/**
 * A copy of the model in which shape arithmetic, layout changes of constants and Constant nodes have become initializers
 * (of the same names), and nodes that pass an input through are gone. Initializers that a caller could override
 * (graph inputs with a default) count as constants.
 */
export function foldConstants(model: Model): Model {
  const copy = cloneModel(model).model
  const opset = opsetOf(copy)
  inferGraph(copy.graph, opset)
  foldGraph(copy.graph, opset)
  return copy
}

function foldGraph(graph: Graph, opset: number): void {
  const released = new Set<Value>()
  for (const node of graph.nodes.slice()) {
    for (const g of subgraphsOf(node)) foldGraph(g, opset)
    const results = foldNode(node, opset)
    if (results && node.outputs.every((v, i) => !v || isIdle(graph, v) || results[i])) becomeConstants(graph, node, results, released)
    else bypass(graph, node, released)
  }
  removeUnusedInitializers(graph, released)
}

function isIdle(graph: Graph, v: Value): boolean {
  return v.uses.size === 0 && !graph.outputs.includes(v)
}

/** Puts initializers of the same names in the place of a node's outputs. */
function becomeConstants(graph: Graph, node: Node, results: readonly (Tensor | undefined)[], released: Set<Value>): void {
  node.outputs.forEach((v, i) => {
    const content = results[i]
    if (!v || !content || isIdle(graph, v)) return
    const constant = addInitializer(graph, v.name, content)
    constant.extra = v.extra
    replaceUses(graph, v, constant)
  })
  release(graph, node, released)
}

/** Removes a node whose output equals one of its inputs. The graph's outputs keep their names: what computes them stays. */
function bypass(graph: Graph, node: Node, released: Set<Value>): void {
  const through = lookup(node.opType, node.domain)?.passThrough?.(node)
  const [out, ...others] = node.outputs
  const source = through === undefined ? undefined : node.inputs[through]
  if (!source || !out || graph.outputs.includes(out) || others.some((v) => v && !isIdle(graph, v))) return
  replaceUses(graph, out, source)
  release(graph, node, released)
}

function release(graph: Graph, node: Node, released: Set<Value>): void {
  for (const v of node.inputs) if (v) released.add(v)
  removeNode(graph, node)
}

/** Runs a model without inputs: the tensors of the named outputs, in their order. */
export type RunConstants = (model: Uint8Array, outputs: readonly string[]) => Promise<readonly Tensor[]>

/** Results of more elements than this are kept as computations, unless they are no larger than what they are computed from. */
const growthLimit = 65536

/** As foldConstants; what remains of constant computations (float arithmetic, Resize of a constant...) is computed by the runtime. */
export async function foldAllConstants(model: Model, run: RunConstants): Promise<Model> {
  const copy = foldConstants(model)
  const graph = copy.graph
  const constant = new Set<Node>()
  for (const node of graph.nodes) if (isConstant(node, constant)) constant.add(node)
  const wanted = [...constant].flatMap((n) => n.outputs.filter((v) => v !== undefined && (graph.outputs.includes(v) || [...v.uses].some((u) => !constant.has(u.node)))) as Value[])
  if (wanted.length === 0) return copy
  const part = cloneModel(copy)
  const outputs = part.model.graph.outputs
  outputs.splice(0, outputs.length, ...wanted.map((v) => part.values.get(v)!))
  sweep(part.model.graph)
  part.model.graph.inputs.splice(0)
  const results = await run(serializeModel(part.model), wanted.map((v) => v.name))
  wanted.forEach((v, i) => {
    const content = results[i]
    if (!content) throw new Error(`the runtime gave no result for "${v.name}"`)
    const made = addInitializer(graph, v.name, content)
    replaceUses(graph, v, made)
  })
  const released = new Set([...constant].flatMap((n) => n.inputs.filter((v) => v !== undefined)))
  for (const node of [...constant].reverse()) removeNode(graph, node)
  removeUnusedInitializers(graph, released)
  return copy
}

function isConstant(node: Node, constant: ReadonlySet<Node>): boolean {
  // Operators that are not known could be random, or have effects.
  if (!lookup(node.opType, node.domain) || subgraphsOf(node).length || !node.inputs.some((v) => v)) return false
  if (!node.inputs.every((v) => !v || constantOf(v) || (v.producer && constant.has(v.producer)))) return false
  const count = (v: Value | undefined): number => {
    const dims = v && staticShape(v)
    return dims ? sizeOf(dims) : v ? Infinity : 0
  }
  const size = node.outputs.reduce((n, v) => n + count(v), 0)
  return size <= Math.max(growthLimit, node.inputs.reduce((n, v) => n + count(v), 0)) && size < Infinity
}
