/** @file Reverse-mode differentiation, graph to graph: gradients are more nodes in the same graph. */
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { ancestors } from '../ir/walk.ts'
import type { Builder } from '../ops/builder.ts'
import { notDifferentiable, type Vjp } from '../ops/define.ts'
import { lookup } from '../ops/registry.ts'
import { isFloat } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'

/** A scalar loss and the values it is differentiated by. */
export interface Objective {
  readonly loss: Value
  readonly wrt: readonly Value[]
}

/**
 * Adds the gradients of a scalar `loss` by each of `wrt` to the builder's graph. Values that the loss does not depend on
 * are absent from the result. Shapes must be static. Throws UserError naming the node when an operator on the way has no gradient.
 */
export function grad(b: Builder, loss: Value, wrt: readonly Value[]): Map<Value, Value> {
  const seed = b.op('Expand', [b.scalar(1), b.ints(dimsOf(loss))])
  return pullBack(b, new Map([[loss, seed]]), wrt)
}

/** Adds the vector-Jacobian product of several outputs at once: `cotangents` maps each output to what flows into it. */
export function pullBack(b: Builder, cotangents: ReadonlyMap<Value, Value>, wrt: readonly Value[]): Map<Value, Value> {
  const wanted = new Set(wrt)
  const nodes = ancestors(b.graph, cotangents.keys(), wanted)
  const dependent = dependentOn(nodes, wrt)
  const flowing = new Map<Value, Value>(cotangents)
  for (let at = nodes.length - 1; at >= 0; at--) {
    const node = nodes[at]!
    const incoming = node.outputs.map((v) => v && flowing.get(v))
    if (!incoming.some((v) => v) || !node.inputs.some((v) => v && dependent.has(v))) continue
    const thunks = vjpOf(node)(b, node, incoming, wanted)
    node.inputs.forEach((input, i) => {
      const thunk = thunks[i]
      if (!input || !thunk || !dependent.has(input)) return
      const g = reduceTo(b, thunk(), dimsOf(input))
      const before = flowing.get(input)
      flowing.set(input, before ? b.add(before, g) : g)
    })
  }
  return new Map(wrt.flatMap((v) => (flowing.has(v) ? [[v, flowing.get(v)!]] : [])))
}

/** Gradients of several objectives, added up value by value: each objective reaches only its own `wrt`. */
export function gradients(b: Builder, objectives: readonly Objective[]): Map<Value, Value> {
  const total = new Map<Value, Value>()
  for (const { loss, wrt } of objectives) {
    for (const [value, g] of grad(b, loss, wrt)) {
      const before = total.get(value)
      total.set(value, before ? b.add(before, g) : g)
    }
  }
  return total
}

function dependentOn(nodes: readonly Node[], wrt: readonly Value[]): Set<Value> {
  const dependent = new Set(wrt)
  for (const node of nodes) {
    if (!node.inputs.some((v) => v && dependent.has(v))) continue
    // Integer and boolean results carry no gradient: masks and indices end the dependence.
    for (const out of node.outputs) if (out?.dtype === undefined || isFloat(out.dtype)) if (out) dependent.add(out)
  }
  return dependent
}

function vjpOf(node: Node): Vjp {
  const def = lookup(node.opType, node.domain)
  if (!def) throw unknownInTheWay(node)
  if (def.vjp === notDifferentiable) throw new UserError(`the gradient has to pass ${titleOf(node)}, which is not differentiable; take the outputs before it`)
  return def.vjp
}

/** The error for an operator without an entry that a gradient would have to pass. */
export function unknownInTheWay(node: Node): UserError {
  return new UserError(`the gradient has to pass ${titleOf(node)}, an operator this version does not know; choose a method that needs no gradient and no fine-tuning, or add the operator (docs/add-an-op.md)`)
}

function titleOf(node: Node): string {
  return `${node.domain ? `${node.domain}.` : ''}${node.opType} (node "${node.name || node.outputs[0]?.name}")`
}

/** Sums a broadcast gradient back to the input's shape. */
function reduceTo(b: Builder, g: Value, dims: readonly number[]): Value {
  const from = dimsOf(g)
  if (from.length === dims.length && from.every((d, i) => d === dims[i])) return g
  const extra = from.length - dims.length
  if (extra < 0) throw new Error(`a gradient of shape [${from.join(',')}] cannot be that of a value of shape [${dims.join(',')}]`)
  const axes = from.flatMap((d, i) => (i < extra || (dims[i - extra] === 1 && d !== 1) ? [i] : []))
  const summed = axes.length ? b.sum(g, axes, true) : g
  return extra > 0 || axes.length === 0 ? b.reshape(summed, dims) : summed
}
