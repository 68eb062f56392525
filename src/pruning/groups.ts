/** @file Channel groups: which indices of which axes of which values must be removed together. */
import type { Model, Node, Value } from '../ir/graph.ts'
import { opsetOf, staticShape } from '../ir/graph.ts'
import { capturedBy } from '../ir/walk.ts'
import type { ChannelLinks } from '../ops/define.ts'
import { channelLinks, mixingWeight, touched } from './channel-links.ts'
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

interface Found {
  readonly members: Map<AxisSlots, number[]>
  readonly sample: number
  units: number
}

/**
 * Finds every group of channels that some weight produces, in graph order, unprunable ones with their reason.
 * Needs a model with inferred shapes: what has none stays whole.
 */
export function findGroups(model: Model): ChannelGroup[] {
  const slots = createSlots(model)
  const weights = tieAll(model, slots)
  const found = gather(slots, weights)
  const ids = new Map<string, number>()
  const joins = broadcastJoins(model)
  return found
    .map((f) => describe(f, slots, weights, joins))
    .sort((a, b) => a.order - b.order || a.group.producers[0]!.member.indices[0]! - b.group.producers[0]!.member.indices[0]!)
    .map(({ group }) => {
      const name = group.producers[0]!.member.value.name
      const count = (ids.get(name) ?? 0) + 1
      ids.set(name, count)
      return { ...group, id: count === 1 ? name : `${name}#${count}` }
    })
}

/** Unites the slots by every node's links, blocks what must stay, and returns the nodes that mix channels. */
function tieAll(model: Model, slots: SlotTable): Weights[] {
  const { graph } = model
  const opset = opsetOf(model)
  const weights: Weights[] = []
  const blockAll = (v: Value, reason: string): void => v.shape?.forEach((_, axis) => slots.block({ value: v, axis }, reason))
  // Old files list weights as inputs too: those are constants to us.
  for (const v of graph.inputs) if (!v.initializer) blockAll(v, `"${v.name}" is an input of the model`)
  for (const node of graph.nodes) {
    const links = channelLinks(node, opset)
    if ('whole' in links) for (const v of touched(node)) blockAll(v, links.whole)
    else {
      tieNode(node, links, slots)
      const mixing = mixingWeight(node, links)
      if (mixing) {
        const at = (axis: number): AxisSlots | undefined => slots.axisOf({ value: mixing.weight, axis })
        weights.push({ node, consumes: at(mixing.consumes), produces: mixing.produces.map(at).filter((a) => a !== undefined) })
      }
    }
    for (const v of capturedBy(node)) blockAll(v, `"${v.name}" is read inside a subgraph of ${node.opType} "${node.name}"`)
  }
  for (const v of graph.outputs) blockAll(v, `"${v.name}" is an output of the model`)
  return weights
}

function tieNode(node: Node, links: ChannelLinks, slots: SlotTable): void {
  const named = new Set<AxisSlots | undefined>()
  for (const { ref, reason } of links.blocked ?? []) slots.block(ref, `${node.opType} "${node.name}": ${reason}`)
  for (const { from, to, map } of links.links) {
    slots.tie(from, to, map)
    named.add(slots.axisOf(from)).add(slots.axisOf(to))
  }
  for (const ref of links.contracts ?? []) named.add(slots.axisOf(ref))
  for (const value of touched(node)) {
    value.shape?.forEach((_, axis) => {
      if (!named.has(slots.axisOf({ value, axis }))) slots.block({ value, axis }, `${node.opType} "${node.name}" needs axis ${axis} of "${value.name}" whole`)
    })
  }
}

/** Classes that hold a produced channel, gathered where they reach the same axes with as many indices each. */
function gather(slots: SlotTable, weights: readonly Weights[]): Found[] {
  const classes = new Map<number, { members: [AxisSlots, number[]][] }>()
  for (const w of weights) {
    for (const axis of w.produces) for (let i = 0; i < axis.length; i++) classes.set(slots.find(axis.start + i), { members: [] })
  }
  for (const axis of slots.axes) {
    for (let i = 0; i < axis.length; i++) {
      const c = classes.get(slots.find(axis.start + i))
      if (!c) continue
      const last = c.members.at(-1)
      if (last && last[0] === axis) last[1].push(i)
      else c.members.push([axis, [i]])
    }
  }
  const groups = new Map<string, Found>()
  for (const [root, { members }] of classes) {
    const key = `${slots.reasonOf(root) === undefined} ${members.map(([axis, list]) => `${axis.start}x${list.length}`).join(' ')}`
    let group = groups.get(key)
    if (!group) groups.set(key, (group = { members: new Map(), sample: root, units: 0 }))
    for (const [axis, list] of members) {
      const all = group.members.get(axis)
      if (all) for (const i of list) all.push(i)
      else group.members.set(axis, list.slice())
    }
    group.units++
  }
  return [...groups.values()]
}

function describe(found: Found, slots: SlotTable, weights: readonly Weights[], joins: readonly Node[]): { group: ChannelGroup; order: number } {
  const producing = weights.flatMap((w) => w.produces.filter((a) => found.members.has(a)).map((axis) => ({ node: w.node, axis })))
  const consuming = weights.flatMap((w) => (w.consumes && found.members.has(w.consumes) ? [{ node: w.node, axis: w.consumes }] : []))
  const produces = new Set(producing.map((p) => p.axis))
  const consumes = new Set(consuming.map((c) => c.axis))
  const order = unitOrder(found, producing[0]!.axis)
  const members = new Map<AxisSlots, GroupMember>()
  for (const [axis, list] of found.members) {
    const perUnit = list.length / found.units
    const indices = new Int32Array(list.length)
    order.forEach((unit, k) => {
      for (let i = 0; i < perUnit; i++) indices[k * perUnit + i] = list[unit * perUnit + i]!
    })
    const role = produces.has(axis) ? 'produces' : consumes.has(axis) ? 'consumes' : 'follows'
    members.set(axis, { value: axis.value, axis: axis.axis, role, perUnit, indices })
  }
  const use = ({ node, axis }: { node: Node; axis: AxisSlots }): WeightUse => ({ node, member: members.get(axis)! })
  const reason = slots.reasonOf(found.sample)
  const values = new Set([...members.values()].map((m) => m.value))
  const gates = joins.filter((node) => node.inputs.every((v) => v && values.has(v))).length
  return {
    order: weights.findIndex((w) => w.node === producing[0]!.node),
    group: {
      id: '',
      channels: found.units,
      prunable: reason === undefined,
      ...(reason === undefined ? {} : { reason }),
      coupled: new Set(producing.map((p) => p.axis.value)).size - 1 > gates,
      members: [...members.values()],
      producers: producing.map(use),
      consumers: consuming.map(use),
    },
  }
}

/** Units by their first index on the axis of the first producer. */
function unitOrder(found: Found, axis: AxisSlots): number[] {
  const list = found.members.get(axis)!
  const perUnit = list.length / found.units
  return Array.from({ length: found.units }, (_, k) => k).sort((a, b) => list[a * perUnit]! - list[b * perUnit]!)
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
