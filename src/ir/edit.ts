/** @file The only ways to change a graph: they keep uses and producers right. */
import type { Tensor } from '../tensor/tensor.ts'
import type { DType } from '../tensor/dtype.ts'
import { type AttributeInit, toAttribute } from './attributes.ts'
import { type Dim, Graph, type Model, Node, Value } from './graph.ts'
import { subgraphsOf } from './walk.ts'

export function addInput(graph: Graph, name: string, dtype: DType, shape: readonly Dim[]): Value {
  const value = new Value(name, dtype, shape)
  graph.inputs.push(value)
  return value
}

export function addInitializer(graph: Graph, name: string, content: Tensor): Value {
  const value = new Value(name, content.dtype, content.dims)
  value.initializer = content
  graph.initializers.push(value)
  return value
}

/** Gives an initializer new content, and with it dtype and shape. */
export function setInitializer(value: Value, content: Tensor): void {
  value.initializer = content
  value.dtype = content.dtype
  value.shape = content.dims
}

/** Makes a node; it is appended, or put before `before`. Outputs are fresh values with the given names. */
export function addNode(
  graph: Graph,
  opType: string,
  inputs: readonly (Value | undefined)[],
  outputNames: readonly string[],
  attributes: Readonly<Record<string, AttributeInit>> = {},
  options: { name?: string; domain?: string; before?: Node } = {},
): Node {
  const node = new Node(opType, options.domain ?? '', options.name ?? outputNames[0] ?? opType)
  for (const [key, init] of Object.entries(attributes)) node.attributes.set(key, toAttribute(init))
  for (const input of inputs) appendInput(node, input)
  for (const name of outputNames) appendOutput(node, new Value(name))
  if (options.before === undefined) graph.nodes.push(node)
  else {
    const at = graph.nodes.indexOf(options.before)
    if (at < 0) throw new Error(`node "${options.before.name}" is not in graph "${graph.name}"`)
    graph.nodes.splice(at, 0, node)
  }
  return node
}

/** Appends an input slot to a node. */
export function appendInput(node: Node, value: Value | undefined): void {
  const index = node.inputs.length
  ;(node.inputs as (Value | undefined)[]).push(value)
  value?.uses.add({ node, index })
}

/** Appends an output to a node. */
export function appendOutput(node: Node, value: Value | undefined): void {
  ;(node.outputs as (Value | undefined)[]).push(value)
  if (value) value.producer = node
}

/** Points input `index` of `node` at another value (or at none). */
export function setInput(node: Node, index: number, value: Value | undefined): void {
  const old = node.inputs[index]
  if (old) for (const use of old.uses) if (use.node === node && use.index === index) old.uses.delete(use)
  ;(node.inputs as (Value | undefined)[])[index] = value
  value?.uses.add({ node, index })
}

/** Gives `node` an input at `index`, with empty slots before it where the node has fewer. */
export function putInput(node: Node, index: number, value: Value | undefined): void {
  while (node.inputs.length <= index) appendInput(node, undefined)
  setInput(node, index, value)
}

/** Puts `node` at the place of `old` in the graph: it takes over the outputs, `old` is gone. */
export function replaceNode(graph: Graph, old: Node, node: Node): void {
  const at = graph.nodes.indexOf(node)
  if (at >= 0) graph.nodes.splice(at, 1)
  for (const out of old.outputs) if (out) out.producer = node
  ;(node.outputs as (Value | undefined)[]).splice(0, node.outputs.length, ...old.outputs)
  ;(old.outputs as (Value | undefined)[]).splice(0, old.outputs.length)
  graph.nodes.splice(graph.nodes.indexOf(old), 0, node)
  removeNode(graph, old)
}

/** Makes every reader of `old`, and the graph's outputs, read `by` instead. */
export function replaceUses(graph: Graph, old: Value, by: Value): void {
  for (const use of [...old.uses]) setInput(use.node, use.index, by)
  for (let i = 0; i < graph.outputs.length; i++) if (graph.outputs[i] === old) graph.outputs[i] = by
}

/** Makes `by` an output of the graph in the place of `old`: it takes the name and what the file says beside it; `old` is called `name` from now on. */
export function replaceOutput(graph: Graph, old: Value, by: Value, name: string): void {
  by.name = old.name
  by.extra = old.extra
  old.name = name
  old.extra = undefined
  for (let i = 0; i < graph.outputs.length; i++) if (graph.outputs[i] === old) graph.outputs[i] = by
}

/** Makes the subgraphs of `node` read `by` where they read the outer value `old`. */
export function replaceCaptured(node: Node, old: Value, by: Value): void {
  for (const graph of subgraphsOf(node)) {
    for (const inner of graph.nodes) {
      inner.inputs.forEach((v, i) => {
        if (v === old) setInput(inner, i, by)
      })
      replaceCaptured(inner, old, by)
    }
    for (let i = 0; i < graph.outputs.length; i++) if (graph.outputs[i] === old) graph.outputs[i] = by
  }
}

/** Removes a node whose outputs nobody reads; throws otherwise. */
export function removeNode(graph: Graph, node: Node): void {
  for (const out of node.outputs) {
    if (out && (out.uses.size > 0 || graph.outputs.includes(out))) throw new Error(`"${out.name}" of node "${node.name}" is still read; replace its uses first`)
  }
  const at = graph.nodes.indexOf(node)
  if (at < 0) throw new Error(`node "${node.name}" is not in graph "${graph.name}"`)
  detach(node)
  graph.nodes.splice(at, 1)
}

/** Forgets what a node and the nodes of its subgraphs read. */
function detach(node: Node): void {
  for (let i = 0; i < node.inputs.length; i++) setInput(node, i, undefined)
  for (const g of subgraphsOf(node)) for (const inner of g.nodes) detach(inner)
}

/** Removes those of `values` that are initializers nobody reads; true graph inputs and outputs stay. */
export function removeUnusedInitializers(graph: Graph, values: Iterable<Value>): void {
  const unused = new Set<Value>()
  for (const v of values) if (v.initializer && !v.producer && v.uses.size === 0 && !graph.outputs.includes(v)) unused.add(v)
  if (unused.size === 0) return
  for (const list of [graph.initializers, graph.inputs]) list.splice(0, list.length, ...list.filter((v) => !unused.has(v)))
}

/** Sets or replaces an attribute. */
export function setAttribute(node: Node, name: string, init: AttributeInit): void {
  node.attributes.set(name, toAttribute(init))
}

/** A deep copy that shares tensors (weights are immutable), with the map from old values to new ones. */
export function cloneGraph(graph: Graph, outer: ReadonlyMap<Value, Value> = new Map()): { graph: Graph; values: Map<Value, Value> } {
  const copy = new Graph(graph.name)
  copy.docString = graph.docString
  copy.extra = graph.extra
  const values = new Map(outer)
  const cloned = (value: Value): Value => {
    let v = values.get(value)
    if (!v) {
      v = new Value(value.name, value.dtype, value.shape)
      v.initializer = value.initializer
      v.extra = value.extra
      values.set(value, v)
    }
    return v
  }
  for (const v of graph.inputs) copy.inputs.push(cloned(v))
  for (const v of graph.initializers) copy.initializers.push(cloned(v))
  for (const node of graph.nodes) {
    const n = new Node(node.opType, node.domain, node.name)
    n.docString = node.docString
    n.extra = node.extra
    for (const v of node.inputs) appendInput(n, v && cloned(v))
    for (const v of node.outputs) appendOutput(n, v && cloned(v))
    for (const [key, a] of node.attributes) {
      if (a.kind === 'graph') n.attributes.set(key, { kind: 'graph', value: cloneGraph(a.value, values).graph })
      else if (a.kind === 'graphs') n.attributes.set(key, { kind: 'graphs', value: a.value.map((g) => cloneGraph(g, values).graph) })
      else n.attributes.set(key, a)
    }
    copy.nodes.push(n)
  }
  for (const v of graph.outputs) copy.outputs.push(cloned(v))
  return { graph: copy, values }
}

/** A copy of a model: its own graph and maps, shared tensors; `values` maps old values to new ones. */
export function cloneModel(model: Model): { model: Model; values: Map<Value, Value> } {
  const { graph, values } = cloneGraph(model.graph)
  return { model: { ...model, graph, opsets: new Map(model.opsets), metadata: new Map(model.metadata) }, values }
}

/** A copy of a model with more of its values as outputs, beside its own. */
export function withOutputs(model: Model, more: Iterable<Value>): Model {
  const { model: copy, values } = cloneModel(model)
  const { outputs } = copy.graph
  for (const v of more) {
    const twin = values.get(v)!
    if (!outputs.includes(twin)) outputs.push(twin)
  }
  return copy
}
