/** @file What a gradient rule may ask of the graph it adds nodes to; `Builder` is the one that does it. */
import type { DType } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { AttributeInit } from '../ir/attributes.ts'
import type { Value } from '../ir/graph.ts'

export interface Emitter {
  /** The opset of the graph. */
  readonly opset: number
  /** An initializer. */
  constant(content: Tensor, name?: string): Value
  /** A float32 scalar initializer, shared by all that ask for the same number. */
  scalar(value: number): Value
  /** An int64 vector initializer, shared. */
  ints(values: readonly number[]): Value
  /** A float32 vector initializer. */
  floats(values: readonly number[], name?: string): Value
  /** Adds a node with one output and infers its type. */
  op(type: string, inputs: readonly (Value | undefined)[], attributes?: Record<string, AttributeInit>, name?: string): Value
  /** Adds a node with `count` outputs, infers their types and returns them. */
  ops(type: string, inputs: readonly (Value | undefined)[], count: number, attributes?: Record<string, AttributeInit>, name?: string): Value[]
  add(a: Value, b: Value, name?: string): Value
  sub(a: Value, b: Value, name?: string): Value
  mul(a: Value, b: Value, name?: string): Value
  div(a: Value, b: Value, name?: string): Value
  reshape(x: Value, shape: readonly number[], name?: string): Value
  transpose(x: Value, perm: readonly number[], name?: string): Value
  cast(x: Value, to: DType): Value
  /** Sum over `axes` (all axes when none are given). */
  sum(x: Value, axes?: readonly number[], keepdims?: boolean): Value
}
