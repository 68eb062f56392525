/** @file Cuts one index of one axis out of a small model by its ops' links, and runs it beside the zeroed original. */
import { addInitializer, appendInput, cloneModel, setInitializer, setInput } from '../../src/ir/edit.ts'
import { type Model, type Node, opsetOf, type Value } from '../../src/ir/graph.ts'
import { inferNode } from '../../src/ops/builder.ts'
import type { AxisRef } from '../../src/ops/define.ts'
import { forEachPair } from '../../src/ops/index-map.ts'
import { lookup } from '../../src/ops/registry.ts'
import { replaceShuffles } from '../../src/ops/shuffle.ts'
import { channelLinks, touched } from '../../src/pruning/channel-links.ts'
import { allocate } from '../../src/tensor/dtype.ts'
import { stridesOf, takeAlong, tensor, type Tensor } from '../../src/tensor/tensor.ts'
import { runModel } from './run.ts'

type Removed = Map<Value, Map<number, Set<number>>>

/** All indices bound to the given one; throws the reason where a node keeps one of their axes whole. */
function closure(model: Model, first: AxisRef, index: number): Removed {
  const removed: Removed = new Map()
  const links = model.graph.nodes.map((node) => {
    const found = channelLinks(node, opsetOf(model))
    if ('whole' in found) throw new Error(found.whole)
    return { node, ...found }
  })
  const add = ({ value, axis }: AxisRef, i: number): boolean => {
    const axes = removed.get(value) ?? new Map<number, Set<number>>()
    const indices = axes.get(axis) ?? new Set<number>()
    removed.set(value, axes.set(axis, indices))
    return !indices.has(i) && !!indices.add(i)
  }
  const has = ({ value, axis }: AxisRef, i: number): boolean => !!removed.get(value)?.get(axis)?.has(i)
  const length = ({ value, axis }: AxisRef): number => value.shape![axis] as number
  add(first, index)
  for (let grown = true; grown; ) {
    grown = false
    for (const { from, to, map } of links.flatMap((l) => l.links)) {
      forEachPair(map, length(from), length(to), (i, j) => {
        if (has(from, i) && add(to, j)) grown = true
        if (has(to, j) && add(from, i)) grown = true
      })
    }
  }
  for (const { node, links: tied, contracts = [], blocked = [] } of links) {
    for (const value of touched(node)) {
      for (const axis of removed.get(value)?.keys() ?? []) {
        const here = (at: AxisRef): boolean => at.value === value && at.axis === axis
        const why = blocked.find((b) => here(b.ref))
        if (why) throw new Error(why.reason)
        if (!tied.some((l) => here(l.from) || here(l.to)) && !contracts.some(here)) throw new Error(`axis ${axis} of "${value.name}" is not named`)
      }
    }
  }
  return removed
}

function keptOf(removed: Removed, value: Value, axis: number): number[] | undefined {
  const gone = removed.get(value)?.get(axis)
  return gone && Array.from({ length: value.shape![axis] as number }, (_, i) => i).filter((i) => !gone.has(i))
}

function takeKept(t: Tensor, removed: Removed, value: Value): Tensor {
  return t.dims.reduce((out, _, axis) => {
    const kept = keptOf(removed, value, axis)
    return kept ? takeAlong(out, axis, kept) : out
  }, t)
}

/** Puts zeros where an index was removed. */
function zeroed(t: Tensor, removed: Removed, value: Value): Tensor {
  const data = allocate(t.dtype, t.data.length)
  const strides = stridesOf(t.dims)
  t.data.forEach((v, i) => {
    const alive = t.dims.every((d, axis) => !removed.get(value)?.get(axis)?.has(Math.floor(i / strides[axis]!) % d))
    if (alive) data[i] = v
  })
  return tensor(t.dtype, t.dims, data)
}

/**
 * Removes index `index` of `axis` of the graph input `name`, with all that is tied to it. Returns the outputs of the cut model, and those
 * of the original run on zeroed inputs, of which only the kept indices are taken. The shapes inferred for the cut model come along.
 */
export async function cutIndex(model: Model, feeds: Record<string, Tensor>, name: string, axis: number, index: number): Promise<{ cut: Tensor[]; zero: Tensor[]; inferred: unknown[]; patched: Model }> {
  const input = model.graph.inputs.find((v) => v.name === name)!
  const removed = closure(model, { value: input, axis }, index)
  const { model: patched, values } = cloneModel(model)
  const originals = new Map([...values].map(([from, to]) => [to, from]))
  const setConstant = (node: Node, at: number, content: Tensor): void => {
    const constant = addInitializer(patched.graph, `patched${patched.graph.initializers.length}`, content)
    while (node.inputs.length < at) appendInput(node, undefined)
    if (at < node.inputs.length) setInput(node, at, constant)
    else appendInput(node, constant)
  }
  const opset = opsetOf(model)
  const kept = ({ value, axis: a }: AxisRef): number[] | undefined => keptOf(removed, originals.get(value) ?? value, a)
  const shuffled = replaceShuffles(patched.graph, kept, (stem) => `${stem}_shuffled`)
  for (const node of patched.graph.nodes) if (!shuffled.has(node)) lookup(node.opType)?.patch?.(node, kept, { opset, setConstant })
  for (const v of patched.graph.initializers) {
    const original = originals.get(v)
    if (original && removed.has(original)) setInitializer(v, takeKept(v.initializer!, removed, original))
  }
  for (const v of patched.graph.inputs) v.shape = v.shape!.map((d, a) => keptOf(removed, originals.get(v)!, a)?.length ?? d)
  for (const node of patched.graph.nodes) inferNode(node, opset)
  const inferred = patched.graph.outputs.map((v) => v.shape)
  const byInput = (f: (t: Tensor, v: Value) => Tensor): Record<string, Tensor> => Object.fromEntries(model.graph.inputs.map((v) => [v.name, f(feeds[v.name]!, v)]))
  const cut = await runModel(patched, byInput((t, v) => takeKept(t, removed, v)))
  const whole = await runModel(model, byInput((t, v) => zeroed(t, removed, v)))
  return {
    cut: patched.graph.outputs.map((v) => cut[v.name]!),
    zero: model.graph.outputs.map((v) => takeKept(whole[v.name]!, removed, v)),
    inferred,
    patched,
  }
}
