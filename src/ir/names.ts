/** @file Names that a graph does not use yet. */
import type { Graph } from './graph.ts'
import { subgraphsOf, valuesOf } from './walk.ts'

/** Makes names from a stem that no value of the graph or of its subgraphs bears, each once. */
export function uniqueNames(graph: Graph): (stem: string) => string {
  const names = new Set<string>()
  collect(graph, names)
  return (stem) => {
    let name = stem
    for (let k = 1; names.has(name); k++) name = `${stem}_${k}`
    names.add(name)
    return name
  }
}

function collect(graph: Graph, names: Set<string>): void {
  for (const v of valuesOf(graph)) names.add(v.name)
  for (const node of graph.nodes) for (const g of subgraphsOf(node)) collect(g, names)
}
