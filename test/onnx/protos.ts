/** @file Hand-made ONNX protobufs. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  GraphProtoSchema, ModelProtoSchema, type ModelProto, type NodeProtoSchema, type TensorProtoSchema,
  TensorProto_DataType, type ValueInfoProtoSchema,
} from 'onnx-buf'

type Init<T extends Parameters<typeof create>[0]> = MessageInitShape<T>

export function info(name: string, elemType: number, dims?: readonly (number | string)[]): Init<typeof ValueInfoProtoSchema> {
  const shape = dims && { dim: dims.map((d) => (typeof d === 'number' ? { value: { case: 'dimValue' as const, value: BigInt(d) } } : { value: { case: 'dimParam' as const, value: d } })) }
  return { name, type: { value: { case: 'tensorType', value: { elemType, shape } } } }
}

export const float = TensorProto_DataType.FLOAT

export interface GraphParts {
  readonly nodes: Init<typeof NodeProtoSchema>[]
  readonly inputs?: Init<typeof ValueInfoProtoSchema>[]
  readonly outputs: Init<typeof ValueInfoProtoSchema>[]
  readonly initializers?: Init<typeof TensorProtoSchema>[]
  readonly valueInfo?: Init<typeof ValueInfoProtoSchema>[]
  readonly name?: string
}

export function graphProto(parts: GraphParts): Init<typeof GraphProtoSchema> {
  return create(GraphProtoSchema, {
    name: parts.name ?? 'g', node: parts.nodes, input: parts.inputs ?? [], output: parts.outputs, initializer: parts.initializers ?? [], valueInfo: parts.valueInfo ?? [],
  })
}

type ModelInit = Exclude<Init<typeof ModelProtoSchema>, ModelProto>

/** A serialized model at `opset`; `more` overrides its other fields. */
export function modelBytes(parts: GraphParts, opset = 17, more: ModelInit = {}): Uint8Array {
  const init: ModelInit = { irVersion: 8n, opsetImport: [{ version: BigInt(opset) }], graph: graphProto(parts), ...more }
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, init))
}
