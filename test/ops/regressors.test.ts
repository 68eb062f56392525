/** @file What a convolution weighs: weight times regressors plus bias is the convolution itself, for every case of the table. */
import { describe, expect, it } from 'vitest'
import { dimsOf } from '../../src/ir/graph.ts'
import { lookup } from '../../src/ops/registry.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { describeCase } from '../support/op-case.ts'
import { buildAndRun } from '../support/run.ts'
import { convCases } from './window-cases.ts'

describe('regressors', () => {
  const cases = convCases.filter((c) => c.op === 'Conv' && c.opset === 21 && c.inputs.every((t) => t!.dims.every((d) => d > 0)))
  it('has cases of groups, strides, dilations and automatic padding', () => {
    for (const word of ['group', 'strides', 'dilations', 'SAME_LOWER']) expect(cases.some((c) => describeCase(c).includes(word))).toBe(true)
  })

  it.each(cases.map((c) => [describeCase(c), c] as const))('%s', async (_, c) => {
    const [x, w, bias] = c.inputs
    const out = await buildAndRun((b) => {
      const input = b.constant(x!)
      const y = b.op('Conv', [input, b.constant(w!), bias && b.constant(bias)], c.attributes ?? {})
      const found = lookup('Conv')!.regressors!(b, y.producer!, input)
      const [, groups, inputs] = dimsOf(found) as [number, number, number]
      const dims = dimsOf(y)
      const products = b.op('MatMul', [b.reshape(b.constant(w!), [1, groups, w!.dims[0]! / groups, inputs]), found])
      const sum = b.reshape(products, dims)
      const own = bias ? b.add(sum, b.reshape(b.constant(bias), [1, dims[1]!, ...dims.slice(2).map(() => 1)])) : sum
      b.output(b.op('Identity', [y]), 'wanted')
      b.output(b.op('Identity', [own]), 'found')
    })
    const [wanted, found] = [floats(out.wanted!), floats(out.found!)]
    expect(found).toHaveLength(sizeOf(out.wanted!.dims))
    const scale = wanted.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
    expect(scale).toBeGreaterThan(0)
    wanted.forEach((v, i) => expect(Math.abs(found[i]! - v) / scale).toBeLessThan(1e-5))
  })
})
