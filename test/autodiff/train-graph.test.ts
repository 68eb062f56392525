/** @file Optimizer steps against the update rules by hand. */
import { describe, expect, it } from 'vitest'
import type { OptimizerOptions } from '../../src/autodiff/optimizers.ts'
import { buildGradientGraph, buildTrainStep } from '../../src/autodiff/train-graph.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { createTrainStep } from '../../src/train/step.ts'
import { runModel } from '../support/run.ts'

/** Loss 0.5 sum (w - t)^2 + b: gradient w - t for w of two elements; b [2] gets gradient 1 each. */
async function trainedOf(dims: readonly number[], optimizer: OptimizerOptions, steps: number, rate: number): Promise<{ w: number[]; b: number[]; norm: number }> {
  const graph = buildTrainStep((b) => {
    const w = b.input('w', 'float32', dims)
    const bias = b.input('b', 'float32', [2])
    const target = b.input('target', 'float32', dims)
    const d = b.sub(w, target)
    const loss = b.add(b.mul(b.sum(b.mul(d, d)), b.scalar(0.5)), b.sum(bias))
    return { objectives: [{ loss, wrt: [w, bias] }], metrics: { loss } }
  }, optimizer)
  const step = await createTrainStep(nodeRuntime, graph, (name) => (name === 'w' ? f32([1, 2], dims) : f32([0, 0])), { threads: 1 })
  let norm = 0
  for (let i = 0; i < steps; i++) norm = (await step.run({ target: f32([0, 0], dims) }, rate)).gradientNorm!
  const weights = step.weights()
  const result = { w: [...floats(weights.get('w')!)], b: [...floats(weights.get('b')!)], norm }
  await step.release()
  return result
}

/** The same by plain arithmetic. */
function byHand(update: (w: number, g: number, state: number[], step: number) => number, steps: number): { w: number[]; b: number[] } {
  const w = [1, 2]
  const b = [0, 0]
  const state = [[0, 0], [0, 0], [0, 0], [0, 0]]
  for (let s = 1; s <= steps; s++) {
    for (const i of [0, 1]) w[i] = update(w[i]!, w[i]!, state[i]!, s)
    for (const i of [0, 1]) b[i] = update(b[i]!, 1, state[2 + i]!, s)
  }
  return { w, b }
}

const close = (got: number[], want: number[]): void => got.forEach((v, i) => expect(v).toBeCloseTo(want[i]!, 5))

// Weights whose dims end in ones, as those of 1x1 kernels do, are updated flat.
describe.each([[[1, 2]], [[2, 1]], [[1, 2, 1, 1]]])('optimizer steps of a weight %j', (dims) => {
  const trained = (optimizer: OptimizerOptions, steps: number, rate: number): ReturnType<typeof trainedOf> => trainedOf(dims, optimizer, steps, rate)

  it('SGD with momentum', async () => {
    const got = await trained({ type: 'sgd', momentum: 0.9 }, 3, 0.1)
    const want = byHand((w, g, state) => {
      state[0] = 0.9 * state[0]! + g
      return w - 0.1 * state[0]
    }, 3)
    close(got.w, want.w)
    close(got.b, want.b)
  })

  it('Nesterov momentum', async () => {
    const got = await trained({ type: 'sgd', momentum: 0.9, nesterov: true }, 3, 0.1)
    const want = byHand((w, g, state) => {
      state[0] = 0.9 * state[0]! + g
      return w - 0.1 * (g + 0.9 * state[0])
    }, 3)
    close(got.w, want.w)
    close(got.b, want.b)
  })

  it('weight decay spares biases', async () => {
    const got = await trained({ type: 'sgd', momentum: 0, weightDecay: 0.5 }, 1, 0.1)
    close(got.w, [1 - 0.1 * 1.5, 2 - 0.1 * 3])
    close(got.b, [-0.1, -0.1])
  })

  it('clips by the joint norm and reports the norm before', async () => {
    const got = await trained({ type: 'sgd', momentum: 0, clipNorm: 1 }, 1, 0.1)
    const norm = Math.sqrt(1 + 4 + 1 + 1)
    expect(got.norm).toBeCloseTo(norm, 5)
    close(got.w, [1 - 0.1 / norm, 2 - 0.2 / norm])
    close(got.b, [-0.1 / norm, -0.1 / norm])
  })

  it('Adam', async () => {
    const got = await trained({ type: 'adam' }, 3, 0.1)
    const want = byHand((w, g, state, s) => {
      state[0] = 0.9 * state[0]! + 0.1 * g
      state[1] = 0.999 * (state[1] ?? 0) + 0.001 * g * g
      return w - (0.1 * (state[0] / (1 - 0.9 ** s))) / (Math.sqrt(state[1] / (1 - 0.999 ** s)) + 1e-8)
    }, 3)
    close(got.w, want.w)
    close(got.b, want.b)
  })

  it('Adam in steps relative to each weight', async () => {
    const got = await trained({ type: 'adam', relative: true }, 1, 0.1)
    // The first step of Adam is the rate itself, whatever the gradient; w has the root mean square sqrt(5/2), b is 0 and counts as 1e-3.
    close(got.w, [1 - 0.1 * Math.sqrt(2.5), 2 - 0.1 * Math.sqrt(2.5)])
    close(got.b, [-0.1 * 1e-3, -0.1 * 1e-3])
  })

  it('refuses a weight that no loss depends on, by name', () => {
    expect(() => buildTrainStep((b) => {
      const w = b.input('used', 'float32', [2])
      const idle = b.input('idle', 'float32', [2])
      return { objectives: [{ loss: b.sum(w), wrt: [w, idle] }], metrics: {} }
    }, { type: 'sgd', momentum: 0 })).toThrow(/"idle" does not influence the loss/)
  })
})

describe('createTrainStep', () => {
  it('a step whose loss is not finite leaves the weights as they were', async () => {
    const graph = buildTrainStep((b) => {
      const w = b.input('w', 'float32', [2])
      const loss = b.sum(b.mul(w, b.input('x', 'float32', [2])))
      return { objectives: [{ loss, wrt: [w] }], metrics: { loss } }
    }, { type: 'sgd', momentum: 0.9 })
    const step = await createTrainStep(nodeRuntime, graph, () => f32([1, 2]), { threads: 1 })
    try {
      await step.run({ x: f32([1, 1]) }, 0.5)
      await expect(step.run({ x: f32([NaN, 1]) }, 0.5)).rejects.toThrow('step 2: loss is NaN; lower the learning rate')
      expect([...floats(step.weights().get('w')!)]).toEqual([0.5, 1.5])
    } finally {
      await step.release()
    }
  })
})

describe('gradients', () => {
  it('keeps objectives apart', async () => {
    const graph = buildGradientGraph((b) => {
      const w = b.input('w', 'float32', [2])
      const square = b.sum(b.mul(w, w))
      return { objectives: { square: [{ loss: square, wrt: [w] }], sum: [{ loss: b.sum(w), wrt: [w] }] }, metrics: { square } }
    })
    const out = await runModel(graph.model, { w: f32([3, -1]) })
    expect([...floats(out['square/w']!)]).toEqual([6, -2])
    expect([...floats(out['sum/w']!)]).toEqual([1, 1])
    expect(floats(out['metric/square']!)[0]).toBe(10)
  })

  it('sums a broadcast operand back to its shape', async () => {
    const graph = buildGradientGraph((b) => {
      const w = b.input('w', 'float32', [3, 1])
      const x = b.constant(f32([1, 2, 3, 4, 5, 6], [2, 3, 1]))
      return { objectives: { loss: [{ loss: b.sum(b.mul(x, w)), wrt: [w] }] }, metrics: {} }
    })
    const out = await runModel(graph.model, { w: f32([1, 1, 1], [3, 1]) })
    expect(out['loss/w']!.dims).toEqual([3, 1])
    expect([...floats(out['loss/w']!)]).toEqual([5, 7, 9])
  })

  it('fails closed on an operator it does not know, naming the node', () => {
    expect(() => buildGradientGraph((b) => {
      const w = b.input('w', 'float32', [2])
      const y = b.op('Mystery', [w], {}, 'strange')
      y.dtype = 'float32'
      y.shape = [2]
      return { objectives: { loss: [{ loss: b.sum(y), wrt: [w] }] }, metrics: {} }
    })).toThrow(/Mystery \(node "strange"\)/)
  })
})
