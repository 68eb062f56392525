/** @file Gradients of elementwise, reducing, moving and indexing operators against central differences in the runtime. */
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { pullBack } from '../../src/autodiff/grad.ts'
import { createModel, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, scalar, type Tensor } from '../../src/tensor/tensor.ts'
import { describeCase } from '../support/op-case.ts'
import { runModel } from '../support/run.ts'
import { gradientCases, positive } from './gradient-cases.ts'

describe('gradients', () => {
  it.each(gradientCases.map((c) => [describeCase(c), c] as const))('%s', async (name, c) => {
    const by = c.inputs.flatMap((t, i) => (t?.dtype === 'float32' && (!c.by || c.by.includes(i)) ? [i] : []))
    const build = (b: Builder, given: readonly Value[]): Value[] => {
      const inputs = c.inputs.map((t, i) => (by.includes(i) ? given[by.indexOf(i)] : t && b.constant(t)))
      const outputs = b.ops(c.op, inputs, c.outputs ?? 1, c.attributes ?? {})
      return c.take ? c.take.map((i) => outputs[i]!) : outputs
    }
    const { worst } = await checkGradient({ build, inputs: by.map((i) => c.inputs[i]!), run: runModel, rng: createRng(name) })
    expect(worst).toBeLessThan(1e-3)
  })

  it.each([
    ['gate last', (b: Builder, x: Value): Value[] => [b.mul(x, b.op('Sigmoid', [x]))]],
    ['gate first', (b: Builder, x: Value): Value[] => [b.mul(b.op('Sigmoid', [x]), x)]],
    ['a gate that is read elsewhere too', (b: Builder, x: Value): Value[] => {
      const s = b.op('Sigmoid', [x])
      return [b.mul(x, s), b.mul(s, s)]
    }],
    ['the gate of another value', (b: Builder, x: Value): Value[] => [b.mul(x, b.op('Sigmoid', [b.mul(x, b.scalar(2))]))]],
  ])('SiLU as a product: %s', async (name, build) => {
    const { worst } = await checkGradient({ build: (b, [x]) => build(b, x!), inputs: [f32([-3, -1, -0.2, 0, 0.4, 2], [2, 3])], run: runModel, rng: createRng(name) })
    expect(worst).toBeLessThan(1e-3)
  })

  it('a gate whose own gradient is asked for gets it', async () => {
    const b = new Builder(new Graph('g'))
    const x = b.input('x', 'float32', [2])
    const s = b.op('Sigmoid', [x])
    const grads = pullBack(b, new Map([[b.mul(x, s), b.floats([1, 1])]]), [x, s])
    for (const [v, name] of [[x, 'byX'], [s, 'byGate']] as const) b.output(b.op('Identity', [grads.get(v)!], {}, name))
    const out = await runModel(createModel(b.graph, b.opset), { x: f32([0, 3]) })
    expect(Array.from(floats(out['byGate']!))).toEqual([0, 3])
    // Cut there: x counts only as the factor that it is.
    expect(floats(out['byX']!)[0]).toBeCloseTo(0.5, 6)
  })

  it('Pow with a constant exponent', async () => {
    for (const n of [2, 3, 0.5]) {
      const { worst } = await checkGradient({ build: (b, [v]) => b.op('Pow', [v, b.scalar(n)]), inputs: [positive(2, 3)], run: runModel, rng: createRng(n) })
      expect(worst).toBeLessThan(1e-3)
    }
  })
})

/** The gradient of the sum of an op's output at given points, exactly as computed. */
async function gradientAt(op: string, points: readonly Tensor[], settings: readonly Tensor[] = []): Promise<number[][]> {
  const b = new Builder(new Graph('g'))
  const inputs = points.map((t, i) => b.input(`x${i}`, t.dtype, t.dims))
  const y = b.op(op, [...inputs, ...settings.map((t) => b.constant(t))])
  const ones = b.op('Expand', [b.scalar(1), b.op('Shape', [y])])
  const grads = pullBack(b, new Map([[y, ones]]), inputs)
  inputs.forEach((v, i) => b.output(b.op('Identity', [grads.get(v)!], {}, `g${i}`)))
  const out = await runModel(createModel(b.graph, b.opset), Object.fromEntries(points.map((t, i) => [`x${i}`, t])))
  return points.map((_, i) => Array.from(floats(out[`g${i}`]!)))
}

describe('gradients on kinks', () => {
  it('Max and Min give ties to the first of equals', async () => {
    expect(await gradientAt('Max', [f32([1, 2, 3]), f32([1, 3, 2])])).toEqual([[1, 0, 1], [0, 1, 0]])
    expect(await gradientAt('Min', [f32([1, 2, 3]), f32([1, 3, 2]), f32([1, 1, 2])])).toEqual([[1, 0, 0], [0, 0, 1], [0, 1, 0]])
  })

  it('Relu and Abs are flat at zero, ReduceMax shares ties, Clip lets its bounds through', async () => {
    expect(await gradientAt('Relu', [f32([0, 1])])).toEqual([[0, 1]])
    expect(await gradientAt('Abs', [f32([0, -1])])).toEqual([[0, -1]])
    expect(await gradientAt('ReduceMax', [f32([2, 2, 1])])).toEqual([[0.5, 0.5, 0]])
    expect(await gradientAt('Clip', [f32([0, 1, 2])], [scalar(0), scalar(1)])).toEqual([[1, 1, 0]])
    expect(await gradientAt('ReduceL2', [f32([0, 0])])).toEqual([[0, 0]])
  })

  it('piecewise constant ops and integers let nothing flow back', () => {
    const b = new Builder(new Graph('g'))
    const v = b.input('v', 'float32', [3])
    for (const op of ['Floor', 'Ceil', 'Round', 'Sign', 'Hardmax']) {
      const y = b.op(op, [v])
      expect(pullBack(b, new Map([[y, b.floats([1, 1, 1])]]), [v]).size).toBe(0)
    }
    const logic = b.cast(b.op('Greater', [v, b.scalar(0)]), 'float32')
    expect(pullBack(b, new Map([[logic, b.floats([1, 1, 1])]]), [v]).size).toBe(0)
    expect(() => pullBack(b, new Map([[b.op('ReduceProd', [v]), b.scalar(1)]]), [v])).toThrow(/ReduceProd/)
  })
})
