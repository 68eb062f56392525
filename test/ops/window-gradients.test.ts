/** @file Gradients of convolutions, pools, products, normalisations and resizing against central differences in the runtime. */
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { pullBack } from '../../src/autodiff/grad.ts'
import { createModel, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { lookup } from '../../src/ops/registry.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { describeCase, normal, type OpCase } from '../support/op-case.ts'
import { buildAndRun, runModel } from '../support/run.ts'
import { convCases, normCases, poolCases, productCases, resizeCases } from './window-cases.ts'

/** Statistics of BatchNormalization have no gradient. */
const differentiated = (c: OpCase): number[] => c.inputs.flatMap((t, i) => (t?.dtype === 'float32' && t.dims.every((d) => d > 0) && (c.fed ? c.fed.includes(i) : true) && !(c.op === 'BatchNormalization' && i > 2) ? [i] : []))

describe('gradients', () => {
  const cases = [...convCases, ...poolCases, ...productCases, ...normCases, ...resizeCases].filter((c) => (c.opset ?? 21) === 21)
  it.each(cases.map((c) => [describeCase(c), c] as const))('%s', async (name, c) => {
    const by = differentiated(c)
    const build = (b: Builder, given: readonly Value[]): Value => {
      const inputs = c.inputs.map((t, i) => (by.includes(i) ? given[by.indexOf(i)] : t && b.constant(t)))
      return b.ops(c.op, inputs, c.outputs ?? 1, c.attributes ?? {})[0]!
    }
    const { worst } = await checkGradient({ build, inputs: by.map((i) => c.inputs[i]!), run: runModel, rng: createRng(name) })
    expect(worst).toBeLessThan(1e-3)
  })

  it('MaxPool gives ties to the first of equals, once for each window', async () => {
    const b = new Builder(new Graph('g'))
    const x = b.input('x', 'float32', [1, 1, 3, 3])
    const y = b.op('MaxPool', [x], { kernel_shape: [2, 2] })
    const g = pullBack(b, new Map([[y, b.constant(f32([1, 2, 4, 8], [1, 1, 2, 2]))]]), [x]).get(x)!
    b.output(g)
    const out = await runModel(createModel(b.graph, b.opset), { x: f32([0, 5, 5, 0, 5, 0, 0, 0, 0], [1, 1, 3, 3]) })
    // Windows at (0,0) and (0,1) both take the 5 above; the two below take the middle one.
    expect(Array.from(floats(out[g.name]!))).toEqual([0, 3, 0, 0, 12, 0, 0, 0, 0])
  })

  it('MaxPool gives ties to the first of equals in windows of many taps too', async () => {
    const b = new Builder(new Graph('g'))
    const x = b.input('x', 'float32', [1, 2, 6, 7])
    const y = b.op('MaxPool', [x], { kernel_shape: [5, 5], pads: [2, 2, 2, 2] })
    const g = pullBack(b, new Map([[y, b.constant(f32(new Float32Array(84).map((_, i) => i + 1), [1, 2, 6, 7]))]]), [x]).get(x)!
    b.output(g)
    const values = Float32Array.from({ length: 84 }, (_, i) => (i * 37) % 3)
    const expected = new Float32Array(84)
    for (let c = 0; c < 2; c++) for (let row = 0; row < 6; row++) for (let column = 0; column < 7; column++) {
      let first = -1
      for (let r = Math.max(0, row - 2); r <= Math.min(5, row + 2); r++) for (let s = Math.max(0, column - 2); s <= Math.min(6, column + 2); s++) {
        const at = (c * 6 + r) * 7 + s
        if (first < 0 || values[at]! > values[first]!) first = at
      }
      expected[first]! += (c * 6 + row) * 7 + column + 1
    }
    const out = await runModel(createModel(b.graph, b.opset), { x: f32(values, [1, 2, 6, 7]) })
    expect(floats(out[g.name]!)).toEqual(expected)
  })

  it('refuses cubic resizing by name', () => {
    const b = new Builder(new Graph('g'))
    const x = b.input('x', 'float32', [1, 1, 4, 4])
    const y = b.op('Resize', [x, undefined, b.floats([1, 1, 2, 2])], { mode: 'cubic' }, 'up')
    expect(() => pullBack(b, new Map([[y, y]]), [x])).toThrow(/Resize "up".*cubic/)
  })
})

describe('training form of BatchNormalization', () => {
  it('normalises by the batch and moves the running statistics as torch does', async () => {
    const x = normal([2, 2, 3, 1])
    const feeds = { x, scale: f32([1, 1]), bias: f32([0, 0]), mean: f32([10, 20]), var: f32([3, 4]) }
    const out = await buildAndRun((b) => {
      const names = ['scale', 'bias', 'mean', 'var'].map((n) => b.input(n, 'float32', [2]))
      const source = b.input('x', 'float32', x.dims)
      const [y] = b.ops('BatchNormalization', [source, ...names], 1)
      const form = lookup('BatchNormalization')!.training!(b, y!.producer!, 0.1)
      b.output(form.outputs[0]!, 'y')
      form.updates.forEach((u, i) => b.output(u.next, i === 0 ? 'next_mean' : 'next_var'))
      expect(form.updates.map((u) => u.state.name)).toEqual(['mean', 'var'])
    }, feeds)
    const data = floats(x)
    expect([feeds.mean, feeds.var].map((t) => Array.from(floats(t)))).toEqual([[10, 20], [3, 4]])
    for (const c of [0, 1]) {
      const values = [0, 1].flatMap((n) => Array.from(data.slice((2 * n + c) * 3, (2 * n + c) * 3 + 3)))
      const mean = values.reduce((a, v) => a + v, 0) / 6
      const squares = values.reduce((a, v) => a + (v - mean) ** 2, 0)
      expect(floats(out['next_mean']!)[c]).toBeCloseTo(0.9 * [10, 20][c]! + 0.1 * mean, 5)
      expect(floats(out['next_var']!)[c]).toBeCloseTo(0.9 * [3, 4][c]! + (0.1 * squares) / 5, 5)
      expect(floats(out['y']!)[c * 3]).toBeCloseTo((values[0]! - mean) / Math.sqrt(squares / 6 + 1e-5), 5)
    }
  })
})
