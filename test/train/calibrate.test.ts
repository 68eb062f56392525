/** @file Ranges over inputs, and the layers that 8 bits harm most. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { calibrationPoints, quantizable } from '../../src/passes/quantize.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import type { Tensors } from '../../src/runtime/session.ts'
import { f32, scalar } from '../../src/tensor/tensor.ts'
import { calibrate, type RangeRule } from '../../src/train/calibrate.ts'
import { layerHarms } from '../../src/train/spare-layers.ts'
import { Net } from '../passes/nets.ts'
import { normal } from '../support/op-case.ts'

function ranges(model: Model, names: readonly string[], range: RangeRule, sets: readonly Tensors[]) {
  return calibrate(model, names, {
    runtime: nodeRuntime,
    session: { threads: 1 },
    range,
    runs: sets.length,
    async *inputs() {
      yield* sets
    },
  })
}

describe('ranges', () => {
  function doubler(length: number): Model {
    const net = new Net()
    return net.model(17, net.op('Mul', [net.input('x', [length]), net.constant('two', scalar(2))], {}, ['y']))
  }

  it('minmax: the ends over all runs, of inputs and of what is computed', async () => {
    const found = await ranges(doubler(3), ['x', 'y'], 'minmax', [{ x: f32([1, 2, 3]) }, { x: f32([-4, 0, 2]) }])
    expect(Object.fromEntries(found)).toEqual({ x: { min: -4, max: 3 }, y: { min: -8, max: 6 } })
  })

  it('percentile: a few far numbers are left out, what is common is not', async () => {
    const length = 100_000
    // 0 to 1 evenly, but for five numbers of a hundred thousand at either end; a hundredth of a percent is ten.
    const x = Float32Array.from({ length }, (_, i) => (i < 5 ? -100 : i >= length - 5 ? 300 : i / length))
    const { min, max } = (await ranges(doubler(length), ['y'], 'percentile', [{ x: f32(x) }])).get('y')!
    // Bins are as wide as the whole range lets them be: 800 / 2048.
    expect(min).toBeGreaterThan(-0.8)
    expect(min).toBeLessThanOrEqual(0)
    expect(max).toBeGreaterThanOrEqual(2)
    expect(max).toBeLessThan(2.8)
    const common = Float32Array.from({ length }, (_, i) => (i % 1000 === 0 ? 50 : i / length))
    expect((await ranges(doubler(length), ['x'], 'percentile', [{ x: f32(common) }])).get('x')!.max).toBeCloseTo(50, 1)
  })

  it('numbers that are none do not pass unseen; a constant value has a range', async () => {
    const found = await ranges(doubler(2), ['x', 'y'], 'percentile', [{ x: f32([Number.NaN, 1]) }, { x: f32([2, 3]) }])
    expect(Number.isFinite(found.get('x')!.min)).toBe(false)
    expect((await ranges(doubler(2), ['x'], 'percentile', [{ x: f32([7, 7]) }])).get('x')).toEqual({ min: 7, max: 7 })
  })
})

describe('harm of layers', () => {
  it('a layer whose channels are of very different sizes suffers most; the order does not hang on names of outputs', async () => {
    const net = new Net()
    const x = net.input('x', [1, 2, 4, 4])
    const plain = net.op('Conv', [x, net.constant('w1', f32([1, 0, 0, 1], [2, 2, 1, 1]))], {}, ['plain'])
    // One channel a thousand times the other, which the next layer brings back to size: of 255 steps the small one has none.
    const uneven = net.op('Conv', [plain, net.constant('w2', f32([1000, 0, 0, 1], [2, 2, 1, 1]))], {}, ['uneven'])
    const last = net.op('Conv', [uneven, net.constant('w3', f32([0.001, 0, 0, 1], [2, 2, 1, 1]))], {}, ['last'])
    const model = quantizable(net.model(17, last))
    const sets = [{ x: normal([1, 2, 4, 4]) }]
    const found = await ranges(model, calibrationPoints(model), 'minmax', sets)
    const harms = await layerHarms(model, found, { runtime: nodeRuntime, session: { threads: 1 }, inputs: sets })
    expect(harms.map((h) => h.node).sort()).toEqual(['last', 'plain', 'uneven'])
    const of = (node: string): number => harms.find((h) => h.node === node)!.harm
    expect(of('plain')).toBeGreaterThan(0)
    expect(of('plain')).toBeLessThan(0.02)
    expect(of('uneven')).toBeGreaterThan(0.3)
    expect(harms.map((h) => h.harm)).toEqual(harms.map((h) => h.harm).sort((a, b) => b - a))
    const others = await layerHarms(model, found, { runtime: nodeRuntime, session: { threads: 1 }, inputs: sets, float: new Set(['uneven']) })
    expect(others.map((h) => h.node).sort()).toEqual(['last', 'plain'])
  })

  it('outputs behind a choice cannot be compared', async () => {
    const net = new Net()
    const y = net.op('Conv', [net.input('x', [1, 1, 2, 2]), net.weights('w', [1, 1, 1, 1])])
    const model = quantizable(net.model(17, net.op('Floor', [y])))
    const sets = [{ x: normal([1, 1, 2, 2]) }]
    const found = await ranges(model, calibrationPoints(model), 'minmax', sets)
    await expect(layerHarms(model, found, { runtime: nodeRuntime, inputs: sets })).rejects.toThrow('give --spare 0')
  })
})
