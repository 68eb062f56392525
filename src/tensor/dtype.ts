/** @file Element types: ONNX names for types, and the typed array that holds each of them. */

/** Element types this project can hold. float16 and bfloat16 are kept as raw 16-bit words; bool as 0/1 bytes. */
export type DType =
  | 'float32' | 'float64' | 'float16' | 'bfloat16'
  | 'int8' | 'int16' | 'int32' | 'int64'
  | 'uint8' | 'uint16' | 'uint32' | 'uint64'
  | 'bool' | 'string'

/** Storage of a tensor's elements, row-major. */
export type TensorData =
  | Float32Array | Float64Array | Uint16Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint8Array | Uint32Array | BigUint64Array | string[]

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const

/** Bytes of one element; strings have no fixed size and throw. */
export function bytesPerElement(dtype: DType): number {
  if (dtype === 'string') throw new TypeError('strings have no fixed element size')
  return constructors[dtype].BYTES_PER_ELEMENT
}

/** A zero-filled array for `length` elements of `dtype`. */
export function allocate(dtype: DType, length: number): TensorData {
  if (dtype === 'string') return new Array<string>(length).fill('')
  return new constructors[dtype](length)
}

/** Views `bytes` as elements of `dtype`, without a copy where the alignment allows it. Little-endian, as ONNX and every host we run on. */
export function viewBytes(dtype: DType, bytes: Uint8Array): TensorData {
  if (dtype === 'string') throw new TypeError('strings have no byte view')
  const ctor = constructors[dtype]
  const size = ctor.BYTES_PER_ELEMENT
  if (bytes.byteLength % size !== 0) throw new RangeError(`${bytes.byteLength} bytes are no whole number of ${dtype} elements`)
  // Not slice(): Node's Buffer overrides it with one that does not copy.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  return new ctor(aligned.buffer as ArrayBuffer, aligned.byteOffset, bytes.byteLength / size)
}

/** True for the types whose values carry a fractional part. */
export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16'
}
