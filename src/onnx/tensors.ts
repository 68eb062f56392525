/** @file TensorProto <-> Tensor: raw and typed fields of every element type the project holds. */
import { create } from '@bufbuild/protobuf'
import { TensorProto_DataLocation, TensorProto_DataType, TensorProtoSchema, type TensorProto } from 'onnx-buf'
import { bytesPerElement, type DType, type TensorData, viewBytes } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { bytesOfText, remainder, restore, textOf } from './messages.ts'

const codes: Record<DType, TensorProto_DataType> = {
  float32: TensorProto_DataType.FLOAT,
  float64: TensorProto_DataType.DOUBLE,
  float16: TensorProto_DataType.FLOAT16,
  bfloat16: TensorProto_DataType.BFLOAT16,
  int8: TensorProto_DataType.INT8,
  int16: TensorProto_DataType.INT16,
  int32: TensorProto_DataType.INT32,
  int64: TensorProto_DataType.INT64,
  uint8: TensorProto_DataType.UINT8,
  uint16: TensorProto_DataType.UINT16,
  uint32: TensorProto_DataType.UINT32,
  uint64: TensorProto_DataType.UINT64,
  bool: TensorProto_DataType.BOOL,
  string: TensorProto_DataType.STRING,
}

const dtypes = new Map(Object.entries(codes).map(([dtype, code]) => [code as number, dtype as DType]))

/** The element type of an ONNX code, or undefined when the project cannot hold it. */
export function dtypeOf(code: number): DType | undefined {
  return dtypes.get(code)
}

export function codeOf(dtype: DType): TensorProto_DataType {
  return codes[dtype]
}

/** Content of a TensorProto whose external data, if any, has been read into `rawData`. Raw data is viewed, not copied, where it is aligned. */
export function tensorOf(proto: TensorProto, place: string): Tensor {
  const dtype = dtypeOf(proto.dataType)
  if (!dtype) {
    throw new UserError(`${place}: element type ${TensorProto_DataType[proto.dataType] ?? proto.dataType} is not supported; convert the model to float or integer types of at least 8 bits`)
  }
  if (proto.segment) throw new UserError(`${place}: is stored in segments, which is not supported; save the model again with the onnx package`)
  const dims = proto.dims.map(Number)
  const data = dataOf(proto, dtype, place)
  if (data.length !== sizeOf(dims)) {
    throw new UserError(`${place}: dims [${dims.join(',')}] need ${sizeOf(dims)} elements, the file holds ${data.length}; it is damaged, export it again`)
  }
  return { dtype, dims, data }
}

function dataOf(proto: TensorProto, dtype: DType, place: string): TensorData {
  if (dtype === 'string') {
    return proto.stringData.map((bytes, i) => {
      const text = textOf(bytes)
      if (text === undefined) throw new UserError(`${place}: element ${i} is no UTF-8 text, which is not supported; store it as uint8`)
      return text
    })
  }
  if (proto.rawData.length > 0) {
    if (proto.rawData.length % bytesPerElement(dtype) !== 0) {
      throw new UserError(`${place}: ${proto.rawData.length} bytes are no whole number of ${dtype} elements; the file is damaged, export it again`)
    }
    return viewBytes(dtype, proto.rawData)
  }
  switch (dtype) {
    case 'float32': return Float32Array.from(proto.floatData)
    case 'float64': return Float64Array.from(proto.doubleData)
    case 'int64': return BigInt64Array.from(proto.int64Data)
    case 'uint64': return BigUint64Array.from(proto.uint64Data)
    case 'uint32': return Uint32Array.from(proto.uint64Data, Number)
    case 'int32': return Int32Array.from(proto.int32Data)
    case 'int16': return Int16Array.from(proto.int32Data)
    case 'int8': return Int8Array.from(proto.int32Data)
    case 'uint16': case 'float16': case 'bfloat16': return Uint16Array.from(proto.int32Data)
    case 'uint8': case 'bool': return Uint8Array.from(proto.int32Data)
  }
}

const contentFields = new Set(['dims', 'dataType', 'name', 'rawData', 'floatData', 'doubleData', 'int32Data', 'int64Data', 'uint64Data', 'stringData', 'externalData', 'dataLocation'])

/** What a TensorProto says beside its content: doc string, metadata. */
export function tensorRemainder(proto: TensorProto): TensorProto | undefined {
  return remainder(TensorProtoSchema, proto, contentFields)
}

/** The tensor's elements as little-endian bytes, without a copy. */
export function rawBytes(t: Tensor): Uint8Array<ArrayBuffer> {
  if (Array.isArray(t.data)) throw new TypeError('strings have no raw bytes')
  return new Uint8Array(t.data.buffer as ArrayBuffer, t.data.byteOffset, t.data.byteLength)
}

/** A TensorProto without its elements: the header of one whose raw data is written apart. */
export function tensorHeader(t: Tensor, name: string, rest?: TensorProto): TensorProto {
  const proto = create(TensorProtoSchema, { dims: t.dims.map(BigInt), dataType: codes[t.dtype] })
  if (name !== '') proto.name = name
  return restore(TensorProtoSchema, proto, rest)
}

/** A whole TensorProto. */
export function tensorProto(t: Tensor, name: string, rest?: TensorProto): TensorProto {
  const proto = tensorHeader(t, name, rest)
  if (t.dtype === 'string') proto.stringData = (t.data as string[]).map(bytesOfText)
  else proto.rawData = rawBytes(t)
  return proto
}

/** A TensorProto whose elements lie in another file. */
export function externalProto(header: TensorProto, location: string, offset: number, length: number): TensorProto {
  header.externalData = Object.entries({ location, offset: String(offset), length: String(length) }).map(([key, value]) => ({ $typeName: 'onnx.StringStringEntryProto' as const, key, value }))
  header.dataLocation = TensorProto_DataLocation.EXTERNAL
  return header
}
