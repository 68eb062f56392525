/** @file Builder: adds nodes to a graph and infers their types at once, so that rules can rely on shapes. */
import type { DType } from '../tensor/dtype.ts'
import { f32, i64, scalar, type Tensor } from '../tensor/tensor.ts'
import type { AttributeInit } from '../ir/attributes.ts'
import { addInitializer, addInput, addNode } from '../ir/edit.ts'
import type { Dim, Graph, Node, Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import type { Emitter } from './emitter.ts'
import { lookup } from './registry.ts'
import { onnxTypeCode } from './type-codes.ts'

/** The opset that training graphs are written in. Newer ones only widen types; Conv at 22 loses kernels' layout passes. */
export const workingOpset = 21

type Input = Value | undefined

export class Builder implements Emitter {
  readonly graph: Graph
  readonly opset: number
  private readonly names = new Set<string>()
  private readonly counters = new Map<string, number>()
  private readonly scalars = new Map<string, Value>()

  constructor(graph: Graph, opset: number = workingOpset) {
    this.graph = graph
    this.opset = opset
    for (const v of valuesOf(graph)) this.names.add(v.name)
  }

  /** A name not used so far, made from `stem`. */
  unique(stem: string): string {
    let name = stem
    let n = this.counters.get(stem) ?? 0
    while (this.names.has(name)) name = `${stem}_${++n}`
    this.counters.set(stem, n)
    this.names.add(name)
    return name
  }

  input(name: string, dtype: DType, shape: readonly Dim[]): Value {
    return addInput(this.graph, this.unique(name), dtype, shape)
  }

  /** Makes `value` an output of the graph; renames it when a name is given and it is a node's output. */
  output(value: Value, name?: string): Value {
    if (name !== undefined && value.producer && value.name !== name) {
      // The old name stays taken: the node still bears it.
      value.name = this.unique(name)
    }
    this.graph.outputs.push(value)
    return value
  }

  /** An initializer. */
  constant(content: Tensor, name = 'const'): Value {
    return addInitializer(this.graph, this.unique(name), content)
  }

  /** A float32 scalar initializer, shared by all that ask for the same number. */
  scalar(value: number): Value {
    return this.shared(`f${value}`, () => scalar(value))
  }

  /** An int64 vector initializer, shared. */
  ints(values: readonly number[]): Value {
    return this.shared(`i${values.join(',')}`, () => i64(values))
  }

  /** A float32 vector initializer. */
  floats(values: readonly number[], name?: string): Value {
    return this.constant(f32(values), name)
  }

  /** Adds a node with one output. */
  op(type: string, inputs: readonly Input[], attributes: Record<string, AttributeInit> = {}, name?: string): Value {
    return this.ops(type, inputs, 1, attributes, name)[0]!
  }

  /** Adds a node with `count` outputs, infers their types and returns them. */
  ops(type: string, inputs: readonly Input[], count: number, attributes: Record<string, AttributeInit> = {}, name?: string): Value[] {
    const stem = name ?? type.toLowerCase()
    const names = Array.from({ length: count }, (_, i) => this.unique(count === 1 ? stem : `${stem}_${i}`))
    const node = addNode(this.graph, type, inputs, names, attributes, { name: names[0]! })
    inferNode(node, this.opset)
    return node.outputs as Value[]
  }

  /** Copies a node as it is (inputs mapped by the caller), with fresh output names. */
  copy(node: Node, inputs: readonly Input[]): Node {
    const names = node.outputs.map((v) => (v ? this.unique(v.name) : ''))
    const made = addNode(this.graph, node.opType, inputs, names, {}, { name: names.find((n) => n !== '') ?? node.name, domain: node.domain })
    node.outputs.forEach((v, i) => {
      if (!v) (made.outputs as Input[])[i] = undefined
    })
    for (const [key, a] of node.attributes) made.attributes.set(key, a)
    inferNode(made, this.opset)
    return made
  }

  add(a: Value, b: Value, name?: string): Value { return this.op('Add', [a, b], {}, name) }
  sub(a: Value, b: Value, name?: string): Value { return this.op('Sub', [a, b], {}, name) }
  mul(a: Value, b: Value, name?: string): Value { return this.op('Mul', [a, b], {}, name) }
  div(a: Value, b: Value, name?: string): Value { return this.op('Div', [a, b], {}, name) }
  reshape(x: Value, shape: readonly number[], name?: string): Value { return this.op('Reshape', [x, this.ints(shape)], {}, name) }
  transpose(x: Value, perm: readonly number[], name?: string): Value { return this.op('Transpose', [x], { perm }, name) }
  cast(x: Value, to: DType): Value { return x.dtype === to ? x : this.op('Cast', [x], { to: onnxTypeCode(to) }) }
  /** Sum over `axes` (all axes when none are given). */
  sum(x: Value, axes?: readonly number[], keepdims = false): Value {
    return this.op('ReduceSum', [x, axes && this.ints(axes)], { keepdims })
  }

  private shared(key: string, make: () => Tensor): Value {
    let v = this.scalars.get(key)
    if (!v) {
      v = this.constant(make(), 'const')
      this.scalars.set(key, v)
    }
    return v
  }
}

/** Infers a node's output types by its op's shape rule; unknown ops leave them unknown. */
export function inferNode(node: Node, opset: number): void {
  const def = lookup(node.opType, node.domain)
  if (!def) return
  const types = def.shape(node, { opset })
  node.outputs.forEach((v, i) => {
    const t = types[i]
    if (!v || !t) return
    v.dtype = t.dtype ?? v.dtype
    v.shape = t.shape ?? v.shape
  })
}
