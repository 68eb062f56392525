/** @file Removes nodes and initializers that no output depends on. */
import { cloneModel, removeNode, removeUnusedInitializers } from '../ir/edit.ts'
import type { Graph, Model } from '../ir/graph.ts'
import { ancestors, subgraphsOf } from '../ir/walk.ts'

/** A copy of the model without dead nodes and unused initializers. Graph inputs stay, but for those that only repeat an unused initializer. */
export function removeDeadCode(model: Model): Model {
  const copy = cloneModel(model).model
  sweep(copy.graph)
  return copy
}

/** Sweeps a graph in place. */
export function sweep(graph: Graph): void {
  // Subgraphs first: what only their dead nodes read is dead too.
  for (const node of graph.nodes) for (const g of subgraphsOf(node)) sweep(g)
  const needed = new Set(ancestors(graph, graph.outputs))
  for (const node of graph.nodes.slice().reverse()) if (!needed.has(node)) removeNode(graph, node)
  removeUnusedInitializers(graph, graph.initializers)
}
