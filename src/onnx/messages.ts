/** @file Protobuf messages: what one says beyond the fields that the IR holds, kept aside on load and put back on save; text; how a field begins. */
import { create, type DescMessage, isFieldSet, type MessageShape } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { UserError } from '../tensor/error.ts'

/** Bytes that a message may take. */
export const protobufLimit = 2 ** 31 - 1

/** A message with the fields of `message` that are not in `handled` (and those unknown to the library); undefined when there are none. */
export function remainder<D extends DescMessage>(schema: D, message: MessageShape<D>, handled: ReadonlySet<string>): MessageShape<D> | undefined {
  const rest = create(schema)
  let found = false
  for (const field of schema.fields) {
    if (handled.has(field.localName) || !isFieldSet(message, field)) continue
    setField(rest, field.localName, (message as Record<string, unknown>)[field.localName])
    found = true
  }
  if (message.$unknown?.length) {
    rest.$unknown = message.$unknown
    found = true
  }
  return found ? rest : undefined
}

/** Puts the fields of `rest` into `message`. */
export function restore<D extends DescMessage>(schema: D, message: MessageShape<D>, rest: MessageShape<D> | undefined): MessageShape<D> {
  if (!rest) return message
  for (const field of schema.fields) {
    if (isFieldSet(rest, field)) setField(message, field.localName, (rest as Record<string, unknown>)[field.localName])
  }
  if (rest.$unknown) message.$unknown = rest.$unknown
  return message
}

function setField(message: object, name: string, value: unknown): void {
  ;(message as Record<string, unknown>)[name] = value
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text of UTF-8 bytes, or undefined when they are none. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const encoder = new TextEncoder()

export function bytesOfText(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text)
}

/** Tag and length of a length-delimited field. */
export function prefix(field: number, length: number): Uint8Array {
  if (length > protobufLimit) throw new UserError(`the model takes more than ${protobufLimit} bytes, an ONNX file holds no more; save it with external data`)
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish()
}
