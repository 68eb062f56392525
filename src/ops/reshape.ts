/** @file Reshape, Flatten, Squeeze, Unsqueeze: the same elements under other dims. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { type Dim, type Node, staticShape } from '../ir/graph.ts'
import { i64, sizeOf, type Tensor, toNumbers } from '../tensor/tensor.ts'
import type { ChannelRule, KeptIndices, OpDef, PatchEdit } from './define.ts'
import { moves } from './eight-bit.ts'
import { reshapeTensor } from './fold.ts'
import { originOf } from './lengths.ts'
import { reshapeLinks } from './reshape-links.ts'
import { inputOf, intsOf, link, outputOf, ref, reshapeVjp, typed, wrapAxis } from './rules.ts'
import { contentOf, numbersOf } from './shape-data.ts'

/** Output dims of a Reshape to `target`: 0 copies (unless allowzero), -1 is what remains. Symbols cancel. */
function resolveTarget(node: Node, from: readonly Dim[] | undefined, target: readonly Dim[]): Dim[] {
  const allowZero = intAttribute(node, 'allowzero', 0) !== 0
  const out = target.map((d, i) => (d === 0 && !allowZero ? from?.[i] : d))
  const open = out.indexOf(-1)
  if (open < 0) return out
  out[open] = from && remaining(from, out.filter((_, i) => i !== open))
  return out
}

/** Product of `from` divided by that of `known`, where it comes out as a number or as one symbol. */
function remaining(from: readonly Dim[], known: readonly Dim[]): Dim {
  const product = (dims: readonly Dim[]): number => sizeOf(dims.filter((d) => typeof d === 'number'))
  const symbols = from.filter((d) => typeof d !== 'number')
  for (const d of known) {
    if (typeof d === 'number') continue
    const at = symbols.indexOf(d)
    // Two unknown lengths need not be the same one.
    if (d === undefined || at < 0) return undefined
    symbols.splice(at, 1)
  }
  const divisor = product(known)
  const ratio = divisor === 0 ? 0 : product(from) / divisor
  if (!Number.isInteger(ratio)) return undefined
  if (symbols.length === 0 || ratio === 0) return ratio
  return symbols.length === 1 && ratio === 1 ? symbols[0] : undefined
}

/** Where the length of output axis `axis` is written down as a constant, or that it follows by itself; undefined: neither. */
function targetEntry(node: Node, axis: number): { holder: Node; input: number; content: Tensor; at: number } | 'follows' | undefined {
  const target = node.inputs[1]
  let holder = node
  let input = 1
  let at = axis
  let content = target?.initializer
  if (!content && target?.producer?.opType === 'Concat' && target.uses.size === 1) {
    // Exporters write a symbolic batch as Concat(Shape(x)[0], constants).
    holder = target.producer
    for (input = 0; input < holder.inputs.length; input++) {
      content = holder.inputs[input]?.initializer
      const length = content ? content.data.length : contentOf(holder.inputs[input])?.length
      if (length === undefined) return undefined
      if (at < length) break
      at -= length
    }
  }
  if (!content) return undefined
  return toNumbers(content)[at] === -1 ? 'follows' : { holder, input, content, at }
}

const reshapeChannels: ChannelRule = (node) => {
  const y = outputOf(node)
  const found = reshapeLinks(inputOf(node, 0), y)
  if (intsAttribute(node, 'shape')) return found
  // An axis whose length the graph computes cannot be given another one, unless it is that of an axis that is cut along.
  const computed = [...(y.shape ?? []).keys()].filter((axis) => y.shape![axis] !== 1 && !targetEntry(node, axis))
  const origins = new Map(computed.map((axis) => [axis, originOf(node.inputs[1], axis)]))
  return {
    links: [...found.links, ...computed.flatMap((axis) => (origins.get(axis) ? [link(origins.get(axis)!, ref(y, axis))] : []))],
    blocked: [...(found.blocked ?? []), ...computed.filter((axis) => !origins.get(axis)).map((axis) => ({ ref: ref(y, axis), reason: 'its length is computed in the graph' }))],
  }
}

/** Writes the new lengths into the target, in a constant of the node's own; a -1 adapts by itself. */
function patchReshape(node: Node, kept: KeptIndices, edit: PatchEdit): void {
  const y = outputOf(node)
  const attribute = intsAttribute(node, 'shape')
  const rewritten = new Map<string, { holder: Node; input: number; values: number[] }>()
  for (const axis of (y.shape ?? []).keys()) {
    const length = kept(ref(y, axis))?.length
    if (length === undefined) continue
    if (attribute) {
      if (attribute[axis] !== -1) attribute[axis] = length
      continue
    }
    const entry = targetEntry(node, axis) ?? (originOf(node.inputs[1], axis) && 'follows')
    if (entry === undefined) throw new Error(`Reshape "${node.name}": the length of axis ${axis} is computed in the graph and cannot be patched`)
    if (entry === 'follows') continue
    const key = String(entry.input)
    const change = rewritten.get(key) ?? { holder: entry.holder, input: entry.input, values: toNumbers(entry.content) }
    change.values[entry.at] = length
    rewritten.set(key, change)
  }
  if (attribute) setAttribute(node, 'shape', attribute)
  for (const { holder, input, values } of rewritten.values()) edit.setConstant(holder, input, i64(values))
}

const reshape: OpDef = {
  type: 'Reshape',
  shape(node) {
    const x = inputOf(node, 0)
    const attribute = intsAttribute(node, 'shape')
    const rank = node.inputs[1] && staticShape(node.inputs[1])?.[0]
    const target = attribute ?? contentOf(node.inputs[1])
    if (!target) return typed(x.dtype, rank === undefined ? undefined : new Array<Dim>(rank).fill(undefined))
    return typed(x.dtype, resolveTarget(node, x.shape, target))
  },
  vjp: reshapeVjp,
  channels: reshapeChannels,
  patch: patchReshape,
  fold(node, [x, target]) {
    const to = intsAttribute(node, 'shape') ?? (target && toNumbers(target)) ?? numbersOf(node.inputs[1])
    return x && to && reshaped(x, resolveTarget(node, x.dims, to))
  },
  eightBit: moves,
}

function reshaped(x: Tensor, dims: readonly Dim[]): Tensor[] | undefined {
  return dims.every((d): d is number => typeof d === 'number') ? [reshapeTensor(x, dims)] : undefined
}

const flattened = (node: Node, from: readonly Dim[]): Dim[] => {
  const axis = wrapAxis(intAttribute(node, 'axis', 1), from.length)
  return [remaining(from.slice(0, axis), []), remaining(from.slice(axis), [])]
}

const flatten: OpDef = {
  type: 'Flatten',
  shape(node) {
    const x = inputOf(node, 0)
    return typed(x.dtype, x.shape ? flattened(node, x.shape) : [undefined, undefined])
  },
  vjp: reshapeVjp,
  channels: (node) => reshapeLinks(inputOf(node, 0), outputOf(node)),
  fold: (node, [x]) => x && reshaped(x, flattened(node, x.dims)),
  eightBit: moves,
}

/** For each output axis of Squeeze the input axis it comes from; undefined where axes are not known. */
function squeezedAxes(node: Node, from: readonly Dim[] | undefined, axesInput?: Tensor): number[] | undefined {
  const given = axesInput ? toNumbers(axesInput) : intsOf(node, 'axes', 1)
  if (!from) return undefined
  if (given) {
    const gone = given.map((a) => wrapAxis(a, from.length))
    return [...from.keys()].filter((i) => !gone.includes(i))
  }
  // Without axes, every axis of length 1 goes: all lengths must be known.
  if (node.inputs[1] || !from.every((d) => d !== undefined)) return undefined
  return [...from.keys()].filter((i) => from[i] !== 1)
}

/** For each output axis of Unsqueeze the input axis it comes from (undefined: a new one of length 1); undefined where axes are not known. */
function unsqueezedAxes(node: Node, rank: number | undefined, axesInput?: Tensor): (number | undefined)[] | undefined {
  const given = axesInput ? toNumbers(axesInput) : intsOf(node, 'axes', 1)
  if (!given || rank === undefined) return undefined
  const fresh = given.map((a) => wrapAxis(a, rank + given.length))
  let at = 0
  return Array.from({ length: rank + given.length }, (_, i) => (fresh.includes(i) ? undefined : at++))
}

const squeeze: OpDef = {
  type: 'Squeeze',
  shape(node) {
    const x = inputOf(node, 0)
    return typed(x.dtype, squeezedAxes(node, x.shape)?.map((axis) => x.shape![axis]))
  },
  vjp: reshapeVjp,
  channels(node) {
    const x = inputOf(node, 0)
    return { links: (squeezedAxes(node, x.shape) ?? []).map((axis, i) => link(ref(x, axis), ref(outputOf(node), i))) }
  },
  fold(node, [x, axes]) {
    const from = x && squeezedAxes(node, x.dims, axes)
    return x && from && reshaped(x, from.map((axis) => x.dims[axis]))
  },
  eightBit: moves,
}

const unsqueeze: OpDef = {
  type: 'Unsqueeze',
  shape(node) {
    const x = inputOf(node, 0)
    const axes = unsqueezedAxes(node, x.shape?.length)
    return typed(x.dtype, axes?.map((axis) => (axis === undefined ? 1 : x.shape![axis])))
  },
  vjp: reshapeVjp,
  channels(node) {
    const x = inputOf(node, 0)
    const axes = unsqueezedAxes(node, x.shape?.length) ?? []
    return { links: axes.flatMap((axis, i) => (axis === undefined ? [] : [link(ref(x, axis), ref(outputOf(node), i))])) }
  },
  fold(node, [x, axes]) {
    const from = x && unsqueezedAxes(node, x.dims.length, axes)
    return x && from && reshaped(x, from.map((axis) => (axis === undefined ? 1 : x.dims[axis])))
  },
  eightBit: moves,
}

export const reshapes: readonly OpDef[] = [reshape, flatten, squeeze, unsqueeze]
