/** @file Files: external data, whole-or-nothing writes, and the messages for files that cannot be read. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { TensorProto_DataLocation, TensorProto_DataType } from 'onnx-buf'
import { afterAll, describe, expect, it } from 'vitest'
import { loadModel, parseModel } from '../../src/onnx/load.ts'
import { saveModel, serializeModel } from '../../src/onnx/save.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { float, info, modelBytes } from './protos.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-onnx-'))
afterAll(() => rmSync(folder, { recursive: true }))

const weights = Float32Array.from({ length: 600 }, (_, i) => i / 10)
const parts = {
  nodes: [{ opType: 'Add', name: 'add', input: ['x', 'w'], output: ['h'] }, { opType: 'Mul', input: ['h', 'v'], output: ['y'] }],
  inputs: [info('x', float, [600])], outputs: [info('y', float, [600])],
}
const inline = modelBytes({
  ...parts,
  initializers: [{ name: 'v', dataType: float, dims: [], floatData: [2] }, { name: 'w', dataType: float, dims: [600n], rawData: new Uint8Array(weights.buffer) }],
})

function external(entries: Record<string, string>, dims = [600n]): Uint8Array {
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }))
  return modelBytes({
    ...parts,
    initializers: [{ name: 'v', dataType: float, dims: [], floatData: [2] }, { name: 'w', dataType: float, dims, externalData, dataLocation: TensorProto_DataLocation.EXTERNAL }],
  })
}

describe('external data', () => {
  it('is written beside the model, read back, and read by the runtime', async () => {
    const store = nodeStore(folder)
    await saveModel(store, 'sub/m.onnx', parseModel(inline, 'm.onnx'), { externalData: true })
    expect(await store.list('sub')).toEqual(['m.onnx', 'm.onnx.data'])
    expect((await store.stat('sub/m.onnx.data'))!.size).toBe(2400)
    const model = await loadModel(store, 'sub/m.onnx')
    expect(model.graph.initializers.map((v) => v.initializer!.data)).toEqual([Float32Array.of(2), weights])
    expect(Buffer.compare(serializeModel(model), serializeModel(parseModel(inline, 'm.onnx')))).toBe(0)
    const session = await InferenceSession.create(join(folder, 'sub/m.onnx'))
    const out = await session.run({ x: new OrtTensor('float32', new Float32Array(600), [600]) })
    expect(out.y!.data).toEqual(weights.map((w) => 2 * w))
  })

  it('aligns tensors and takes a threshold', async () => {
    const store = memoryStore()
    const model = parseModel(inline, 'm.onnx')
    await saveModel(store, 'm.onnx', model, { externalData: 1 })
    expect((await store.stat('m.onnx.data'))!.size).toBe(64 + 2400)
    const back = await loadModel(store, 'm.onnx')
    expect(back.graph.initializers[1]!.initializer!.data).toEqual(weights)
    await saveModel(store, 'n.onnx', model)
    expect(await store.list('')).toEqual(['m.onnx', 'm.onnx.data', 'n.onnx'])
  })

  it('is found by location when bytes are parsed; offset and length are optional', () => {
    const model = parseModel(external({ location: 'w.bin' }), 'm.onnx', new Map([['w.bin', new Uint8Array(weights.buffer)]]))
    expect(model.graph.initializers[1]!.initializer!.data).toEqual(weights)
  })

  const faults: [string, Record<string, Uint8Array>, string][] = [
    ['missing', { 'a/m.onnx': external({ location: 'w.bin' }) }, 'a/m.onnx: initializer "w": its data file "w.bin" is missing; put it beside the model'],
    ['too short', { 'a/m.onnx': external({ location: 'w.bin', offset: '64' }), 'a/w.bin': new Uint8Array(2400) }, 'a/m.onnx: initializer "w": needs bytes 64 to 2464 of "w.bin", which ends at 2400; the data file is truncated, copy it again'],
    ['of another length than the dims', { 'a/m.onnx': external({ location: 'w.bin', length: '8' }), 'a/w.bin': new Uint8Array(2400) }, 'a/m.onnx: initializer "w": its dims need 2400 bytes, the model gives its external data 8; the file is damaged, export it again'],
    ['outside the folder', { 'a/m.onnx': external({ location: '../w.bin' }) }, 'a/m.onnx: initializer "w": its data file "../w.bin" is outside the model\'s folder; put it beside the model and save again'],
    ['without a name', { 'a/m.onnx': external({}) }, 'a/m.onnx: initializer "w": is said to be external but names no file; save the model again with its data'],
    ['at a strange offset', { 'a/m.onnx': external({ location: 'w.bin', offset: '-1' }) }, 'a/m.onnx: initializer "w": the offset of its external data is "-1", a whole number of bytes was wanted; export the model again'],
  ]
  for (const [what, files, message] of faults) {
    it(`says what is wrong when it is ${what}`, async () => {
      await expect(loadModel(memoryStore(files), 'a/m.onnx')).rejects.toThrow(expect.objectContaining({ name: 'UserError', message }))
    })
  }
})

describe('files that cannot be read', () => {
  const one = { nodes: [{ opType: 'Relu', name: 'r', input: ['x'], output: ['y'] }], inputs: [info('x', float, [1])], outputs: [info('y', float, [1])] }
  const cases: [string, Uint8Array, string][] = [
    ['empty', new Uint8Array(), 'f: is empty; download or export it again'],
    ['a picture', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), 'f: is not an ONNX file; export the model to ONNX first'],
    ['text', new TextEncoder().encode('{"model": 1}'), 'f: is not an ONNX file; export the model to ONNX first'],
    ['an LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid'), 'f: is a Git LFS pointer, not the model itself; fetch it with "git lfs pull"'],
    ['cut short', inline.subarray(0, 2000), 'f: is truncated after 2000 bytes; download or export it again'],
    ['without a graph', modelBytes(one, 17, { graph: undefined }), 'f: holds no graph; it is truncated or damaged, export it again'],
    ['of a later IR', modelBytes(one, 17, { irVersion: 99n }), 'f: has IR version 99, versions 1 to 13 are known; export it with an ONNX release of IR 13 or older'],
    ['of an old opset', modelBytes(one, 6), 'f: is written in opset 6, opsets 7 to 23 are read; export it at one of these, or convert it with onnx.version_converter'],
    ['of a later opset', modelBytes(one, 24), 'f: is written in opset 24, opsets 7 to 23 are read; export it at one of these, or convert it with onnx.version_converter'],
    ['without an opset', modelBytes(one, 17, { opsetImport: [] }), 'f: imports no version of ONNX\'s operator set, opsets 7 to 23 are read; export it at one of these, or convert it with onnx.version_converter'],
    ['of a dangling name', modelBytes({ ...one, nodes: [{ opType: 'Add', name: 'a', input: ['x', 'q'], output: ['y'] }] }), 'f: Add "a" reads "q", which nothing computes; the file is damaged, export it again'],
    ['of a name given twice', modelBytes({ ...one, nodes: [...one.nodes, ...one.nodes] }), 'f: two values are called "y" (the second is an output of Relu "r"); names must be unique, export the model again'],
    ['of a cycle', modelBytes({ ...one, nodes: [{ opType: 'Add', name: 'a', input: ['x', 'y'], output: ['y'] }] }), 'f: node "a" depends on its own output; the file is damaged, export it again'],
    ['of an element type unknown here', modelBytes({ ...one, initializers: [{ name: 'w', dataType: 17, dims: [1n], rawData: Uint8Array.of(1) }] }), 'f: initializer "w": element type FLOAT8E4M3FN is not supported; convert the model to float or integer types of at least 8 bits'],
    ['of too few elements', modelBytes({ ...one, initializers: [{ name: 'w', dataType: 1, dims: [3n], floatData: [1] }] }), 'f: initializer "w": dims [3] need 3 elements, the file holds 1; it is damaged, export it again'],
  ]
  for (const [what, bytes, message] of cases) {
    it(`says so: ${what}`, () => {
      expect(() => parseModel(bytes, 'f')).toThrow(expect.objectContaining({ name: 'UserError', message }))
    })
  }

  it('names the path of a file that is not there', async () => {
    await expect(loadModel(nodeStore(folder), 'nowhere.onnx')).rejects.toThrow('nowhere.onnx: no such file')
  })

  it('no cut of a file is read as a whole model, and none ends in anything but a UserError', () => {
    for (let length = 0; length < inline.length; length += 1) {
      expect(() => parseModel(inline.subarray(0, length), 'f')).toThrow(expect.objectContaining({ name: 'UserError' }))
    }
  })
})

describe('weights in memory', () => {
  // Names of many lengths put the content at every distance from alignment; lengths on both sides of those where protobuf takes a byte more.
  const sizes = [1, 2, 31, 32, 300, 5000]
  const tensors = Array.from({ length: 16 }, (_, shift) => sizes.flatMap((n) => [
    { name: `${n}f${'x'.repeat(shift)}`, dataType: float, dims: [BigInt(n)], rawData: new Uint8Array(Float32Array.from({ length: n }, (_, i) => shift + i / 7).buffer) },
    { name: `${n}i${'x'.repeat(shift)}`, dataType: TensorProto_DataType.INT64, dims: [BigInt(n)], rawData: new Uint8Array(BigInt64Array.from({ length: n }, (_, i) => BigInt(-shift * i)).buffer) },
    { name: `${n}h${'x'.repeat(shift)}`, dataType: TensorProto_DataType.FLOAT16, dims: [BigInt(n)], rawData: new Uint8Array(Uint16Array.from({ length: n }, (_, i) => shift + i).buffer) },
  ])).flat()
  const bytes = modelBytes({ nodes: [], outputs: [], initializers: tensors })

  it('are those of the file, which stays as it is, wherever they lie in it', async () => {
    const store = memoryStore({ 'm.onnx': bytes.slice() })
    const { initializers } = (await loadModel(store, 'm.onnx')).graph
    const content = initializers.map(({ initializer: t }) => new Uint8Array((t!.data as Float32Array).buffer, (t!.data as Float32Array).byteOffset, (t!.data as Float32Array).byteLength))
    expect(initializers.map((v) => v.name)).toEqual(tensors.map((t) => t.name))
    for (const [i, t] of tensors.entries()) expect(Buffer.compare(content[i]!, t.rawData), t.name).toBe(0)
    expect(Buffer.compare(await store.read('m.onnx'), bytes)).toBe(0)
  })

  it('are views of the one buffer that the file was read into: no second copy', async () => {
    const { initializers } = (await loadModel(memoryStore({ 'm.onnx': bytes }), 'm.onnx')).graph
    const large = initializers.flatMap(({ initializer: t }) => (t!.dtype !== 'int64' && t!.data.length >= 31 ? [(t!.data as Float32Array).buffer] : []))
    expect(large).toHaveLength(16 * 4 * 2)
    expect(new Set(large).size).toBe(1)
    expect(large[0]!.byteLength).toBe(bytes.length)
  })

  it('are the caller\'s bytes where a model is parsed, and those stay as they are', () => {
    const own = bytes.slice()
    const { initializers } = parseModel(own, 'm.onnx').graph
    for (const [i, t] of tensors.entries()) expect(initializers[i]!.initializer!.data.length, t.name).toBe(Number(t.dims[0]))
    expect(Buffer.compare(own, bytes)).toBe(0)
  })
})
