/** @file Writes ONNX files. Weights go from their own buffers to the disk, or are copied once into the file's bytes. */
import { create, toBinary } from '@bufbuild/protobuf'
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema, type ModelProto } from 'onnx-buf'
import type { Model, Value } from '../ir/graph.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { prefix, protobufLimit, restore } from './messages.ts'
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

/** Weights below so many bytes stay in the model. */
const smallest = 1024
/** Alignment of tensors in a data file, bytes: enough for any element type and for vector loads. */
const alignment = 64

/** The model as one ONNX file; throws when it passes protobuf's limit of 2 GiB. */
export function serializeModel(model: Model): Uint8Array {
  return join(oneFile(model))
}

function oneFile(model: Model): Uint8Array[] {
  const chunks = encode(model, () => undefined)
  const length = lengthOf(chunks)
  if (length > protobufLimit) throw new UserError(`the model takes ${length} bytes, an ONNX file holds at most ${protobufLimit}; save it with external data`)
  return chunks
}

/** Writes the model, whole or not at all. With external data, the data file is written first. */
export async function saveModel(store: Store, path: string, model: Model, options: SaveOptions = {}): Promise<void> {
  for (const file of filesOf(path, model, options)) await store.writeAtomic(file.path, file.chunks)
}

/** Bytes that `saveModel` writes, the data file's with them. */
export function savedSize(model: Model, options: SaveOptions = {}): number {
  return filesOf('model.onnx', model, options).reduce((sum, { chunks }) => sum + lengthOf(chunks), 0)
}

/** What is written, in this order. */
function filesOf(path: string, model: Model, options: SaveOptions): { path: string; chunks: Uint8Array[] }[] {
  const threshold = thresholdOf(model, options.externalData)
  if (threshold === undefined) return [{ path, chunks: oneFile(model) }]
  const location = `${path.replace(/^.*[/\\]/, '')}.data`
  const placed = new Map<Value, { offset: number; length: number }>()
  const data: Uint8Array[] = []
  let end = 0
  for (const v of model.graph.initializers) {
    if (v.initializer!.dtype === 'string') continue
    const bytes = rawBytes(v.initializer!)
    const { length } = bytes
    if (length < threshold) continue
    const offset = Math.ceil(end / alignment) * alignment
    data.push(new Uint8Array(offset - end), bytes)
    placed.set(v, { offset, length })
    end = offset + length
  }
  const chunks = encode(model, (v) => {
    const at = placed.get(v)
    return at && { location, ...at }
  })
  return [{ path: `${path}.data`, chunks: data }, { path, chunks }]
}

/** A model and its weights apart, in their own buffers: for runtimes, where one file would pass protobuf's limit. */
export interface ModelInParts {
  readonly model: Uint8Array
  /** What the model calls a data file, with its content. */
  readonly data: readonly { readonly path: string; readonly data: Uint8Array }[]
}

/** Nothing is copied but the model without its weights of 1 KiB and more. */
export function serializeInParts(model: Model): ModelInParts {
  const data: { path: string; data: Uint8Array }[] = []
  const chunks = encode(model, (v) => {
    const t = v.initializer!
    const bytes = t.dtype === 'string' ? undefined : rawBytes(t)
    if (!bytes || bytes.length < smallest) return undefined
    const path = `${data.length}.data`
    data.push({ path, data: bytes })
    return { location: path, offset: 0, length: bytes.length }
  })
  return { model: join(chunks), data }
}

function thresholdOf(model: Model, externalData: boolean | number | undefined): number | undefined {
  if (typeof externalData === 'number') return externalData
  return externalData === true || (externalData === undefined && exceedsOneFile(model)) ? smallest : undefined
}

/** True where the weights pass what one ONNX file can hold. */
export function exceedsOneFile(model: Model): boolean {
  let bytes = 0
  for (const v of model.graph.initializers) if (v.initializer!.dtype !== 'string') bytes += rawBytes(v.initializer!).length
  // A margin for everything that is not weights.
  return bytes > protobufLimit - 2 ** 26
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

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, c) => sum + c.length, 0)
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(lengthOf(chunks))
  let at = 0
  for (const c of chunks) {
    out.set(c, at)
    at += c.length
  }
  return out
}
