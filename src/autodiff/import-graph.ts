/** @file Copies a model's graph into a training graph: chosen weights become inputs, BatchNormalization takes its training form where wanted. */
import { removeNode } from '../ir/edit.ts'
import type { Graph, Node, Value } from '../ir/graph.ts'
import { ancestors } from '../ir/walk.ts'
import { type Builder, workingOpset } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import { trainableConstants } from '../ops/trainable.ts'
import { unknownInTheWay } from './grad.ts'

export interface ImportOptions {
  /** Values of the source that are given instead of copied: its inputs, or any value from which to go on. */
  readonly given: ReadonlyMap<Value, Value>
  /** Values wanted in the copy. */
  readonly wanted: readonly Value[]
  /** Weights that become graph inputs of the same name (optimizable); others stay initializers. */
  readonly trainable?: (weight: Value) => boolean
  /** Weight of the new batch statistics in the running ones (torch's momentum, 0.1), or undefined: BN frozen, inference form. */
  readonly batchStatistics?: number
  /** Put before every name, to keep two copies of one model apart. */
  readonly prefix?: string
}

export interface ImportedGraph {
  /** Source value to copy. */
  readonly values: ReadonlyMap<Value, Value>
  /** Weights that became inputs: source initializer and input. */
  readonly parameters: readonly { readonly source: Value; readonly input: Value }[]
  /** Running statistics: read as `state`, become `next` after the run. */
  readonly updates: readonly { readonly source: Value; readonly state: Value; readonly next: Value }[]
}

/** Copies what `wanted` needs of `graph`. Source shapes may have a symbolic batch: they are inferred anew from the given values. */
export function importGraph(b: Builder, graph: Graph, options: ImportOptions): ImportedGraph {
  const values = new Map<Value, Value>(options.given)
  const prefix = options.prefix ?? ''
  const parameters: { source: Value; input: Value }[] = []
  const updates: { source: Value; state: Value; next: Value }[] = []
  const asInput = (source: Value): Value => {
    const input = b.input(prefix + source.name, 'float32', source.initializer!.dims)
    if (input.name !== prefix + source.name) throw new Error(`the name "${prefix + source.name}" is taken in the training graph; weights are found by their names`)
    values.set(source, input)
    return input
  }
  const bring = (source: Value): Value => {
    const known = values.get(source)
    if (known) return known
    if (!source.initializer) throw new Error(`"${source.name}" is neither given nor computed in the copied part`)
    if (options.trainable?.(source)) {
      const input = asInput(source)
      parameters.push({ source, input })
      return input
    }
    const constant = b.constant(source.initializer, prefix + source.name)
    values.set(source, constant)
    return constant
  }
  const train = (node: Node, momentum: number): boolean => {
    const training = lookup(node.opType, node.domain)?.training
    if (!training) return false
    const state = runningStatistics(node)
    const sources = new Map<Value, Value>()
    for (const source of state) sources.set(values.get(source) ?? asInput(source), source)
    const shadow = b.copy(node, node.inputs.map((v) => v && bring(v)))
    const form = training(b, shadow, momentum)
    node.outputs.forEach((v, i) => v && form.outputs[i] && values.set(v, form.outputs[i]))
    // The shadow only served to hand the rule a node whose inputs live in this graph.
    removeNode(b.graph, shadow)
    for (const u of form.updates) updates.push({ source: sources.get(u.state)!, state: u.state, next: u.next })
    return true
  }
  const nodes = ancestors(graph, options.wanted, new Set(options.given.keys()))
  if (options.trainable) refuseUnknown(nodes, options.trainable)
  // Weights and statistics claim their names before anything else can.
  for (const node of nodes) {
    const state = options.batchStatistics === undefined || !lookup(node.opType, node.domain)?.training ? [] : runningStatistics(node)
    for (const v of state) if (!values.has(v)) asInput(v)
    for (const v of node.inputs) if (v?.initializer && !state.includes(v) && options.trainable?.(v)) bring(v)
  }
  for (const node of nodes) {
    if (options.batchStatistics !== undefined && train(node, options.batchStatistics)) continue
    const copy = b.copy(node, node.inputs.map((v) => v && bring(v)))
    node.outputs.forEach((v, i) => v && values.set(v, copy.outputs[i]!))
  }
  return { values, parameters, updates }
}

/** Throws where a node that the project does not know lies between a trainable weight and what is wanted: no gradient would pass it. */
function refuseUnknown(nodes: readonly Node[], trainable: (weight: Value) => boolean): void {
  const dependent = new Set<Value>()
  for (const node of nodes) {
    if (!node.inputs.some((v) => v && (dependent.has(v) || (v.initializer && trainable(v))))) continue
    if (!lookup(node.opType, node.domain)) throw unknownInTheWay(node)
    for (const v of node.outputs) if (v) dependent.add(v)
  }
}

/** The inputs of a BatchNormalization-like node that its training form updates: all but data, scale and bias. */
function runningStatistics(node: Node): Value[] {
  return node.inputs.slice(3).filter((v): v is Value => v?.initializer !== undefined)
}

/**
 * The float32 weights of a graph (working opset, shapes inferred) that training may change, as their ops' entries say: no grids, strides,
 * bounds or running statistics.
 */
export function trainableWeights(graph: Graph): Set<Value> {
  // Tools that merge equal constants may let a scale and a statistic be one: training would change both.
  const statistics = new Set(graph.nodes.filter((n) => lookup(n.opType, n.domain)?.training).flatMap(runningStatistics))
  return new Set([...trainableConstants(graph, workingOpset)].filter((v) => !statistics.has(v)))
}
