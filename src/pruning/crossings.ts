/** @file Where a model chooses (TopK, NonMaxSuppression, comparisons...): the values that are computed before a choice and read behind it. */
import { cloneModel, setInput } from '../ir/edit.ts'
import { type Graph, type Model, type Node, Value } from '../ir/graph.ts'
import { capturedBy, subgraphsOf } from '../ir/walk.ts'
import { lookup } from '../ops/registry.ts'
import type { Tensors } from '../runtime/session.ts'
import { nodeLabel } from './channel-links.ts'

/**
 * A value with the first node behind it that reads it after one choice more. Rounding makes choices fall otherwise, and with them all
 * that follows; so these values are compared, and what follows is compared on the same ones (`handOver`).
 */
export interface Crossing {
  readonly value: Value
  readonly reader: string
}

export function crossingsOf(graph: Graph): Crossing[] {
  const level = levelsOf(graph)
  const found = new Map<Value, Crossing>()
  for (const node of graph.nodes) {
    for (const value of [...node.inputs, ...capturedBy(node)]) {
      if (!value?.producer || found.has(value) || level.of(value) >= level.at(node)) continue
      found.set(value, { value, reader: nodeLabel(node) })
    }
  }
  return [...found.values()]
}

/** How many choices lie before each value; a node of a subgraph counts as the node that holds it. */
function levelsOf(graph: Graph): { of(value: Value): number; at(node: Node): number } {
  const levels = new Map<Node, number>()
  const at = (node: Node): number => levels.get(node) ?? 0
  const of = (value: Value): number => (value.producer ? at(value.producer) : 0)
  const put = (node: Node, level: number): void => {
    levels.set(node, level)
    for (const inner of subgraphsOf(node)) for (const n of inner.nodes) put(n, level)
  }
  for (const node of graph.nodes) {
    const read = [...node.inputs, ...capturedBy(node)].filter((v) => v?.producer)
    const before = read.reduce((level, v) => Math.max(level, of(v!)), 0)
    // What is chosen from inputs and constants alone is chosen alike.
    put(node, before + (read.length > 0 && lookup(node.opType, node.domain)?.selects ? 1 : 0))
  }
  return { of, at }
}

/** A copy whose readers behind a choice read the tensors `given` (by the value's name) in place of the model's own; with what to feed. */
export function handOver(model: Model, given: Tensors): { readonly model: Model; readonly feeds: Tensors } {
  if (crossingsOf(model.graph).length === 0) return { model, feeds: {} }
  const copy = cloneModel(model).model
  const { graph } = copy
  const level = levelsOf(graph)
  const feeds: Record<string, Tensors[string]> = {}
  for (const { value } of crossingsOf(graph)) {
    const content = given[value.name]
    if (!content) throw new Error(`"${value.name}" was not given`)
    const input = new Value(`${value.name}_handed_over`, content.dtype, content.dims.map(() => undefined))
    graph.inputs.push(input)
    feeds[input.name] = content
    for (const { node, index } of [...value.uses]) if (level.at(node) > level.of(value)) setInput(node, index, input)
  }
  return { model: copy, feeds }
}
