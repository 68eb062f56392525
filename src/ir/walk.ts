/** @file Walks over a graph: all values, lookups by name, ancestors, topological order. */
import { sizeOf } from '../tensor/tensor.ts'
import type { Graph, Node, Value } from './graph.ts'

/** Every value of a graph once: inputs, initializers, node outputs. */
export function* valuesOf(graph: Graph): Generator<Value> {
  const seen = new Set<Value>()
  const fresh = (v: Value): boolean => !seen.has(v) && !!seen.add(v)
  for (const v of graph.inputs) if (fresh(v)) yield v
  for (const v of graph.initializers) if (fresh(v)) yield v
  for (const node of graph.nodes) for (const v of node.outputs) if (v && fresh(v)) yield v
}

/** The value called `name`; throws, naming the graph, when there is none. */
export function valueNamed(graph: Graph, name: string): Value {
  for (const v of valuesOf(graph)) if (v.name === name) return v
  throw new Error(`graph "${graph.name}" has no value "${name}"`)
}

/** Values in parts of at most `most` elements each (or a single larger one), to be fetched in turns; a free axis counts as `free`. */
export function inTurns(values: readonly Value[], most: number, free = 1): Value[][] {
  const turns: Value[][] = []
  let left = 0
  for (const v of values) {
    const size = sizeOf((v.shape ?? []).map((d) => (typeof d === 'number' ? d : free)))
    if (turns.length === 0 || size > left) {
      turns.push([])
      left = most
    }
    turns.at(-1)!.push(v)
    left -= size
  }
  return turns
}

/** Nodes that `values` depend on, in graph order; the walk stops at the values in `stop`. */
export function ancestors(graph: Graph, values: Iterable<Value>, stop: ReadonlySet<Value> = new Set()): Node[] {
  const needed = new Set<Node>()
  const queue = [...values]
  for (let v = queue.pop(); v; v = queue.pop()) {
    if (stop.has(v) || !v.producer || needed.has(v.producer)) continue
    needed.add(v.producer)
    for (const input of v.producer.inputs) if (input) queue.push(input)
    for (const captured of capturedBy(v.producer)) queue.push(captured)
  }
  return graph.nodes.filter((n) => needed.has(n))
}

/** The graphs that a node holds as attributes (If's branches, Loop's body). */
export function subgraphsOf(node: Node): Graph[] {
  return [...node.attributes.values()].flatMap((a) => (a.kind === 'graph' ? [a.value] : a.kind === 'graphs' ? a.value : []))
}

/** Outer values that a node's subgraphs read. */
export function* capturedBy(node: Node): Generator<Value> {
  for (const graph of subgraphsOf(node)) {
    const own = new Set(valuesOf(graph))
    for (const v of graph.outputs) if (!own.has(v)) yield v
    for (const inner of graph.nodes) {
      for (const v of inner.inputs) if (v && !own.has(v)) yield v
      for (const v of capturedBy(inner)) if (!own.has(v)) yield v
    }
  }
}
