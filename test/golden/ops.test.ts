/** @file Conv, BatchNormalization in training and MaxPool, with their gradients, against torch. */
import { describe, expect, it } from 'vitest'
import { pullBack } from '../../src/autodiff/grad.ts'
import { createModel, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { lookup } from '../../src/ops/registry.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { runModel } from '../support/run.ts'
import { golden, type GoldenCase, of, relativeError } from './read.ts'

type Build = (b: Builder, input: (name: string) => Value) => { y: Value; more?: Readonly<Record<string, Value>> }

/** Runs the forward pass, and the gradients of `by` from the golden cotangent: outputs named as in the golden file. */
async function compute(c: GoldenCase, by: readonly string[], build: Build): Promise<Readonly<Record<string, Tensor>>> {
  const b = new Builder(new Graph('golden'))
  const inputs = new Map<string, Value>()
  const input = (name: string): Value => {
    const v = inputs.get(name) ?? b.input(name, 'float32', of(c, name).dims)
    inputs.set(name, v)
    return v
  }
  const { y, more = {} } = build(b, input)
  const grads = pullBack(b, new Map([[y, input('dy')]]), by.map(input))
  const wanted: Record<string, Value> = { y, ...Object.fromEntries(by.map((name) => [`d${name}`, grads.get(input(name))!])), ...more }
  for (const [name, v] of Object.entries(wanted)) wanted[name] = b.output(b.op('Identity', [v]))
  const results = await runModel(createModel(b.graph, b.opset), Object.fromEntries([...inputs.keys()].map((name) => [name, of(c, name)])))
  return Object.fromEntries(Object.entries(wanted).map(([name, v]) => [name, results[v.name]!]))
}

function expectClose(c: GoldenCase, results: Readonly<Record<string, Tensor>>): void {
  for (const [name, got] of Object.entries(results)) {
    const bound = name.startsWith('d') ? 2e-5 : 1e-5
    expect.soft(relativeError(got, of(c, name)), name).toBeLessThan(bound)
  }
}

describe('torch', () => {
  it.each(golden('conv').map((c) => [c.name, c] as const))('Conv: %s', async (_, c) => {
    const by = ['x', 'w', 'b'].filter((name) => name in c.tensors)
    const results = await compute(c, by, (b, input) => ({ y: b.op('Conv', by.map(input), c.attributes) }))
    expect(Object.keys(results)).toHaveLength(by.length + 1)
    expectClose(c, results)
  })

  it.each(golden('batchnorm').map((c) => [c.name, c] as const))('BatchNormalization: %s', async (_, c) => {
    const results = await compute(c, ['x', 'scale', 'bias'], (b, input) => {
      const plain = b.op('BatchNormalization', ['x', 'scale', 'bias', 'mean', 'var'].map(input), { epsilon: { float: Number(c.attributes.epsilon) } })
      const form = lookup('BatchNormalization')!.training!(b, plain.producer!, Number(c.attributes.momentum))
      return { y: form.outputs[0]!, more: { next_mean: form.updates[0]!.next, next_var: form.updates[1]!.next } }
    })
    expect(Object.keys(results).sort()).toEqual(['dbias', 'dscale', 'dx', 'next_mean', 'next_var', 'y'])
    expectClose(c, results)
  })

  it.each(golden('maxpool').map((c) => [c.name, c] as const))('MaxPool: %s', async (_, c) => {
    const results = await compute(c, ['x'], (b, input) => ({ y: b.op('MaxPool', [input('x')], c.attributes) }))
    expect(relativeError(results['y']!, of(c, 'y'))).toBe(0)
    expectClose(c, results)
  })
})
