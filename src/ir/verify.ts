/** @file Checks a graph's own bookkeeping: run after every pass in tests. */
import type { Graph, Value } from './graph.ts'
import { capturedBy, subgraphsOf } from './walk.ts'

/** Throws, listing every fault, when uses, producers, names or order are wrong. `outer`: values of enclosing graphs. */
export function verify(graph: Graph, outer: ReadonlySet<Value> = new Set()): void {
  const faults = faultsOf(graph, outer)
  if (faults.length) throw new Error(`graph "${graph.name}" is broken:\n  ${faults.join('\n  ')}`)
}

function faultsOf(graph: Graph, outer: ReadonlySet<Value>): string[] {
  const faults: string[] = []
  const known = new Set<Value>(outer)
  const names = new Map<string, Value>()
  const define = (v: Value, where: string): void => {
    known.add(v)
    const other = names.get(v.name)
    if (other && other !== v) faults.push(`two values are called "${v.name}" (${where})`)
    names.set(v.name, v)
  }
  for (const v of graph.inputs) define(v, 'input')
  for (const v of graph.initializers) {
    define(v, 'initializer')
    if (!v.initializer) faults.push(`initializer "${v.name}" has no content`)
  }
  for (const node of graph.nodes) {
    node.inputs.forEach((v, index) => {
      if (!v) return
      if (!known.has(v)) faults.push(`node "${node.name}" reads "${v.name}" before it is computed`)
      if (![...v.uses].some((u) => u.node === node && u.index === index)) faults.push(`"${v.name}" does not know its use by node "${node.name}"`)
    })
    for (const v of capturedBy(node)) if (!known.has(v)) faults.push(`a subgraph of node "${node.name}" reads "${v.name}" before it is computed`)
    for (const g of subgraphsOf(node)) faults.push(...faultsOf(g, known).map((fault) => `in "${g.name}": ${fault}`))
    for (const v of node.outputs) {
      if (!v) continue
      if (v.producer !== node) faults.push(`"${v.name}" does not know its producer "${node.name}"`)
      define(v, `output of "${node.name}"`)
    }
  }
  for (const v of graph.outputs) if (!known.has(v)) faults.push(`output "${v.name}" is never computed`)
  for (const v of known) {
    if (outer.has(v)) continue
    for (const use of v.uses) if (use.node.inputs[use.index] !== v) faults.push(`"${v.name}" lists a use by node "${use.node.name}" that does not read it`)
  }
  return faults
}
