/** @file If, Loop and Scan: nodes that run graphs of their own. */
import type { Node } from '../ir/graph.ts'
import { notDifferentiable, opaque, type OpDef, type TypeInfo } from './define.ts'

/** The file's own statement stands: how often a body runs, and which branch, is known at run time only. */
const asStated = (node: Node): TypeInfo[] => node.outputs.map((v) => ({ dtype: v?.dtype, shape: v?.shape }))

function control(type: string, reason: string, selects: boolean): OpDef {
  return { type, shape: asStated, vjp: notDifferentiable, channels: opaque(reason), selects }
}

export const controls: readonly OpDef[] = [
  control('If', 'its branches are graphs of their own', true),
  // The number of turns may hang on a comparison.
  control('Loop', 'its body is a graph of its own', true),
  control('Scan', 'its body is a graph of its own', false),
]
