/** @file Brings weights to the alignment of their type, within the bytes of the file that they were read from. */
import { TensorProtoSchema, type ModelProto } from 'onnx-buf'
import { bytesPerElement } from '../tensor/dtype.ts'
import { prefix } from './messages.ts'
import { tensorProtos } from './tensor-protos.ts'
import { dtypeOf } from './tensors.ts'

/**
 * Protobuf aligns nothing, so most weights could only be viewed as numbers after a copy, and a model would take its size in memory
 * twice. But before a tensor's content stand the tag and the length of its field, which have been read by now: there is room
 * to move it by some bytes. Changes `bytes`, which `model` was decoded from; what does not fit stays where it is.
 */
export function alignInPlace(model: ModelProto, bytes: Uint8Array): void {
  for (const { tensor } of tensorProtos(model)) {
    const dtype = dtypeOf(tensor.dataType)
    const raw = tensor.rawData
    if (raw.buffer !== bytes.buffer || dtype === undefined || dtype === 'string') continue
    const excess = raw.byteOffset % bytesPerElement(dtype)
    if (excess === 0 || excess > prefix(TensorProtoSchema.field.rawData.number, raw.length).length) continue
    tensor.rawData = new Uint8Array(bytes.buffer as ArrayBuffer, raw.byteOffset - excess, raw.length)
    tensor.rawData.set(raw)
  }
}
