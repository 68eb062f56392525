/** @file Conv, BatchNormalization in training and MaxPool, with their gradients, against torch. */
import { describe, expect, it } from 'vitest'
import { lookup } from '../../src/ops/registry.ts'
import { compute, expectClose } from './compute.ts'
import { golden, of, relativeError } from './read.ts'

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
