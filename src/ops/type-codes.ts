/** @file Element type codes of ONNX's TensorProto, as attributes like Cast's `to` spell them. */
import type { DType } from '../tensor/dtype.ts'

const typeCodes: Record<DType, number> = {
  float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, string: 8, bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13, bfloat16: 16,
}

export function onnxTypeCode(dtype: DType): number {
  return typeCodes[dtype]
}

/** The element type of an ONNX code; throws on types this project cannot hold. */
export function dtypeOfCode(code: number): DType {
  for (const [dtype, c] of Object.entries(typeCodes)) if (c === code) return dtype as DType
  throw new Error(`ONNX element type ${code} is not supported`)
}
