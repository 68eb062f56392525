/** @file Depthwise convolutions with computed kernels in the blocks of the native CPU library, against its plain kernels. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { blockedKernels, blockedTrial } from '../../src/ops/blocked-kernels.ts'
import { Builder } from '../../src/ops/builder.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { ortRuntime, type OrtModule } from '../../src/runtime/ort.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { distance } from '../support/distance.ts'
import { normal } from '../support/op-case.ts'

interface Case { readonly groups: number; readonly map: readonly [number, number]; readonly kernel: readonly [number, number]; readonly attributes?: Record<string, number | readonly number[]>; readonly constant?: boolean; readonly images?: number; readonly bias?: boolean; readonly dtype?: 'float16' }

function convolution({ groups, map, kernel, attributes = {}, constant = false, images = 1, bias = false, dtype }: Case): Model {
  const b = new Builder(new Graph('g'))
  const by = [groups, 1, ...kernel]
  b.output(b.op('Conv', [b.input('x', dtype ?? 'float32', [images, groups, ...map]), constant ? b.constant(normal(by, 'k')) : b.input('kernel', dtype ?? 'float32', by), ...(bias ? [b.input('bias', 'float32', [groups])] : [])], { group: groups, ...attributes }), 'y')
  return createModel(b.graph, b.opset)
}

describe('convolutions in blocks', () => {
  it.each([
    [{ groups: 16, map: [6, 6], kernel: [6, 6], attributes: { pads: [1, 1, 1, 1] } }],
    [{ groups: 48, map: [9, 12], kernel: [5, 6], attributes: { pads: [1, 0, 0, 1], dilations: [2, 2] } }],
    [{ groups: 32, map: [11, 7], kernel: [4, 4], attributes: { strides: [2, 1], pads: [0, 2, 1, 0] } }],
    [{ groups: 12, images: 4, map: [10, 7], kernel: [3, 3], attributes: { pads: [1, 1, 1, 1], strides: [2, 2] } }],
    [{ groups: 10, images: 8, map: [9, 9], kernel: [5, 3], attributes: { pads: [2, 1, 2, 1] }, bias: true }],
    [{ groups: 32, map: [5, 5], kernel: [3, 3], bias: true }],
    [{ groups: 464, map: [40, 40], kernel: [40, 40], attributes: { pads: [1, 1, 1, 1] } }],
  ] as [Case][])('%j', async (c) => {
    const model = convolution(c)
    const blocked = blockedKernels(model)!
    verify(blocked.graph)
    expect(blocked.graph.nodes.some((n) => n.domain === 'com.microsoft.nchwc')).toBe(true)
    expect(model.graph.nodes.map((n) => n.opType)).toEqual(['Conv'])
    const feeds = { x: normal([c.images ?? 1, c.groups, ...c.map]), kernel: normal([c.groups, 1, ...c.kernel], 'k'), bias: normal([c.groups], 'b') }
    const plain = await runOnce(nodeRuntime, model, feeds, { optimization: 'extended' })
    const fast = await runOnce(nodeRuntime, model, feeds)
    expect(distance(plain['y']!, fast['y']!)).toBeLessThan(1e-5)
  })

  it.each([
    ['a kernel that is a constant', { groups: 16, map: [6, 6], kernel: [6, 6], constant: true }],
    ['a number of groups that fills no block', { groups: 24, map: [6, 6], kernel: [6, 6] }],
    ['half precision', { groups: 16, map: [6, 6], kernel: [6, 6], dtype: 'float16' }],
    ['a kernel of one tap', { groups: 16, map: [6, 6], kernel: [1, 1] }],
    ['a number of channels that fills no block with several images', { groups: 6, map: [6, 6], kernel: [3, 3], images: 4 }],
  ] as [string, Case][])('leaves %s alone', (_, c) => {
    expect(blockedKernels(convolution(c))).toBeUndefined()
  })

  it.each([
    ['lacks the operators', (): never => { throw new Error('no such operator') }],
    ['computes them wrongly', (y: Float32Array): Float32Array => y.map((v) => v + 1)],
  ])('a library that %s is given the plain model', async (_, answer) => {
    const loaded: string[] = []
    const { model, inputs } = blockedTrial()
    const fake = {
      env: { versions: { common: '0' } },
      Tensor: class { constructor(readonly type: string, readonly data: Float32Array, readonly dims: readonly number[]) {} },
      InferenceSession: {
        create: async (bytes: Uint8Array) => {
          const isBlocked = Buffer.from(bytes).includes('com.microsoft.nchwc')
          loaded.push(isBlocked ? 'blocked' : 'plain')
          const y = new Float32Array(16 * 16)
          return { inputNames: ['x', 'kernel'], outputNames: ['y'], run: async () => ({ y: { type: 'float32', dims: [2, 8, 4, 4], data: isBlocked ? answer(y) : y } }), release: async () => undefined }
        },
      },
    } as unknown as OrtModule
    const runtime = ortRuntime('fake', fake, { defaultProvider: 'cpu', writesInPlace: false, mayBlock: true })
    const session = await runtime.load(model)
    expect(loaded).toEqual(['plain', 'blocked', 'plain'])
    expect((await session.run({ x: f32(new Float32Array(576), inputs.x), kernel: f32(new Float32Array(128), inputs.kernel) }))['y']!.data[0]).toBe(0)
    await runtime.load(model)
    expect(loaded).toEqual(['plain', 'blocked', 'plain', 'plain'])
  })
})
