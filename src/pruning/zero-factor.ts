/** @file The reference for a cut: the original model with a 0/1 factor on the removed channels at every consumer's input. */
import { addInitializer, addInput, addNode, cloneModel, setInput } from '../ir/edit.ts'
import { type Model, opsetOf, type Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import { inferNode } from '../ops/builder.ts'
import type { AxisRef } from '../ops/define.ts'
import type { Tensors } from '../runtime/session.ts'
import type { DType } from '../tensor/dtype.ts'
import { allocate } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { channelLinks } from './channel-links.ts'
import { type ChannelGroup, type GroupMember, indicesOf } from './groups.ts'
import { type PrunePlan, without } from './plan.ts'
import { resolvePlan } from './resolve-plan.ts'

/** A copy of `model`, nothing cut, in which the channels that `plan` removes are multiplied by 0 wherever a node contracts them. */
export function applyZeroFactor(model: Model, plan: PrunePlan): Model {
  const copy = cloneModel(model).model
  const cut = resolvePlan(copy, plan)
  insertMasks(copy, (ref, name) => {
    const keep = cut.kept(ref)
    return keep && addInitializer(copy.graph, name, keptMask(ref, keep))
  })
  return copy
}

/** A model whose channels can be zeroed from run to run, without a session of its own for every cut. */
export interface MaskedModel {
  /** The original with one input more for every contracted value that a group reaches. */
  readonly model: Model
  /**
   * What to feed beside the model's own inputs so that the group with index `group` keeps only `kept` of its units; all groups whole
   * without them. Tensors are shared between calls.
   */
  feeds(group?: number, kept?: readonly number[]): Tensors
}

/** What the group with index `group` has of an axis. */
interface Part {
  readonly group: number
  readonly member: GroupMember
}

/**
 * As `applyZeroFactor`, for any cut of `groups` (of `model`): the factors are inputs of the graph. A constant that is contracted with a
 * masked value has no mask of its own, so that runtimes can still prepare it for their kernels.
 */
export function withMaskInputs(model: Model, groups: readonly ChannelGroup[]): MaskedModel {
  const { model: copy, values } = cloneModel(model)
  const reached = new Map<Value, Map<number, Part[]>>()
  groups.forEach(({ id, members }, group) => {
    for (const member of members) {
      const value = values.get(member.value)
      if (!value) throw new Error(`group "${id}" is of another model: "${member.value.name}" is not in this one`)
      const axes = reached.get(value) ?? new Map<number, Part[]>()
      reached.set(value, axes)
      axes.set(member.axis, [...(axes.get(member.axis) ?? []), { group, member }])
    }
  })
  const masks: { readonly name: string; readonly ref: AxisRef; readonly whole: Tensor; readonly parts: readonly Part[] }[] = []
  insertMasks(copy, (ref, name) => {
    const parts = reached.get(ref.value)?.get(ref.axis)
    if (!parts || ref.value.initializer) return undefined
    const whole = keptMask(ref, [...Array(lengthOf(ref)).keys()])
    masks.push({ name, ref, whole, parts })
    return addInput(copy.graph, name, whole.dtype, whole.dims)
  })
  const wholes: Tensors = Object.fromEntries(masks.map(({ name, whole }) => [name, whole]))
  return {
    model: copy,
    feeds(group, kept = []) {
      if (group === undefined) return wholes
      const units = new Set(kept)
      const removed = Array.from({ length: groups[group]!.channels }, (_, k) => k).filter((k) => !units.has(k))
      const own = masks.flatMap(({ name, ref, parts }) => {
        const gone = parts.filter((part) => part.group === group).flatMap(({ member }) => indicesOf(member, removed))
        return gone.length === 0 ? [] : [[name, keptMask(ref, without(lengthOf(ref), gone))] as const]
      })
      return { ...wholes, ...Object.fromEntries(own) }
    },
  }
}

/** Puts a factor before every node that contracts a value for which `maskOf` has one; asked once a value and axis, with a free name for it. */
function insertMasks(copy: Model, maskOf: (ref: AxisRef, name: string) => Value | undefined): void {
  const { graph } = copy
  const opset = opsetOf(copy)
  // All links first: the nodes added below are no part of the question.
  const contracted = graph.nodes.flatMap((node) => {
    const links = channelLinks(node, opset)
    const refs = 'whole' in links ? [] : (links.contracts ?? [])
    return [...new Set(refs.map((ref) => ref.value))].map((value) => ({ node, value, refs: refs.filter((ref) => ref.value === value) }))
  })
  const names = new Set([...valuesOf(graph)].map((v) => v.name))
  const unique = (stem: string): string => {
    let name = stem
    for (let n = 1; names.has(name); n++) name = `${stem}_${n}`
    names.add(name)
    return name
  }
  const masks = new Map<string, Value | undefined>()
  const maskFor = (ref: AxisRef): Value | undefined => {
    const key = `${ref.axis} ${ref.value.name}`
    if (!masks.has(key)) masks.set(key, maskOf(ref, unique(`${ref.value.name}_kept`)))
    return masks.get(key)
  }
  const products = new Map<string, Value>()
  for (const { node, value, refs } of contracted) {
    // Several axes of one value, one after the other.
    const product = refs.reduce((masked, ref) => {
      const mask = maskFor(ref)
      if (!mask) return masked
      const key = `${ref.axis} ${masked.name}`
      let next = products.get(key)
      if (!next) {
        const mul = addNode(graph, 'Mul', [masked, mask], [unique(`${value.name}_zeroed`)], {}, { before: node })
        inferNode(mul, opset)
        next = mul.outputs[0]!
        products.set(key, next)
      }
      return next
    }, value)
    if (product === value) continue
    node.inputs.forEach((v, index) => {
      if (v === value) setInput(node, index, product)
    })
  }
}

/** 1 at the indices that stay, 0 elsewhere; its other axes have length 1. */
function keptMask(ref: AxisRef, keep: readonly number[]): Tensor {
  const { value, axis } = ref
  const length = lengthOf(ref)
  const dtype = value.dtype ?? 'float32'
  const data = allocate(dtype, length)
  const one = oneOf(dtype)
  for (const index of keep) data[index] = one
  return { dtype, dims: value.shape!.map((_, i) => (i === axis ? length : 1)), data }
}

function lengthOf({ value, axis }: AxisRef): number {
  const length = value.shape?.[axis]
  if (typeof length !== 'number') throw new Error(`axis ${axis} of "${value.name}" has no known length`)
  return length
}

/** 1 as an element of a float array; the 16-bit types are held as raw words. */
function oneOf(dtype: DType): number {
  if (dtype === 'float32' || dtype === 'float64') return 1
  if (dtype === 'float16') return 0x3c00
  if (dtype === 'bfloat16') return 0x3f80
  throw new Error(`channels of type ${dtype} cannot be masked`)
}
