/** @file ValueInfoProto <-> the type of a Value. */
import { create } from '@bufbuild/protobuf'
import {
  TensorShapeProto_DimensionSchema, TypeProto_TensorSchema, TypeProtoSchema, TensorShapeProtoSchema, ValueInfoProtoSchema,
  type TensorProto, type TensorShapeProto_Dimension, type TypeProto, type ValueInfoProto,
} from 'onnx-buf'
import type { Dim, Value } from '../ir/graph.ts'
import { remainder, restore } from './messages.ts'
import { codeOf, dtypeOf } from './tensors.ts'

/** What the file says of a value beyond name, type and content. */
export interface ValueExtra {
  /** Doc string and metadata of its ValueInfoProto. */
  readonly info?: ValueInfoProto
  /** A type the IR cannot hold (a sequence, a map, an element type of its own): kept whole. */
  readonly type?: TypeProto
  readonly denotation?: string
  readonly axisDenotations?: readonly string[]
  /** Doc string and metadata of its TensorProto. */
  readonly tensor?: TensorProto
}

export function extraOf(value: Value): ValueExtra | undefined {
  return value.extra as ValueExtra | undefined
}

export function addExtra(value: Value, extra: ValueExtra): void {
  const known = Object.entries(extra).filter(([, v]) => v !== undefined)
  if (known.length) value.extra = { ...extraOf(value), ...Object.fromEntries(known) }
}

const handled = new Set(['name', 'type'])

/** Gives `value` the type that `info` states; a value with content keeps the type of its content. */
export function readInfo(value: Value, info: ValueInfoProto): void {
  addExtra(value, { info: remainder(ValueInfoProtoSchema, info, handled) })
  const type = info.type
  if (!type?.value.case) return
  const dtype = type.value.case === 'tensorType' ? dtypeOf(type.value.value.elemType) : undefined
  // An element type of 0 says "unknown": the shape still counts.
  if (type.value.case !== 'tensorType' || (!dtype && type.value.value.elemType !== 0)) {
    addExtra(value, { type })
    return
  }
  const dims = type.value.value.shape?.dim
  if (type.denotation) addExtra(value, { denotation: type.denotation })
  if (dims?.some((d) => d.denotation)) addExtra(value, { axisDenotations: dims.map((d) => d.denotation) })
  if (value.initializer) return
  value.dtype = dtype ?? value.dtype
  value.shape = dims ? dims.map(dimOf) : value.shape
}

function dimOf(dim: TensorShapeProto_Dimension): Dim {
  if (dim.value.case === 'dimValue') return dim.value.value < 0n ? undefined : Number(dim.value.value)
  if (dim.value.case === 'dimParam') return dim.value.value === '' ? undefined : dim.value.value
  return undefined
}

/** The ValueInfoProto of a value. */
export function infoOf(value: Value): ValueInfoProto {
  const extra = extraOf(value)
  const info = create(ValueInfoProtoSchema, { name: value.name })
  const type = extra?.type && !value.dtype ? extra.type : tensorType(value, extra)
  if (type) info.type = type
  return restore(ValueInfoProtoSchema, info, extra?.info)
}

/** True when a node's output has something to say in `value_info`. */
export function hasInfo(value: Value): boolean {
  const extra = extraOf(value)
  return value.dtype !== undefined || extra?.type !== undefined || extra?.info !== undefined
}

function tensorType(value: Value, extra: ValueExtra | undefined): TypeProto | undefined {
  // Runtimes reject a shape without an element type.
  if (!value.dtype) return undefined
  const tensor = create(TypeProto_TensorSchema, { elemType: codeOf(value.dtype) })
  if (value.shape) {
    tensor.shape = create(TensorShapeProtoSchema, {
      dim: value.shape.map((d, axis) => {
        const dim = create(TensorShapeProto_DimensionSchema)
        if (typeof d === 'number') dim.value = { case: 'dimValue', value: BigInt(d) }
        else if (d !== undefined) dim.value = { case: 'dimParam', value: d }
        const denotation = extra?.axisDenotations?.[axis]
        if (denotation) dim.denotation = denotation
        return dim
      }),
    })
  }
  const type = create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } })
  if (extra?.denotation) type.denotation = extra.denotation
  return type
}
