/** @file External data: which tensors of a model lie in other files, and where. */
import { TensorProto_DataLocation, type ModelProto, type TensorProto } from 'onnx-buf'
import { bytesPerElement } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { tensorProtos } from './tensor-protos.ts'
import { dtypeOf } from './tensors.ts'

/** A tensor whose content lies in `location`, a path beside the model. */
export interface ExternalTensor {
  readonly tensor: TensorProto
  /** File and tensor, for messages. */
  readonly place: string
  readonly location: string
  readonly offset: number
  readonly length: number
}

export function externalTensors(model: ModelProto, file: string): ExternalTensor[] {
  return tensorProtos(model)
    .filter(({ tensor }) => tensor.dataLocation === TensorProto_DataLocation.EXTERNAL)
    .map(({ tensor, what }) => locate(tensor, `${file}: ${what}`))
}

function locate(tensor: TensorProto, place: string): ExternalTensor {
  const entries = new Map(tensor.externalData.map((e) => [e.key, e.value]))
  const location = entries.get('location')
  if (!location) throw new UserError(`${place}: is said to be external but names no file; save the model again with its data`)
  if (/^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(location)) {
    throw new UserError(`${place}: its data file "${location}" is outside the model's folder; put it beside the model and save again`)
  }
  const dtype = dtypeOf(tensor.dataType)
  const needed = dtype && dtype !== 'string' ? bytesPerElement(dtype) * sizeOf(tensor.dims.map(Number)) : undefined
  const length = wholeNumber(entries.get('length'), place, 'length') ?? needed
  if (length === undefined) throw new UserError(`${place}: its element type cannot be read from external data; convert the model to float or integer types`)
  if (needed !== undefined && length !== needed) {
    throw new UserError(`${place}: its dims need ${needed} bytes, the model gives its external data ${length}; the file is damaged, export it again`)
  }
  return { tensor, place, location, offset: wholeNumber(entries.get('offset'), place, 'offset') ?? 0, length }
}

function wholeNumber(text: string | undefined, place: string, what: string): number | undefined {
  if (text === undefined || text === '') return undefined
  const n = Number(text)
  if (!Number.isSafeInteger(n) || n < 0) throw new UserError(`${place}: the ${what} of its external data is "${text}", a whole number of bytes was wanted; export the model again`)
  return n
}

/** Gives a tensor the bytes that were read for it. */
export function fill(external: ExternalTensor, bytes: Uint8Array): void {
  external.tensor.rawData = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
  external.tensor.dataLocation = TensorProto_DataLocation.DEFAULT
  external.tensor.externalData = []
}

/** Throws unless the data file, `size` bytes long (undefined: missing), holds the tensor's bytes. */
export function checkRange(external: ExternalTensor, size: number | undefined): void {
  const { place, location, offset, length } = external
  if (size === undefined) throw new UserError(`${place}: its data file "${location}" is missing; put it beside the model`)
  if (offset + length > size) {
    throw new UserError(`${place}: needs bytes ${offset} to ${offset + length} of "${location}", which ends at ${size}; the data file is truncated, copy it again`)
  }
}
