/** @file Loading and saving real models and hand-made ones: nothing is lost, the second save equals the first. */
import { readFileSync } from 'node:fs'
import { create, fromBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Type, ModelProtoSchema, TensorProto_DataType as Code, TypeProtoSchema, type ModelProto } from 'onnx-buf'
import { describe, expect, it } from 'vitest'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { cloneModel } from '../../src/ir/edit.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { sharedIt } from '../support/shared.ts'
import { runOnRandom, sharedModels, worstDifference } from './ort.ts'
import { float, graphProto, info, modelBytes } from './protos.ts'

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function stable(bytes: Uint8Array): ModelProto {
  const model = parseModel(bytes, 'a.onnx')
  verify(model.graph)
  const once = serializeModel(model)
  expect(same(serializeModel(parseModel(once, 'a.onnx')), once)).toBe(true)
  expect(same(serializeModel(cloneModel(model).model), once)).toBe(true)
  return fromBinary(ModelProtoSchema, once)
}

/** A protobuf in the form this project writes: raw data, every implied field dropped. */
function facts(proto: ModelProto): unknown {
  const g = proto.graph!
  return {
    model: [proto.irVersion, proto.producerName, proto.producerVersion, proto.docString, proto.opsetImport.map((o) => [o.domain, o.version]), proto.metadataProps.map((e) => [e.key, e.value])],
    nodes: g.node.map((n) => [n.opType, n.domain, n.name, n.input, n.output, n.attribute.map((a) => [a.name, a.type, a.i, a.f, a.ints, a.floats, a.s, a.t?.dims, a.t?.dataType])]),
    inputs: g.input.map((v) => [v.name, v.type]),
    outputs: g.output.map((v) => [v.name, v.type]),
    initializers: g.initializer.map((t) => [t.name, t.dims, t.dataType]),
    infos: new Map(g.valueInfo.map((v) => [v.name, v.type])),
  }
}

describe('real models', () => {
  for (const path of sharedModels) {
    sharedIt(path, `keeps every node, type and name of ${path}`, (file) => {
      const bytes = readFileSync(file)
      const before = fromBinary(ModelProtoSchema, new Uint8Array(bytes))
      expect(facts(stable(bytes))).toEqual(facts(before))
    })
  }
  for (const path of ['models/nanodet_m_320.onnx', 'models/version-RFB-320.onnx']) {
    sharedIt(path, `the runtime gives the same outputs for ${path} loaded and saved`, async (file) => {
      const bytes = readFileSync(file)
      const saved = serializeModel(parseModel(bytes, file))
      expect(worstDifference(await runOnRandom(saved), await runOnRandom(bytes))).toBe(0)
    })
  }
})

describe('hand-made protobufs', () => {
  it('reads typed fields of every element type and writes them raw', () => {
    const initializers = [
      { name: 'f32', dataType: Code.FLOAT, dims: [2n], floatData: [1.5, -2] },
      { name: 'f64', dataType: Code.DOUBLE, dims: [1n], doubleData: [0.1] },
      { name: 'f16', dataType: Code.FLOAT16, dims: [2n], int32Data: [0x3c00, 0xc000] },
      { name: 'bf16', dataType: Code.BFLOAT16, dims: [1n], int32Data: [0x3f80] },
      { name: 'i8', dataType: Code.INT8, dims: [2n], int32Data: [-1, 127] },
      { name: 'i16', dataType: Code.INT16, dims: [1n], int32Data: [-300] },
      { name: 'i32', dataType: Code.INT32, dims: [1n], int32Data: [-70000] },
      { name: 'i64', dataType: Code.INT64, dims: [1n], int64Data: [-(2n ** 40n)] },
      { name: 'u8', dataType: Code.UINT8, dims: [1n], int32Data: [255] },
      { name: 'u16', dataType: Code.UINT16, dims: [1n], int32Data: [65535] },
      { name: 'u32', dataType: Code.UINT32, dims: [1n], uint64Data: [4294967295n] },
      { name: 'u64', dataType: Code.UINT64, dims: [1n], uint64Data: [2n ** 63n] },
      { name: 'flag', dataType: Code.BOOL, dims: [2n], int32Data: [1, 0] },
      { name: 'text', dataType: Code.STRING, dims: [2n], stringData: [new TextEncoder().encode('ä'), new Uint8Array()] },
      { name: 'none', dataType: Code.FLOAT, dims: [0n, 3n] },
      { name: 'one', dataType: Code.FLOAT, dims: [], floatData: [7] },
    ]
    const bytes = modelBytes({ nodes: [{ opType: 'Relu', input: ['f32'], output: ['y'] }], outputs: [info('y', float, [2])], initializers })
    const model = parseModel(bytes, 'a.onnx')
    const contents = Object.fromEntries(model.graph.initializers.map((v) => [v.name, [v.initializer!.dtype, v.initializer!.dims.join(), ...Array.from(v.initializer!.data as ArrayLike<unknown>, String)].join(' ')]))
    expect(contents).toMatchInlineSnapshot(`
      {
        "bf16": "bfloat16 1 16256",
        "f16": "float16 2 15360 49152",
        "f32": "float32 2 1.5 -2",
        "f64": "float64 1 0.1",
        "flag": "bool 2 1 0",
        "i16": "int16 1 -300",
        "i32": "int32 1 -70000",
        "i64": "int64 1 -1099511627776",
        "i8": "int8 2 -1 127",
        "none": "float32 0,3",
        "one": "float32  7",
        "text": "string 2 ä ",
        "u16": "uint16 1 65535",
        "u32": "uint32 1 4294967295",
        "u64": "uint64 1 9223372036854775808",
        "u8": "uint8 1 255",
      }
    `)
    stable(bytes)
    const again = parseModel(serializeModel(model), 'a.onnx')
    expect(again.graph.initializers.map((v) => v.initializer)).toEqual(model.graph.initializers.map((v) => v.initializer))
  })

  it('views aligned raw data without a copy and copies the rest, also from a Buffer', () => {
    const bytes = Buffer.from(modelBytes({
      nodes: [{ opType: 'Add', input: ['a', 'b'], output: ['y'] }],
      outputs: [info('y', float, [4])],
      initializers: ['a', 'b'].map((name, k) => ({ name, dataType: float, dims: [4n], rawData: new Uint8Array(new Float32Array([k, 1, 2, 3]).buffer) })),
    }))
    let shared = 0
    for (let shift = 0; shift < 4; shift++) {
      const file = new Uint8Array(bytes.length + shift)
      file.set(bytes, shift)
      const model = parseModel(Buffer.from(file.buffer, shift), 'a.onnx')
      for (const [k, v] of model.graph.initializers.entries()) {
        expect(v.initializer!.data).toEqual(new Float32Array([k, 1, 2, 3]))
        if ((v.initializer!.data as Float32Array).buffer === file.buffer) shared++
      }
    }
    expect(shared).toBe(2)
  })

  it('keeps optional inputs and outputs, doc strings, metadata, denotations and attributes of every kind', () => {
    const t = { dataType: Code.INT64, dims: [1n], int64Data: [3n], name: 'inner', docString: 'tensor doc' }
    const sub = graphProto({ name: 'sub', nodes: [{ opType: 'Identity', input: ['x'], output: ['s'] }], outputs: [info('s', float)] })
    const attribute = [
      { name: 'i', type: Type.INT, i: -5n, docString: 'why' },
      { name: 'f', type: Type.FLOAT, f: 0.5 },
      { name: 's', type: Type.STRING, s: new TextEncoder().encode('text') },
      { name: 'blob', type: Type.STRING, s: new Uint8Array([0xff, 0xfe]) },
      { name: 'is', type: Type.INTS, ints: [1n, 2n] },
      { name: 'none', type: Type.INTS },
      { name: 'fs', type: Type.FLOATS, floats: [1, 2.5] },
      { name: 'ss', type: Type.STRINGS, strings: [new TextEncoder().encode('a')] },
      { name: 't', type: Type.TENSOR, t },
      { name: 'ts', type: Type.TENSORS, tensors: [t] },
      { name: 'g', type: Type.GRAPH, g: sub },
      { name: 'gs', type: Type.GRAPHS, graphs: [sub, sub] },
      { name: 'sparse', type: Type.SPARSE_TENSOR, sparseTensor: { dims: [4n], values: t, indices: t } },
      { name: 'tp', type: Type.TYPE_PROTO, tp: create(TypeProtoSchema, { value: { case: 'tensorType', value: { elemType: 1 } } }) },
      { name: 'odd', type: Type.TENSOR, t: { dataType: Code.FLOAT8E4M3FN, dims: [1n], rawData: new Uint8Array([1]) } },
      { name: 'untyped', ints: [4n] },
    ]
    const bytes = modelBytes({
      nodes: [{ opType: 'Odd', domain: 'my.ops', name: 'n', input: ['x', '', 'x'], output: ['', 'y'], attribute, docString: 'node doc', metadataProps: [{ key: 'stack', value: 'trace' }], overload: 'o' }],
      inputs: [{ ...info('x', float, ['N', 3, '']), docString: 'x doc' }],
      outputs: [info('y', Code.FLOAT8E5M2, [1])],
    }, 17, {
      opsetImport: [{ version: 17n }, { domain: 'my.ops', version: 2n }], producerName: 'p', producerVersion: '1', domain: 'd', modelVersion: 4n, docString: 'model doc',
      metadataProps: [{ key: 'k', value: 'v' }], functions: [{ name: 'fn', domain: 'my.ops', input: ['a'], output: ['b'] }],
      trainingInfo: [{ updateBinding: [{ key: 'k', value: 'v' }] }],
    })
    const proto = stable(bytes)
    const before = fromBinary(ModelProtoSchema, bytes)
    const node = proto.graph!.node[0]!
    const original = before.graph!.node[0]!
    expect(node.input).toEqual(['x', '', 'x'])
    expect(node.output).toEqual(['', 'y'])
    expect([node.docString, node.metadataProps, node.overload]).toEqual([original.docString, original.metadataProps, original.overload])
    const plain = (a: (typeof node.attribute)[number]): unknown => ({ ...a, t: a.t && { ...a.t, int64Data: [], rawData: new Uint8Array() }, type: 0, g: undefined, graphs: [] })
    expect(node.attribute.map(plain)).toEqual(original.attribute.map(plain))
    expect(node.attribute.find((a) => a.name === 'untyped')!.type).toBe(Type.INTS)
    expect(node.attribute.find((a) => a.name === 't')!.t!.rawData).toEqual(new Uint8Array(BigInt64Array.of(3n).buffer))
    expect(node.attribute.find((a) => a.name === 'gs')!.graphs.length).toBe(2)
    expect(proto.graph!.input[0]!.docString).toBe('x doc')
    expect(proto.graph!.output).toEqual(before.graph!.output)
    expect([proto.functions, proto.trainingInfo, proto.modelVersion, proto.domain]).toEqual([before.functions, before.trainingInfo, 4n, 'd'])
  })

  it('a subgraph reads the very values of the graph around it, and their uses say so', () => {
    const branch = (name: string, op: string): ReturnType<typeof graphProto> => graphProto({ name, nodes: [{ opType: op, input: ['x', 'w'], output: [`${name}_out`] }], outputs: [info(`${name}_out`, float)] })
    const bytes = modelBytes({
      nodes: [{
        opType: 'If', input: ['c'], output: ['y'],
        attribute: [{ name: 'then_branch', type: Type.GRAPH, g: branch('yes', 'Add') }, { name: 'else_branch', type: Type.GRAPH, g: branch('no', 'Mul') }],
      }],
      inputs: [info('c', Code.BOOL, []), info('x', float, ['N'])],
      outputs: [info('y', float, ['N'])],
      initializers: [{ name: 'w', dataType: float, dims: [1n], floatData: [2] }],
    })
    stable(bytes)
    const { graph } = parseModel(bytes, 'a.onnx')
    expect(valueNamed(graph, 'w').uses.size).toBe(2)
    expect(print(graph)).toMatchInlineSnapshot(`
      "graph g(c: bool[], x: float32[N]) {
        w: float32[1] = initializer
        y: float32[N] = If(c) {else_branch=no, then_branch=yes}
          graph yes() {
            yes_out: float32[...] = Add(x, w)
            return yes_out
          }
          graph no() {
            no_out: float32[...] = Mul(x, w)
            return no_out
          }
        return y
      }"
    `)
  })

  it('keeps an initializer that is also an input as one value', () => {
    const bytes = modelBytes({
      nodes: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
      inputs: [info('x', float, [1]), info('w', float, [1])],
      outputs: [info('y', float, [1])],
      initializers: [{ name: 'w', dataType: float, dims: [1n], floatData: [2] }],
    }, 9, { irVersion: 3n })
    const { graph } = parseModel(bytes, 'a.onnx')
    expect(graph.inputs[1]).toBe(graph.initializers[0])
    expect(stable(bytes).graph!.input.map((v) => v.name)).toEqual(['x', 'w'])
  })

  it('sorts nodes that the file lists out of order', () => {
    const bytes = modelBytes({
      nodes: [{ opType: 'Relu', input: ['h'], output: ['y'] }, { opType: 'Neg', input: ['x'], output: ['h'] }],
      inputs: [info('x', float, [1])], outputs: [info('y', float, [1])],
    })
    const { graph } = parseModel(bytes, 'a.onnx')
    verify(graph)
    expect(graph.nodes.map((n) => n.opType)).toEqual(['Neg', 'Relu'])
  })
})

describe('every opset', () => {
  it.each(Array.from({ length: 17 }, (_, i) => 7 + i))('%i is kept, and the runtime gives the same for what is written', async (opset) => {
    const w = Float32Array.from({ length: 6 }, (_, i) => i / 4 - 0.5)
    const bytes = modelBytes({
      nodes: [{ opType: 'Gemm', name: 'fc', input: ['x', 'w', 'b'], output: ['h'] }, { opType: 'Relu', name: 'relu', input: ['h'], output: ['y'] }],
      inputs: [info('x', float, ['N', 3])], outputs: [info('y', float, ['N', 2])],
      initializers: [{ name: 'w', dataType: float, dims: [3n, 2n], rawData: new Uint8Array(w.buffer) }, { name: 'b', dataType: float, dims: [2n], floatData: [0.5, 0.25] }],
    }, opset)
    expect(stable(bytes).opsetImport.map((o) => [o.domain, o.version])).toEqual([['', BigInt(opset)]])
    const saved = serializeModel(parseModel(bytes, 'a.onnx'))
    expect(worstDifference(await runOnRandom(saved, { batch: 2 }), await runOnRandom(bytes, { batch: 2 }))).toBe(0)
  })
})
