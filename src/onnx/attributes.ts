/** @file AttributeProto <-> Attribute. */
import { create, isFieldSet, isMessage } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Type, AttributeProtoSchema, type AttributeProto, type GraphProto, type NodeProto, type TensorProto } from 'onnx-buf'
import type { Attribute, Graph } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import { bytesOfText, remainder, restore, textOf } from './messages.ts'
import { dtypeOf, tensorOf, tensorProto, tensorRemainder } from './tensors.ts'

/** What the file says of a node beyond the IR. */
export interface NodeExtra {
  /** Metadata, overload and device configuration. */
  readonly node?: NodeProto
  /** Doc strings of attributes, names and doc strings of their tensors. */
  readonly attributes?: ReadonlyMap<string, AttributeExtra>
}

export interface AttributeExtra {
  readonly attribute?: AttributeProto
  readonly tensorName?: string
  readonly tensor?: TensorProto
}

/** Reads an attribute; what the IR has no form for is kept raw. `graph` reads a subgraph. */
export function readAttribute(proto: AttributeProto, place: string, graph: (g: GraphProto) => Graph): Attribute {
  const raw: Attribute = { kind: 'raw', value: proto }
  if (proto.refAttrName) return raw
  const type = proto.type === Type.UNDEFINED ? typeByContent(proto) : proto.type
  switch (type) {
    case Type.INT: return { kind: 'int', value: proto.i }
    case Type.FLOAT: return { kind: 'float', value: proto.f }
    case Type.STRING: {
      const value = textOf(proto.s)
      return value === undefined ? raw : { kind: 'string', value }
    }
    case Type.INTS: return { kind: 'ints', value: proto.ints }
    case Type.FLOATS: return { kind: 'floats', value: proto.floats }
    case Type.STRINGS: {
      const value = proto.strings.map(textOf)
      return value.every((s) => s !== undefined) ? { kind: 'strings', value } : raw
    }
    case Type.TENSOR: {
      if (!proto.t) throw new UserError(`${place}: holds no tensor; the file is damaged, export it again`)
      return dtypeOf(proto.t.dataType) ? { kind: 'tensor', value: tensorOf(proto.t, place) } : raw
    }
    case Type.GRAPH: {
      if (!proto.g) throw new UserError(`${place}: holds no graph; the file is damaged, export it again`)
      return { kind: 'graph', value: graph(proto.g) }
    }
    case Type.GRAPHS: return { kind: 'graphs', value: proto.graphs.map(graph) }
    case Type.UNDEFINED: throw new UserError(`${place}: has neither a type nor a value; export the model again`)
    default: return raw
  }
}

/** Files older than IR 3 give attributes no type. */
function typeByContent(proto: AttributeProto): Type {
  const { f, i, s } = AttributeProtoSchema.field
  if (proto.t) return Type.TENSOR
  if (proto.g) return Type.GRAPH
  if (proto.ints.length) return Type.INTS
  if (proto.floats.length) return Type.FLOATS
  if (proto.strings.length) return Type.STRINGS
  if (proto.graphs.length) return Type.GRAPHS
  if (isFieldSet(proto, i)) return Type.INT
  if (isFieldSet(proto, f)) return Type.FLOAT
  if (isFieldSet(proto, s)) return Type.STRING
  return Type.UNDEFINED
}

const handled = new Set(['name', 'type', 'f', 'i', 's', 't', 'g', 'floats', 'ints', 'strings', 'graphs'])

/** What an attribute says beyond its value, or undefined. */
export function attributeExtra(proto: AttributeProto, read: Attribute): AttributeExtra | undefined {
  if (read.kind === 'raw') return undefined
  const attribute = remainder(AttributeProtoSchema, proto, handled)
  const tensor = proto.t && tensorRemainder(proto.t)
  const tensorName = proto.t?.name || undefined
  return attribute || tensor || tensorName ? { attribute, tensor, tensorName } : undefined
}

/** Writes an attribute. `graph` writes a subgraph. */
export function writeAttribute(name: string, a: Attribute, extra: AttributeExtra | undefined, graph: (g: Graph) => GraphProto): AttributeProto {
  if (a.kind === 'raw') {
    if (!isMessage(a.value, AttributeProtoSchema)) throw new Error(`raw attribute "${name}" does not come from an ONNX file`)
    return a.value
  }
  const proto = create(AttributeProtoSchema, { name })
  switch (a.kind) {
    case 'int':
      proto.type = Type.INT
      proto.i = a.value
      break
    case 'float':
      proto.type = Type.FLOAT
      proto.f = a.value
      break
    case 'string':
      proto.type = Type.STRING
      proto.s = bytesOfText(a.value)
      break
    case 'ints':
      proto.type = Type.INTS
      proto.ints = [...a.value]
      break
    case 'floats':
      proto.type = Type.FLOATS
      proto.floats = [...a.value]
      break
    case 'strings':
      proto.type = Type.STRINGS
      proto.strings = a.value.map(bytesOfText)
      break
    case 'tensor':
      proto.type = Type.TENSOR
      proto.t = tensorProto(a.value, extra?.tensorName ?? '', extra?.tensor)
      break
    case 'graph':
      proto.type = Type.GRAPH
      proto.g = graph(a.value)
      break
    case 'graphs':
      proto.type = Type.GRAPHS
      proto.graphs = a.value.map(graph)
  }
  return restore(AttributeProtoSchema, proto, extra?.attribute)
}
