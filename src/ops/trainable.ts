/** @file Which constants of a graph are weights that training may change: the operators' entries tell them from grids, factors and settings. */
import type { Graph, Node, Value } from '../ir/graph.ts'
import { isFloat } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type AxisRef, type ChannelLinks, notDifferentiable } from './define.ts'
import { lookup } from './registry.ts'
import { presentInputs, ref } from './rules.ts'

/** The float32 constants that the entries of the ops which read them call trainable, in graph order. Shapes must be inferred. */
export function trainableConstants(graph: Graph, opset: number): Set<Value> {
  const found = new Set<Value>()
  for (const node of graph.nodes) {
    const trainable = lookup(node.opType, node.domain)?.trainable ?? []
    const inputs = trainable === 'along channels' ? channelVectors(node, opset) : trainable.map((i) => node.inputs[i])
    for (const input of inputs) {
      const source = input && sourceOf(input)
      const content = source?.initializer
      if (content?.dtype === 'float32' && content.dims.length > 0 && !countsBins(content)) found.add(source!)
    }
  }
  return found
}

/** The constant that a value is, or that it is a moved or cast form of. */
function sourceOf(value: Value): Value | undefined {
  const node = value.producer
  if (!node) return value.initializer && value
  const [data, ...settings] = node.inputs
  const moved = data && lookup(node.opType, node.domain)?.vjp !== notDifferentiable && settings.every((v) => !v || (v.initializer && !isFloat(v.initializer.dtype)))
  return moved ? sourceOf(data) : undefined
}

/** 0, 1, 2, ...: the weights of an expectation over bins (distribution focal loss), which are no weights at all. */
function countsBins({ data }: Tensor): boolean {
  return data.length > 2 && Array.prototype.every.call(data, (v, i) => v === i)
}

/** Constant operands that vary along one axis only, one of channels that a weight makes in the other operand. */
function channelVectors(node: Node, opset: number): Value[] {
  const operands = presentInputs(node)
  const rank = node.outputs[0]?.shape?.length
  if (operands.length !== 2 || rank === undefined) return []
  return operands.filter((vector, i) => {
    const other = operands[1 - i]!
    const dims = vector.initializer?.dims
    if (!dims || other.initializer || !other.shape) return false
    const long = dims.flatMap((d, axis) => (d === 1 ? [] : [axis]))
    const axis = long.length === 1 ? long[0]! + other.shape.length - dims.length : -1
    return axis >= 0 && other.shape[axis] === dims[long[0]!] && madeByWeight(ref(other, axis), opset, new Set())
  })
}

/** True where the indices of the axis are those of a weight's outputs, as far back as links lead. */
function madeByWeight(at: AxisRef, opset: number, seen: Set<string>): boolean {
  const node = at.value.producer
  const key = `${at.axis} ${at.value.name}`
  if (!node || seen.has(key)) return false
  seen.add(key)
  const weight = node.inputs[lookup(node.opType, node.domain)?.scored?.input ?? -1]
  const here = (r: AxisRef): boolean => r.value === at.value && r.axis === at.axis
  return linksOf(node, opset).some(({ from, to }) => {
    const other = here(to) ? from : here(from) ? to : undefined
    if (!other || !node.inputs.includes(other.value)) return false
    return other.value === weight ? sourceOf(weight) !== undefined : madeByWeight(other, opset, seen)
  })
}

function linksOf(node: Node, opset: number): ChannelLinks['links'] {
  const channels = lookup(node.opType, node.domain)?.channels
  if (typeof channels !== 'function') return []
  try {
    return channels(node, { opset }).links
  } catch {
    // A rule throws where shapes are missing: then no link is known.
    return []
  }
}
