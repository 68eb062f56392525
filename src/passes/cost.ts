/** @file What a model costs: parameters and multiply-accumulates, in all and by node. */
import { cloneModel } from '../ir/edit.ts'
import { constantOf, type Graph, type Model, type Node, staticShape, type Value } from '../ir/graph.ts'
import { ancestors, valuesOf } from '../ir/walk.ts'
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
 * `shapes`, by input name. Subgraphs (branches, loops) are not counted. Throws UserError where shapes are missing to count by.
 */
export function modelCost(model: Model, shapes: Readonly<Record<string, readonly number[]>> = {}): ModelCost {
  const copy = cloneModel(model).model
  fixShapes(copy, shapes)
  const { graph } = foldConstants(copy)
  const paramsOf = paramCounter()
  const nodes: NodeCost[] = []
  for (const node of graph.nodes) {
    const params = paramsOf(node)
    const macs = macsOf(node, graph)
    if (params || macs) nodes.push({ name: nameOf(node), type: node.opType, params, macs })
  }
  const total = (key: 'params' | 'macs'): number => nodes.reduce((sum, n) => sum + n[key], 0)
  return { params: total('params'), macs: total('macs'), nodes }
}

/** The parameters alone, which need no shape but those of the weights. */
export function modelParams(model: Model): number {
  const paramsOf = paramCounter()
  return foldConstants(model).graph.nodes.reduce((sum, node) => sum + paramsOf(node), 0)
}

/** Counts the weights of node after node, each value once. */
function paramCounter(): (node: Node) => number {
  const counted = new Set<Value>()
  return (node) => {
    let params = 0
    for (const index of lookup(node.opType, node.domain)?.weights ?? []) {
      const value = node.inputs[index]
      const content = constantOf(value)
      if (!value || !content || !isFloat(content.dtype) || counted.has(value)) continue
      counted.add(value)
      params += sizeOf(content.dims)
    }
    return params
  }
}

function macsOf(node: Node, graph: Graph): number {
  const macs = lookup(node.opType, node.domain)?.macs
  if (!macs) return 0
  try {
    return macs(node)
  } catch (cause) {
    const unknown = [...node.outputs, ...node.inputs].find((v) => v && !staticShape(v))
    if (!unknown) throw cause
    const origin = ancestors(graph, [unknown]).filter((n) => !lookup(n.opType, n.domain) && n.outputs.some((v) => v && !staticShape(v))).at(-1)
    const why = origin ? `${labelOf(origin)}, on which it depends, is an operator that is not known` : 'no rule gives it'
    throw new UserError(`the multiply-accumulates of ${labelOf(node)} cannot be counted: the shape of "${unknown.name}" is not known, for ${why}; export the model with the shapes of its values`, { cause })
  }
}

function nameOf(node: Node): string {
  return node.name || (node.outputs[0]?.name ?? '')
}

function labelOf(node: Node): string {
  return `${node.domain === '' ? '' : `${node.domain}.`}${node.opType} "${nameOf(node)}"`
}

/** Gives the inputs their sizes, and with them every stated shape: what an unknown operator makes is known from there alone. */
export function fixShapes(model: Model, shapes: Readonly<Record<string, readonly number[]>> = {}): void {
  const sizes = new Map<string, number>()
  for (const input of model.graph.inputs) {
    if (input.initializer) continue
    const stated = input.shape
    fixShape(input, shapes[input.name])
    stated?.forEach((d, axis) => {
      const size = input.shape?.[axis]
      if (typeof d === 'string' && typeof size === 'number') sizes.set(d, size)
    })
  }
  for (const value of valuesOf(model.graph)) {
    if (value.shape?.some((d) => typeof d === 'string')) value.shape = value.shape.map((d) => (typeof d === 'string' ? (sizes.get(d) ?? d) : d))
  }
}

function fixShape(input: Value, shape: readonly number[] | undefined): void {
  if (shape) input.shape = shape
  else if (input.shape?.length && typeof input.shape[0] !== 'number') input.shape = [1, ...input.shape.slice(1)]
  if (staticShape(input)) return
  const axes = input.shape ? `free axes: [${input.shape.map((d) => d ?? '?').join(',')}]` : 'no shape'
  throw new UserError(`input "${input.name}" has ${axes}; multiply-accumulates can only be counted once its sizes are given`)
}
