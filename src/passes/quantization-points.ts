/** @file Where a graph computes on 8-bit numbers: which nodes, which values, and which values share a scale. */
import type { Graph, Model, Node, Value } from '../ir/graph.ts'
import { ancestors } from '../ir/walk.ts'
import type { EightBit } from '../ops/define.ts'
import { lookup } from '../ops/registry.ts'

export interface QuantizationPoints {
  /** Nodes that compute on 8-bit numbers, in graph order. */
  readonly nodes: ReadonlyMap<Node, EightBit>
  /** Values that get an 8-bit form, each with the value whose scale it has (mostly itself). */
  readonly scaledAs: ReadonlyMap<Value, Value>
  /** Layers that stay in float, with the reason in plain words. */
  readonly floatLayers: readonly { readonly node: Node; readonly why: string }[]
}

/**
 * All layers with constant float32 weights, but those named in `float` (by an output), and what lies between layers, has an 8-bit form and reads 8-bit
 * numbers alone. What comes before the first layer or after the last (decoding, scores) stays in float, and so does what reads a result in float.
 */
export function quantizationPoints({ graph }: Model, float: ReadonlySet<string> = new Set()): QuantizationPoints {
  const floatLayers: { node: Node; why: string }[] = []
  const layers = new Set<Node>()
  const others = new Map<Node, EightBit>()
  for (const node of graph.nodes) {
    const form = lookup(node.opType, node.domain)?.eightBit?.(node)
    if (!form) continue
    const asked = node.outputs.some((v) => v && float.has(v.name))
    if (form.kind !== 'layer') {
      if (!asked) others.set(node, form)
      continue
    }
    const why = asked ? 'as asked' : layerFault(node, form.axis)
    if (why === undefined) layers.add(node)
    else floatLayers.push({ node, why })
  }
  const before = beforeLayers(graph, layers)
  const nodes = new Map<Node, EightBit>()
  for (const node of graph.nodes) {
    const form = others.get(node)
    const inBytes = (v: Value | undefined): boolean => v?.dtype === 'float32' && v.producer !== undefined && nodes.has(v.producer)
    if (layers.has(node)) nodes.set(node, lookup(node.opType, node.domain)!.eightBit!(node)!)
    // What bounds a layer's result is one with it, whoever reads it.
    else if (form && (before.has(node) || form.kind === 'bounds') && operandsOf(node, form).every(inBytes)) nodes.set(node, form)
  }
  return { nodes, scaledAs: valuesOf(graph, nodes), floatLayers }
}

/** Every value that may get an 8-bit form, whichever nodes stay in float, in graph order. */
export function candidates({ graph }: Model): Set<Value> {
  const found = new Set<Value>()
  for (const node of graph.nodes) {
    const form = lookup(node.opType, node.domain)?.eightBit?.(node)
    if (!form) continue
    for (const v of [...operandsOf(node, form), ...node.outputs]) if (v?.dtype === 'float32' && !v.initializer) found.add(v)
  }
  return found
}

/** Inputs of a node that are 8-bit numbers. */
export function operandsOf(node: Node, { kind }: EightBit): readonly (Value | undefined)[] {
  return kind === 'computes' ? node.inputs : node.inputs.slice(0, 1)
}

function layerFault(node: Node, axis: number): string | undefined {
  const [x, weight, bias] = node.inputs
  if (x?.dtype !== 'float32') return 'its input is no float32'
  if (weight?.initializer?.dtype !== 'float32') return 'its weight is no float32 constant'
  if (x.initializer) return 'its input is a constant'
  if (bias && bias.initializer?.dtype !== 'float32') return 'its bias is no float32 constant'
  // One bias a channel; those of a group where channels are counted by groups.
  if (bias && (bias.initializer!.dims.length !== 1 || bias.initializer!.data.length % weight.initializer.dims[axis]! !== 0)) return 'its bias is not one number a channel'
  return undefined
}

/** Nodes that a layer depends on. */
function beforeLayers(graph: Graph, layers: ReadonlySet<Node>): Set<Node> {
  return new Set(ancestors(graph, [...layers].flatMap((node) => node.inputs.filter((v) => v !== undefined))))
}

/** What the nodes read and make, with whose scale. */
function valuesOf(graph: Graph, nodes: ReadonlyMap<Node, EightBit>): Map<Value, Value> {
  const found = new Map<Value, Value>()
  for (const [node, form] of nodes) {
    for (const v of operandsOf(node, form)) {
      if (v && !found.has(v) && !leftToBounds(graph, nodes, v)) found.set(v, v)
    }
    for (const v of node.outputs) {
      if (v && !leftToBounds(graph, nodes, v)) found.set(v, form.kind === 'moves' ? found.get(node.inputs[0]!)! : v)
    }
  }
  return found
}

/** True for what goes from an 8-bit node to one that bounds it, and nowhere else: runtimes make one node of the two. */
function leftToBounds(graph: Graph, nodes: ReadonlyMap<Node, EightBit>, v: Value): boolean {
  const [use, ...others] = v.uses
  return v.producer !== undefined && nodes.has(v.producer) && !graph.outputs.includes(v) && use !== undefined && others.length === 0 && use.index === 0 && nodes.get(use.node)?.kind === 'bounds'
}
