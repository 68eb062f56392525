/** @file Latency: interleaving, medians, random input. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { addInput } from '../../src/ir/edit.ts'
import { measureLatency, randomFeeds } from '../../src/runtime/latency.ts'
import type { Session } from '../../src/runtime/session.ts'
import type { DType } from '../../src/tensor/dtype.ts'
import { createRng } from '../../src/tensor/rng.ts'

function modelWith(...inputs: [name: string, dtype: DType, shape: (number | string)[]][]): Model {
  const graph = new Graph('inputs')
  for (const [name, dtype, shape] of inputs) addInput(graph, name, dtype, shape)
  return createModel(graph, 17)
}

function waiting(name: string, ms: number, calls: string[]): Session {
  return {
    inputNames: [],
    outputNames: [],
    run: async () => {
      calls.push(name)
      const end = performance.now() + ms
      while (performance.now() < end) continue
      return {}
    },
    release: async () => {},
  }
}

describe('measureLatency', () => {
  it('warms up, then runs in turns, the order reversed every round', async () => {
    const calls: string[] = []
    const [fast, slow] = await measureLatency([{ session: waiting('a', 1, calls), feeds: {} }, { session: waiting('b', 4, calls), feeds: {} }], { runs: 3, warmup: 1 })
    expect(calls.join('')).toBe('ababbaab')
    expect(fast!.runs).toBe(3)
    expect(fast!.minMs).toBeGreaterThanOrEqual(1)
    expect(slow!.minMs).toBeGreaterThanOrEqual(4)
    expect(slow!.medianMs).toBeGreaterThanOrEqual(slow!.minMs)
    expect(slow!.maxMs).toBeGreaterThanOrEqual(slow!.medianMs)
  })
})

describe('randomFeeds', () => {
  it('fills every input; a free batch is 1 or what is asked for', () => {
    const model = modelWith(['x', 'float32', ['N', 3, 2]], ['u', 'uint8', [1, 4]], ['n', 'int64', [1, 2]])
    const feeds = randomFeeds(model, 'm.onnx', createRng(1))
    expect(feeds.x!.dims).toEqual([1, 3, 2])
    expect(new Set(feeds.x!.data as Float32Array).size).toBe(6)
    expect(feeds.u!.data.some((v) => Number(v) > 1)).toBe(true)
    expect(feeds.n!.data).toEqual(new BigInt64Array(2))
    expect(randomFeeds(modelWith(['x', 'float32', ['N', 2]]), 'm.onnx', createRng(1), 5).x!.dims).toEqual([5, 2])
    expect(randomFeeds(model, 'm.onnx', createRng(1))).toEqual(feeds)
  })

  it('names what it cannot fill', () => {
    expect(() => randomFeeds(modelWith(['x', 'float32', [1, 3, 'H', 'W']]), 'm.onnx', createRng(1))).toThrow('m.onnx: input "x" has free axes [1,3,H,W]; export the model with fixed sizes')
    expect(() => randomFeeds(modelWith(['x', 'float32', [1, 3]]), 'm.onnx', createRng(1), 4)).toThrow('m.onnx: input "x" has a batch of 1 built in, so --batch 4 is impossible')
  })
})
