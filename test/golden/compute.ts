/** @file Runs a golden case through our graphs: the result, and gradients from the golden cotangent. */
import { expect } from 'vitest'
import { pullBack } from '../../src/autodiff/grad.ts'
import { createModel, dimsOf, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { runModel } from '../support/run.ts'
import { type GoldenCase, of, relativeError } from './read.ts'

export type Build = (b: Builder, input: (name: string) => Value) => { y: Value; more?: Readonly<Record<string, Value>> }

/** Runs the forward pass, and the gradients of `by` from the golden cotangent: outputs named as in the golden file. */
export async function compute(c: GoldenCase, by: readonly string[], build: Build): Promise<Readonly<Record<string, Tensor>>> {
  const b = new Builder(new Graph('golden'))
  const inputs = new Map<string, Value>()
  const input = (name: string): Value => {
    const v = inputs.get(name) ?? b.input(name, 'float32', of(c, name).dims)
    inputs.set(name, v)
    return v
  }
  const { y, more = {} } = build(b, input)
  // A scalar loss needs no cotangent in the file.
  const seed = 'dy' in c.tensors && !by.includes('y') ? input('dy') : b.op('Expand', [b.scalar(1), b.ints(dimsOf(y))])
  const grads = pullBack(b, new Map([[y, seed]]), by.map(input))
  const wanted: Record<string, Value> = { y, ...Object.fromEntries(by.map((name) => [`d${name}`, grads.get(input(name))!])), ...more }
  for (const [name, v] of Object.entries(wanted)) wanted[name] = b.output(b.op('Identity', [v]))
  const results = await runModel(createModel(b.graph, b.opset), Object.fromEntries([...inputs.keys()].map((name) => [name, of(c, name)])))
  return Object.fromEntries(Object.entries(wanted).map(([name, v]) => [name, results[v.name]!]))
}

export function expectClose(c: GoldenCase, results: Readonly<Record<string, Tensor>>): void {
  for (const [name, got] of Object.entries(results)) {
    const bound = name.startsWith('d') ? 2e-5 : 1e-5
    expect.soft(relativeError(got, of(c, name)), name).toBeLessThan(bound)
  }
}
