/** @file What each node says of its channels: the op's links, or the reason why its axes stay whole. */
import type { Model, Node, Value } from '../ir/graph.ts'
import type { ChannelLinks } from '../ops/define.ts'
import { lookup } from '../ops/registry.ts'
import { shuffleLinks, shuffleOf } from '../ops/shuffle.ts'
import { UserError } from '../tensor/error.ts'

/** A node in messages: its type and name, or its first output's name where it has none. */
export function nodeLabel(node: Node): string {
  return `${node.domain ? `${node.domain}.` : ''}${node.opType} "${node.name || (node.outputs[0]?.name ?? '')}"`
}

/** The links of a node, or why every axis that it touches stays whole. */
export function channelLinks(node: Node, opset: number): ChannelLinks | { readonly whole: string } {
  const place = nodeLabel(node)
  const def = lookup(node.opType, node.domain)
  if (!def) return { whole: `${place}: this operator is not known here` }
  if (typeof def.channels !== 'function') return { whole: `${place}: ${def.channels.opaque}` }
  const shapeless = touched(node).find((v) => v.shape === undefined)
  if (shapeless) return { whole: `${place}: the shape of "${shapeless.name}" is not known` }
  const shuffle = shuffleOf(node)
  if (shuffle) return shuffleLinks(node, shuffle)
  try {
    return def.channels(node, { opset })
  } catch (error) {
    // A rule throws where it lacks a static shape or a constant: then nothing may be cut here, and the reason is its message.
    return { whole: `${place}: ${error instanceof Error ? error.message : String(error)}` }
  }
}

/** Every value a node reads or computes, once. */
export function touched(node: Node): Value[] {
  return [...new Set([...node.inputs, ...node.outputs])].filter((v) => v !== undefined)
}

/**
 * The weight of a node that mixes channels (it contracts an axis): the axis bound to its input channels, and the axes bound to
 * its output channels. Undefined for nodes that pass channels through, and where the weight is no initializer.
 */
export function mixingWeight(node: Node, links: ChannelLinks): { weight: Value; consumes: number; produces: number[] } | undefined {
  const scored = lookup(node.opType, node.domain)?.scored
  const weight = scored && node.inputs[scored.input]
  if (!scored || !weight?.initializer || !links.contracts?.length) return undefined
  const consumes = scored.axis(node)
  const outputs = new Set(node.outputs)
  const produces = new Set<number>()
  for (const { from, to } of links.links) {
    if (from.value === weight && outputs.has(to.value)) produces.add(from.axis)
    if (to.value === weight && outputs.has(from.value)) produces.add(to.axis)
  }
  return { weight, consumes, produces: [...produces].sort((a, b) => a - b) }
}

/** Throws UserError, with the remedy, where a node makes pruning the model pointless (quantized arithmetic). */
export function refuseUnprunable(model: Model): void {
  for (const node of model.graph.nodes) {
    const why = lookup(node.opType, node.domain)?.refused
    if (why !== undefined) throw new UserError(`the model cannot be pruned: ${nodeLabel(node)}: ${why}`)
  }
}
