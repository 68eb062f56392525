/** @file One operator as a model: what the tables of operator tests are made of. */
import { addInitializer, addInput, addNode } from '../../src/ir/edit.ts'
import type { AttributeInit } from '../../src/ir/attributes.ts'
import { createModel, Graph, type Model, type Node } from '../../src/ir/graph.ts'
import { inferNode } from '../../src/ops/builder.ts'
import { isFloat } from '../../src/tensor/dtype.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'

export interface OpCase {
  readonly op: string
  readonly inputs: readonly (Tensor | undefined)[]
  readonly attributes?: Record<string, AttributeInit>
  /** Default 21. */
  readonly opset?: number
  /** Number of outputs, default 1. */
  readonly outputs?: number
  /** Inputs that are fed at run time; default: those of floats. The others are initializers. */
  readonly fed?: readonly number[]
}

export function describeCase(c: OpCase): string {
  const shapes = c.inputs.map((t) => (t ? `${t.dtype}[${t.dims.join(',')}]` : '_'))
  const attributes = Object.entries(c.attributes ?? {}).map(([k, v]) => `${k}=${JSON.stringify(v, (_, part: unknown) => (typeof part === 'bigint' ? Number(part) : part))}`)
  return `${c.op}-${c.opset ?? 21}(${shapes.join(', ')}) ${attributes.join(' ')}`.trim()
}

export function buildCase(c: OpCase): { model: Model; node: Node; feeds: Record<string, Tensor> } {
  const graph = new Graph('case')
  const feeds: Record<string, Tensor> = {}
  const opset = c.opset ?? 21
  const values = c.inputs.map((t, i) => {
    if (!t) return undefined
    const fed = c.fed ? c.fed.includes(i) : isFloat(t.dtype)
    if (!fed) return addInitializer(graph, `c${i}`, t)
    feeds[`x${i}`] = t
    return addInput(graph, `x${i}`, t.dtype, t.dims)
  })
  const names = Array.from({ length: c.outputs ?? 1 }, (_, i) => `y${i}`)
  const node = addNode(graph, c.op, values, names, c.attributes ?? {}, { name: 'node' })
  graph.outputs.push(...node.outputs.map((v) => v!))
  inferNode(node, opset)
  return { model: createModel(graph, opset), node, feeds }
}

/** Standard normal floats, the same for the same dims and seed. */
export function normal(dims: readonly number[], seed: number | string = 1): Tensor {
  const rng = createRng(`${seed}/${dims.join(',')}`)
  return f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()), dims)
}

/** Floats at least `gap` away from zero and from each other in absolute value: off the kinks of Relu, Abs, Max and TopK. */
export function spaced(dims: readonly number[], seed: number | string = 1, gap = 0.1): Tensor {
  const rng = createRng(`${seed}/${dims.join(',')}`)
  const count = sizeOf(dims)
  const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => Math.sin(a * 12.9898 + count) - Math.sin(b * 12.9898 + count))
  return f32(Float32Array.from(order, (k) => (k + 1) * gap * (rng.next() < 0.5 ? -1 : 1)), dims)
}
