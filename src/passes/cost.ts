/** @file What a model costs: parameters and multiply-accumulates, in all and by node. */
import { cloneModel } from '../ir/edit.ts'
import { constantOf, type Model, staticShape, type Value } from '../ir/graph.ts'
import { lookup } from '../ops/registry.ts'
import { UserError } from '../tensor/error.ts'
import { isFloat } from '../tensor/dtype.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { foldConstants } from './fold-constants.ts'

export interface NodeCost {
  readonly name: string
  readonly type: string
  /** Float weights (Conv, Gemm, MatMul with their biases, BatchNormalization 4 a channel); a shared one counts for its first node. */
  readonly params: number
  /** Multiply-accumulates of one run. */
  readonly macs: number
}

export interface ModelCost {
  readonly params: number
  readonly macs: number
  /** In graph order; nodes that cost nothing are left out. */
  readonly nodes: readonly NodeCost[]
}

/**
 * Cost of one run of the model. A free batch axis counts as 1; inputs with other free axes need their sizes in
 * `shapes`, by input name. Subgraphs (branches, loops) are not counted.
 */
export function modelCost(model: Model, shapes: Readonly<Record<string, readonly number[]>> = {}): ModelCost {
  const copy = cloneModel(model).model
  for (const input of copy.graph.inputs) if (!input.initializer) fixShape(input, shapes[input.name])
  const counted = new Set<Value>()
  const nodes: NodeCost[] = []
  for (const node of foldConstants(copy).graph.nodes) {
    const def = lookup(node.opType, node.domain)
    let params = 0
    for (const index of def?.weights ?? []) {
      const value = node.inputs[index]
      const content = constantOf(value)
      if (!value || !content || !isFloat(content.dtype) || counted.has(value)) continue
      counted.add(value)
      params += sizeOf(content.dims)
    }
    const macs = def?.macs?.(node) ?? 0
    if (params || macs) nodes.push({ name: node.name || (node.outputs[0]?.name ?? ''), type: node.opType, params, macs })
  }
  const total = (key: 'params' | 'macs'): number => nodes.reduce((sum, n) => sum + n[key], 0)
  return { params: total('params'), macs: total('macs'), nodes }
}

function fixShape(input: Value, shape: readonly number[] | undefined): void {
  if (shape) input.shape = shape
  else if (input.shape?.length && typeof input.shape[0] !== 'number') input.shape = [1, ...input.shape.slice(1)]
  if (staticShape(input)) return
  const axes = input.shape ? `free axes: [${input.shape.map((d) => d ?? '?').join(',')}]` : 'no shape'
  throw new UserError(`input "${input.name}" has ${axes}; multiply-accumulates can only be counted once its sizes are given`)
}
