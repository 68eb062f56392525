/** @file Channel groups: which indices of which axes of which values must be removed together. */
import { type Graph, type Model, type Node, opsetOf, staticShape, type Value } from '../ir/graph.ts'
import { capturedBy } from '../ir/walk.ts'
import type { ChannelLinks } from '../ops/define.ts'
import { lengthsIn } from '../ops/lengths.ts'
import { channelLinks, mixingWeight, nodeLabel, touched } from './channel-links.ts'
import { type GatheredClasses, gatherClasses } from './gather.ts'
import { type AxisSlots, createSlots, type SlotTable } from './slots.ts'

/** `produces`/`consumes`: axis of the weight of an op that mixes channels; `follows`: all that is cut along (BN, biases, activations). */
export type MemberRole = 'produces' | 'consumes' | 'follows'

/** One axis that a group reaches, and where each unit lies on it. */
export interface GroupMember {
  readonly value: Value
  readonly axis: number
  readonly role: MemberRole
  /** Indices of one unit on this axis: 1, or more after Flatten and in grouped convolutions. */
  readonly perUnit: number
  /** [channels * perUnit] indices on the axis; unit k has those from k * perUnit on, ascending. */
  readonly indices: Int32Array
}

/** A node that mixes channels, with the member that is its weight's axis: the output channels of a producer, the input channels of a consumer. */
export interface WeightUse {
  readonly node: Node
  readonly member: GroupMember
}

/** Channels that can be removed one by one, each with every slice tied to it. */
export interface ChannelGroup {
  /** Name of the first producing weight; a further group on the same weight gets "#2" and so on. */
  readonly id: string
  /** Number of units; unit k is the k-th in the order of the first producer's output channels. */
  readonly channels: number
  readonly prunable: boolean
  /** Why the group stays whole, naming the node. */
  readonly reason?: string
  /** True for streams that several weights write to (residual additions, shared consumers); gates of one stream (squeeze-excitation) do not count. */
  readonly coupled: boolean
  readonly members: readonly GroupMember[]
  readonly producers: readonly WeightUse[]
  readonly consumers: readonly WeightUse[]
}

interface Weights {
  readonly node: Node
  readonly produces: readonly AxisSlots[]
  readonly consumes: AxisSlots | undefined
}

/**
 * Finds every group of channels that some weight produces, in graph order, unprunable ones with their reason.
 * Needs a model with inferred shapes: what has none stays whole.
 */
export function findGroups(model: Model): ChannelGroup[] {
  const slots = createSlots(model)
  const weights = tieAll(model, slots)
  const joins = broadcastJoins(model)
  const ids = new Map<string, number>()
  return gatherClasses(slots, weights.flatMap((w) => w.produces)).map((found) => {
    const group = describe(found, weights, joins)
    const name = group.producers[0]!.member.value.name
    const count = (ids.get(name) ?? 0) + 1
    ids.set(name, count)
    return { id: count === 1 ? name : `${name}#${count}`, ...group }
  })
}

/** Unites the slots by every node's links, blocks what must stay, and returns the nodes that mix channels. */
function tieAll(model: Model, slots: SlotTable): Weights[] {
  const { graph } = model
  const opset = opsetOf(model)
  const weights: Weights[] = []
  const computed = dependentOnInputs(graph)
  const blockAll = (v: Value, reason: string): void => v.shape?.forEach((_, axis) => slots.block({ value: v, axis }, reason))
  // Old files list weights as inputs too: those are constants to us.
  for (const v of graph.inputs) if (!v.initializer) blockAll(v, `"${v.name}"${readerOf(v)} is an input of the model`)
  for (const node of graph.nodes) {
    const links = channelLinks(node, opset)
    if ('whole' in links) for (const v of touched(node)) blockAll(v, links.whole)
    else {
      tieNode(node, links, slots)
      // A sum over a weight (its norm) is another one without the removed part, while zeroing activations would leave it as it was.
      const sums = links.contracts ?? []
      if (!sums.some(({ value }) => computed.has(value))) for (const ref of sums) slots.block(ref, `${nodeLabel(node)} sums over axis ${ref.axis} of "${ref.value.name}", which depends on no input`)
      const mixing = mixingWeight(node, links)
      if (mixing) {
        const at = (axis: number): AxisSlots | undefined => slots.axisOf({ value: mixing.weight, axis })
        weights.push({ node, consumes: at(mixing.consumes), produces: mixing.produces.map(at).filter((a) => a !== undefined) })
      }
    }
    for (const v of capturedBy(node)) blockAll(v, `"${v.name}" is read inside a subgraph of ${nodeLabel(node)}`)
  }
  for (const v of graph.outputs) blockAll(v, `"${v.name}"${v.producer ? `, which ${nodeLabel(v.producer)} makes,` : ''} is an output of the model`)
  for (const v of graph.outputs) for (const at of lengthsIn(v)) slots.block(at, `its length is in "${v.name}", an output of the model`)
  return weights
}

/** The values that hang on what callers feed. */
function dependentOnInputs(graph: Graph): ReadonlySet<Value> {
  const found = new Set(graph.inputs.filter((v) => !v.initializer))
  for (const node of graph.nodes) {
    if (![...node.inputs, ...capturedBy(node)].some((v) => v && found.has(v))) continue
    for (const v of node.outputs) if (v) found.add(v)
  }
  return found
}

/** ", which Conv "c1" reads," */
function readerOf(v: Value): string {
  const [use] = v.uses
  return use ? `, which ${nodeLabel(use.node)} reads,` : ''
}

function tieNode(node: Node, links: ChannelLinks, slots: SlotTable): void {
  const named = new Set<AxisSlots | undefined>()
  for (const { ref, reason } of links.blocked ?? []) slots.block(ref, `${nodeLabel(node)}: ${reason}`)
  for (const { from, to, map } of links.links) {
    slots.tie(from, to, map)
    named.add(slots.axisOf(from)).add(slots.axisOf(to))
  }
  for (const ref of links.contracts ?? []) named.add(slots.axisOf(ref))
  for (const value of touched(node)) {
    value.shape?.forEach((length, axis) => {
      if (named.has(slots.axisOf({ value, axis }))) return
      const reason = length === 1 ? `${nodeLabel(node)}: "${value.name}" has only one entry on axis ${axis}` : `${nodeLabel(node)} needs axis ${axis} of "${value.name}" whole`
      slots.block({ value, axis }, reason)
    })
  }
}

function describe(found: GatheredClasses, weights: readonly Weights[], joins: readonly Node[]): Omit<ChannelGroup, 'id'> {
  const producing = weights.flatMap((w) => w.produces.filter((a) => found.members.has(a)).map((axis) => ({ node: w.node, axis })))
  const consuming = weights.flatMap((w) => (w.consumes && found.members.has(w.consumes) ? [{ node: w.node, axis: w.consumes }] : []))
  const produces = new Set(producing.map((p) => p.axis))
  const consumes = new Set(consuming.map((c) => c.axis))
  const members = new Map<AxisSlots, GroupMember>()
  for (const [at, { perUnit, indices }] of found.members) {
    const role = produces.has(at) ? 'produces' : consumes.has(at) ? 'consumes' : 'follows'
    members.set(at, { value: at.value, axis: at.axis, role, perUnit, indices })
  }
  const use = ({ node, axis }: { node: Node; axis: AxisSlots }): WeightUse => ({ node, member: members.get(axis)! })
  const values = new Set([...members.values()].map((m) => m.value))
  const gates = joins.filter((node) => node.inputs.every((v) => v && values.has(v))).length
  return {
    channels: found.units,
    prunable: found.reason === undefined,
    ...(found.reason === undefined ? {} : { reason: found.reason }),
    coupled: new Set(producing.map((p) => p.axis.value)).size - 1 > gates,
    members: [...members.values()],
    producers: producing.map(use),
    consumers: consuming.map(use),
  }
}

/** Why no channel of a group can go: its own reason, or that it has one unit, which plans leave to every group. Undefined where some can. */
export function wholeReason({ channels, reason, producers: [first] }: ChannelGroup): string | undefined {
  if (reason !== undefined || channels > 1) return reason
  const { node, member } = first!
  return `${member.perUnit === 1 ? 'a single channel' : `a single unit of ${member.perUnit} channels`} of ${nodeLabel(node)}, and every group keeps one`
}

/** Nodes that join two computed values of different shapes: each is a gate or a vector on one stream, not a sum of two streams. */
function broadcastJoins(model: Model): Node[] {
  return model.graph.nodes.filter((node) => {
    const [a, b] = node.inputs
    if (node.inputs.length !== 2 || !a?.producer || !b?.producer) return false
    const x = staticShape(a)
    const y = staticShape(b)
    return !!x && !!y && x.join() !== y.join()
  })
}

/** A node by its name, or by its first output's where it has none. */
export function nodeName(node: Node): string {
  return node.name || (node.outputs[0]?.name ?? '')
}

/** Indices of the given units on a member's axis, ascending. */
export function indicesOf(member: GroupMember, units: Iterable<number>): number[] {
  const out: number[] = []
  for (const k of units) for (let i = 0; i < member.perUnit; i++) out.push(member.indices[k * member.perUnit + i]!)
  return out.sort((a, b) => a - b)
}

/** The groups as text, one member a line: for people, and for inline snapshots in tests. */
export function printGroups(groups: readonly ChannelGroup[]): string {
  return groups
    .map((g) => {
      const marks = [`${g.channels} channels`, ...(g.coupled ? ['coupled'] : []), ...(g.reason === undefined ? [] : [`whole: ${g.reason}`])]
      const lines = g.members.map((m) => `  ${m.role} ${m.value.name}[${m.axis}]${m.perUnit > 1 ? ` x${m.perUnit}` : ''} ${ranges(m.indices)}`)
      return [`${g.id}: ${marks.join(', ')}`, ...lines].join('\n')
    })
    .join('\n')
}

function ranges(indices: Int32Array): string {
  const sorted = [...indices].sort((a, b) => a - b)
  const parts: string[] = []
  for (let i = 0; i < sorted.length; ) {
    let j = i
    while (j + 1 < sorted.length && sorted[j + 1] === sorted[j]! + 1) j++
    parts.push(i === j ? `${sorted[i]}` : `${sorted[i]}..${sorted[j]}`)
    i = j + 1
  }
  return parts.join(',')
}
