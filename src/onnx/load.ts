/** @file Reads ONNX files: protobuf, opset and IR checks, external data. */
import { fromBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema, Version, type ModelProto } from 'onnx-buf'
import type { Model } from '../ir/graph.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { alignInPlace } from './align.ts'
import { checkRange, externalTensors, fill } from './external.ts'
import { remainder } from './messages.ts'
import { readGraph } from './read-graph.ts'

/** Versions of ONNX's own operator set that are read. */
const oldestOpset = 7
const newestOpset = 23

/** Reads an ONNX file and the external data beside it. */
export async function loadModel(store: Store, path: string): Promise<Model> {
  const bytes = await store.read(path)
  const proto = decode(bytes, path)
  alignInPlace(proto, bytes)
  const folder = path.replace(/[^/\\]*$/, '')
  const sizes = new Map<string, number | undefined>()
  for (const external of externalTensors(proto, path)) {
    const file = folder + external.location
    if (!sizes.has(file)) sizes.set(file, (await store.stat(file))?.size)
    checkRange(external, sizes.get(file))
    fill(external, await store.readRange(file, external.offset, external.length))
  }
  return modelOf(proto, path)
}

/** Reads a model from bytes; `name` stands for the file in messages, `external` gives the data files by location. Weights are views of the bytes. */
export function parseModel(bytes: Uint8Array, name: string, external: ReadonlyMap<string, Uint8Array> = new Map()): Model {
  const proto = decode(bytes, name)
  for (const e of externalTensors(proto, name)) {
    const data = external.get(e.location)
    checkRange(e, data?.length)
    fill(e, data!.subarray(e.offset, e.offset + e.length))
  }
  return modelOf(proto, name)
}

function decode(bytes: Uint8Array, file: string): ModelProto {
  if (bytes.length === 0) throw new UserError(`${file}: is empty; download or export it again`)
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 64))
  if (start.startsWith('version https://git-lfs')) throw new UserError(`${file}: is a Git LFS pointer, not the model itself; fetch it with "git lfs pull"`)
  let proto: ModelProto
  try {
    // A plain Uint8Array: Node's Buffer would leak its own slice() into the views.
    proto = fromBinary(ModelProtoSchema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  } catch (cause) {
    // Writers put ir_version (field 1, a varint of one byte) first.
    const begun = bytes[0] === 8 && bytes[1]! > 0 && bytes[1]! < 128
    if (begun && cause instanceof RangeError) throw new UserError(`${file}: is truncated after ${bytes.length} bytes; download or export it again`, { cause })
    throw notOnnx(file, cause)
  }
  if (!proto.graph && proto.irVersion === 0n) throw notOnnx(file)
  if (!proto.graph) throw new UserError(`${file}: holds no graph; it is truncated or damaged, export it again`)
  return proto
}

function notOnnx(file: string, cause?: unknown): UserError {
  return new UserError(`${file}: is not an ONNX file; export the model to ONNX first`, { cause })
}

const modelFields = new Set(['irVersion', 'opsetImport', 'producerName', 'producerVersion', 'domain', 'modelVersion', 'docString', 'graph', 'metadataProps'])

function modelOf(proto: ModelProto, file: string): Model {
  const newest = Number(Version.IR_VERSION)
  const irVersion = Number(proto.irVersion)
  if (irVersion < 1 || irVersion > newest) {
    throw new UserError(`${file}: has IR version ${irVersion}, versions 1 to ${newest} are known; export it with an ONNX release of IR ${newest} or older`)
  }
  const opsets = new Map(proto.opsetImport.map((o) => [o.domain, Number(o.version)]))
  const opset = opsets.get('') ?? opsets.get('ai.onnx')
  if (opset === undefined || opset < oldestOpset || opset > newestOpset) {
    const found = opset === undefined ? 'imports no version of ONNX\'s operator set' : `is written in opset ${opset}`
    throw new UserError(`${file}: ${found}, opsets ${oldestOpset} to ${newestOpset} are read; export it at one of these, or convert it with onnx.version_converter`)
  }
  return {
    graph: readGraph(proto.graph!, file),
    opsets,
    irVersion,
    producerName: proto.producerName,
    producerVersion: proto.producerVersion,
    domain: proto.domain,
    modelVersion: proto.modelVersion,
    docString: proto.docString,
    metadata: new Map(proto.metadataProps.map((e) => [e.key, e.value])),
    // Model-local functions, training info, device configurations.
    extra: remainder(ModelProtoSchema, proto, modelFields),
  }
}
