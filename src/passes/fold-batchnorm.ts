/** @file Folds per-channel affine nodes (BatchNormalization at inference) into the node that computes their input. */
import { addInitializer, cloneModel, putInput, removeNode, removeUnusedInitializers, replaceUses, setInitializer } from '../ir/edit.ts'
import { constantOf, type Graph, type Model, type Node, type Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import { lookup } from '../ops/registry.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** A copy of the model with every affine node folded whose input is used by nothing else and whose producer can take it up. */
export function foldBatchNorm(model: Model): Model {
  const copy = cloneModel(model).model
  const graph = copy.graph
  const names = new Set([...valuesOf(graph)].map((v) => v.name))
  const released = new Set<Value>()
  for (const node of graph.nodes.slice()) foldInto(graph, node, names, released)
  removeUnusedInitializers(graph, released)
  return copy
}

function foldInto(graph: Graph, node: Node, names: Set<string>, released: Set<Value>): void {
  const [input] = node.inputs
  const [out, ...others] = node.outputs
  const producer = input?.producer
  if (!input || !out || !producer || input.uses.size !== 1 || graph.outputs.includes(input) || others.some((v) => v?.uses.size)) return
  const affine = lookup(node.opType, node.domain)?.affine?.(node)
  const absorbed = affine && lookup(producer.opType, producer.domain)?.absorbAffine?.(producer, affine)
  if (!absorbed) return
  for (const [index, content] of absorbed) giveConstant(graph, producer, index, content, names, released)
  for (const v of node.inputs) if (v) released.add(v)
  if (graph.outputs.includes(out)) {
    // The graph's output keeps its name.
    const name = out.name
    out.name = unique(`${name}_affine`, names)
    input.name = name
  }
  input.dtype = out.dtype ?? input.dtype
  input.shape = out.shape ?? input.shape
  replaceUses(graph, out, input)
  removeNode(graph, node)
}

/** Changes the constant where this node alone reads it, under its old name; gives the node one of its own otherwise. */
function giveConstant(graph: Graph, node: Node, index: number, content: Tensor, names: Set<string>, released: Set<Value>): void {
  const old = node.inputs[index]
  if (old && constantOf(old) && old.uses.size === 1 && graph.initializers.includes(old) && !graph.outputs.includes(old)) {
    setInitializer(old, content)
    return
  }
  if (old) released.add(old)
  const stem = old?.name ?? `${node.name || node.outputs[0]!.name}.bias`
  const made = addInitializer(graph, unique(stem, names), content)
  putInput(node, index, made)
}

function unique(stem: string, names: Set<string>): string {
  let name = stem
  for (let k = 1; names.has(name); k++) name = `${stem}_${k}`
  names.add(name)
  return name
}
