/** @file What hangs on a choice (TopK, NonMaxSuppression, a comparison): rounding can make it fall otherwise. */
import type { Graph, Node, Value } from '../ir/graph.ts'
import { ancestors } from '../ir/walk.ts'
import { lookup } from '../ops/registry.ts'

/** The first node that a value depends on whose result is a choice (see OpDef.selects), looking no further back than `stop`. */
export function choiceBefore(graph: Graph, value: Value, stop?: ReadonlySet<Value>): Node | undefined {
  return ancestors(graph, [value], stop).find((n) => lookup(n.opType, n.domain)?.selects)
}
