/** @file The reference for a cut: the original model with a 0/1 factor on the removed channels at every consumer's input. */
import { addInitializer, addNode, cloneModel, setInput } from '../ir/edit.ts'
import { type Model, type Node, opsetOf, type Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import { inferNode } from '../ops/builder.ts'
import type { DType } from '../tensor/dtype.ts'
import { allocate } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { channelLinks } from './channel-links.ts'
import type { PrunePlan } from './plan.ts'
import { resolvePlan } from './resolve-plan.ts'

/** A copy of `model`, nothing cut, in which the channels that `plan` removes are multiplied by 0 wherever a node contracts them. */
export function applyZeroFactor(model: Model, plan: PrunePlan): Model {
  const copy = cloneModel(model).model
  const { graph } = copy
  const opset = opsetOf(copy)
  const cut = resolvePlan(copy, plan)
  // All links first: the nodes added below are no part of the question.
  const contracted = graph.nodes.flatMap((node) => {
    const links = channelLinks(node, opset)
    return 'whole' in links ? [] : (links.contracts ?? []).map((ref) => ({ node, ref }))
  })
  const names = new Set([...valuesOf(graph)].map((v) => v.name))
  const unique = (stem: string): string => {
    let name = stem
    for (let n = 1; names.has(name); n++) name = `${stem}_${n}`
    names.add(name)
    return name
  }
  const masked = new Map<string, { mul: Node; product: Value }>()
  for (const { node, ref } of contracted) {
    const keep = cut.kept(ref)
    if (!keep) continue
    const { value, axis } = ref
    const key = `${axis} ${value.name}`
    let entry = masked.get(key)
    if (!entry) {
      const mask = addInitializer(graph, unique(`${value.name}_kept`), keptMask(value, axis, keep))
      const mul = addNode(graph, 'Mul', [value, mask], [unique(`${value.name}_zeroed`)], {}, { before: node })
      inferNode(mul, opset)
      entry = { mul, product: mul.outputs[0]! }
      masked.set(key, entry)
    }
    node.inputs.forEach((v, index) => {
      if (v === value) setInput(node, index, entry.product)
    })
  }
  return copy
}

function keptMask(value: Value, axis: number, keep: readonly number[]): Tensor {
  const shape = value.shape!
  const length = shape[axis]
  if (typeof length !== 'number') throw new Error(`axis ${axis} of "${value.name}" has no known length`)
  const dtype = value.dtype ?? 'float32'
  const data = allocate(dtype, length)
  const one = oneOf(dtype)
  for (const index of keep) data[index] = one
  return { dtype, dims: shape.map((_, i) => (i === axis ? length : 1)), data }
}

/** 1 as an element of a float array; the 16-bit types are held as raw words. */
function oneOf(dtype: DType): number {
  if (dtype === 'float32' || dtype === 'float64') return 1
  if (dtype === 'float16') return 0x3c00
  if (dtype === 'bfloat16') return 0x3f80
  throw new Error(`channels of type ${dtype} cannot be masked`)
}
