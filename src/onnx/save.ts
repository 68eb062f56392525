/** @file Writes ONNX files. Weights are copied once, from their own buffers into the file's bytes. */
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema, type ModelProto } from 'onnx-buf'
import type { Model, Value } from '../ir/graph.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { restore } from './messages.ts'
import { externalProto, rawBytes, tensorHeader, tensorProto } from './tensors.ts'
import { extraOf } from './types.ts'
import { graphWithoutInitializers } from './write-graph.ts'

export interface SaveOptions {
  /**
   * Puts weights into a file "<name>.data" beside the model: all of 1 KiB and more (true), or all of at least so many bytes.
   * Default: only when the model would pass protobuf's limit of 2 GiB.
   */
  readonly externalData?: boolean | number
}

const protobufLimit = 2 ** 31 - 1
/** Alignment of tensors in a data file, bytes: enough for any element type and for vector loads. */
const alignment = 64

/** The model as one ONNX file; throws when it passes protobuf's limit of 2 GiB. */
export function serializeModel(model: Model): Uint8Array {
  const chunks = encode(model, () => undefined)
  const length = lengthOf(chunks)
  if (length > protobufLimit) throw new UserError(`the model takes ${length} bytes, an ONNX file holds at most ${protobufLimit}; save it with external data`)
  return join(chunks, length)
}

/** Writes the model, whole or not at all. With external data, the data file is written first. */
export async function saveModel(store: Store, path: string, model: Model, options: SaveOptions = {}): Promise<void> {
  const threshold = thresholdOf(model, options.externalData)
  if (threshold === undefined) {
    await store.writeAtomic(path, serializeModel(model))
    return
  }
  const location = `${path.replace(/^.*[/\\]/, '')}.data`
  const placed = new Map<Value, { offset: number; length: number }>()
  let end = 0
  for (const v of model.graph.initializers) {
    if (v.initializer!.dtype === 'string') continue
    const length = rawBytes(v.initializer!).length
    if (length < threshold) continue
    const offset = Math.ceil(end / alignment) * alignment
    placed.set(v, { offset, length })
    end = offset + length
  }
  const data = new Uint8Array(end)
  for (const [v, { offset }] of placed) data.set(rawBytes(v.initializer!), offset)
  const chunks = encode(model, (v) => {
    const at = placed.get(v)
    return at && { location, ...at }
  })
  await store.writeAtomic(`${path}.data`, data)
  await store.writeAtomic(path, join(chunks, lengthOf(chunks)))
}

function thresholdOf(model: Model, externalData: boolean | number | undefined): number | undefined {
  if (typeof externalData === 'number') return externalData
  if (externalData === true) return 1024
  if (externalData === false) return undefined
  let bytes = 0
  for (const v of model.graph.initializers) if (v.initializer!.dtype !== 'string') bytes += rawBytes(v.initializer!).length
  // A margin for everything that is not weights.
  return bytes > protobufLimit - 2 ** 26 ? 1024 : undefined
}

interface Placement {
  readonly location: string
  readonly offset: number
  readonly length: number
}

/** The file as a list of chunks. Protobuf lets fields come in any order: the initializers close the graph, the graph closes the model. */
function encode(model: Model, external: (v: Value) => Placement | undefined): Uint8Array[] {
  const graph: Uint8Array[] = [toBinary(GraphProtoSchema, graphWithoutInitializers(model.graph))]
  for (const v of model.graph.initializers) {
    const rest = extraOf(v)?.tensor
    const at = external(v)
    const t = v.initializer!
    const chunks: Uint8Array[] = []
    if (at) chunks.push(toBinary(TensorProtoSchema, externalProto(tensorHeader(t, v.name, rest), at.location, at.offset, at.length)))
    else if (t.dtype === 'string') chunks.push(toBinary(TensorProtoSchema, tensorProto(t, v.name, rest)))
    else {
      const raw = rawBytes(t)
      chunks.push(toBinary(TensorProtoSchema, tensorHeader(t, v.name, rest)), prefix(TensorProtoSchema.field.rawData.number, raw.length), raw)
    }
    graph.push(prefix(GraphProtoSchema.field.initializer.number, lengthOf(chunks)), ...chunks)
  }
  return [toBinary(ModelProtoSchema, modelWithoutGraph(model)), prefix(ModelProtoSchema.field.graph.number, lengthOf(graph)), ...graph]
}

function modelWithoutGraph(model: Model): ModelProto {
  const proto = create(ModelProtoSchema, {
    irVersion: BigInt(model.irVersion),
    opsetImport: [...model.opsets].map(([domain, version]) => ({ domain, version: BigInt(version) })),
    metadataProps: [...model.metadata].map(([key, value]) => ({ key, value })),
  })
  if (model.producerName) proto.producerName = model.producerName
  if (model.producerVersion) proto.producerVersion = model.producerVersion
  if (model.domain) proto.domain = model.domain
  if (model.modelVersion) proto.modelVersion = model.modelVersion
  if (model.docString) proto.docString = model.docString
  return restore(ModelProtoSchema, proto, model.extra as ModelProto | undefined)
}

/** Tag and length of a length-delimited field. */
function prefix(field: number, length: number): Uint8Array {
  if (length > protobufLimit) throw new UserError(`the model takes more than ${protobufLimit} bytes, an ONNX file holds no more; save it with external data`)
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish()
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, c) => sum + c.length, 0)
}

function join(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length)
  let at = 0
  for (const c of chunks) {
    out.set(c, at)
    at += c.length
  }
  return out
}
