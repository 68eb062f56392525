/** @file One interface over the native and the WebAssembly runtime. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import type { Runtime } from '../../src/runtime/session.ts'
import { webRuntime } from '../../src/runtime/web.ts'
import { UserError } from '../../src/tensor/error.ts'
import { f32, floats, i64, zeros } from '../../src/tensor/tensor.ts'

/** y = relu(conv(x, w)), w 1x1 over 2 channels. */
function small(): Model {
  const b = new Builder(new Graph('small'))
  const x = b.input('x', 'float32', [1, 2, 2, 2])
  const w = b.constant(f32([1, -1], [1, 2, 1, 1]), 'w')
  b.output(b.op('Relu', [b.op('Conv', [x, w], {}, 'weigh')], {}, 'clip'), 'y')
  return createModel(b.graph, b.opset)
}

/** Gathers row `index` of 3 rows: fails at run time when there is no such row. */
function gathering(): Model {
  const b = new Builder(new Graph('gathering'))
  const index = b.input('index', 'int64', [1])
  b.output(b.op('Gather', [b.constant(f32([1, 2, 3], [3, 1])), index], { axis: 0 }, 'pick'), 'y')
  return createModel(b.graph, b.opset)
}

const x = f32([1, 2, 3, 4, 4, 3, 2, 1], [1, 2, 2, 2])

const asked: Runtime = { ...nodeRuntime, load: (model, options) => nodeRuntime.load(model, { provider: 'wasm', ...options }) }

describe.each([['native', nodeRuntime], ['wasm', webRuntime], ['wasm by its provider', asked]] as [string, Runtime][])('%s runtime', (_, runtime) => {
  it('runs a model and gives new tensors', async () => {
    const session = await runtime.load(small(), { threads: 1 })
    expect(session.inputNames).toEqual(['x'])
    const { y } = await session.run({ x })
    expect(y!.dims).toEqual([1, 1, 2, 2])
    expect([...floats(y!)]).toEqual([0, 0, 1, 3])
    await session.release()
  })

  it('writes into outputs that were given', async () => {
    const session = await runtime.load(small(), { threads: 1 })
    const into = zeros('float32', [1, 1, 2, 2])
    const { y } = await session.run({ x }, { y: into })
    expect(y).toBe(into)
    expect([...floats(into)]).toEqual([0, 0, 1, 3])
    await session.release()
  })

  it('names the node that fails, and the input that is missing', async () => {
    const session = await runtime.load(gathering(), { threads: 1 })
    await expect(session.run({ index: i64([7]) })).rejects.toThrow(/Gather "pick"/)
    await expect(session.run({})).rejects.toThrow(/input "index" of the model was not given/)
    await session.release()
  })

  it('refuses a broken model and a provider that is not there', async () => {
    await expect(runtime.load(new Uint8Array([1, 2, 3]))).rejects.toThrow(/the runtime refuses/)
    const strange = small()
    Object.assign(strange.graph.nodes.find((n) => n.name === 'clip')!, { opType: 'Gadget', domain: 'acme' })
    const error: unknown = await runtime.load(strange, { file: 'strange.onnx' }).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(UserError)
    expect(String(error)).toMatch(/strange\.onnx: the runtime refuses .*acme/)
    if (runtime === nodeRuntime) expect(String(error)).toContain('refuses node "clip"')
    await expect(runtime.load(small(), { provider: 'abacus' })).rejects.toThrow(/execution provider "abacus" is not known; known are cpu, wasm, webgpu, cuda, coreml, dml: choose another/)
  })
})
