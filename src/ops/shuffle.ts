/**
 * @file Channel shuffles: chains of Reshape, Transpose and picks that only reorder channels. Taken as a whole, a chain ties every channel
 * to its own new place; taken node by node it would tie all channels of a group to each other. A cut turns it into Gather.
 */
import { intAttribute, intsAttribute } from '../ir/attributes.ts'
import { addInitializer, addNode, removeNode, removeUnusedInitializers, replaceNode } from '../ir/edit.ts'
import { constantOf, type Dim, type Graph, type Node, type Value } from '../ir/graph.ts'
import { i64, sizeOf, takeAlong, tensor, type Tensor, toNumbers } from '../tensor/tensor.ts'
import type { ChannelLinks, KeptIndices } from './define.ts'
import { transposeTensor } from './fold.ts'
import { table } from './index-map.ts'
import { free, inputOf, link, outputOf, presentInputs, ref, wrapAxis } from './rules.ts'

/** A map of channels out of which a chain of nodes makes maps of reordered or picked channels. */
export interface Shuffle {
  /** [N,C,...S] */
  readonly source: Value
  /** [N,C',...S] each: channel j is the source's channel `channels[j]`. */
  readonly results: readonly { readonly value: Value; readonly channels: readonly number[] }[]
  /** In the order of the walk; the first reads the source. */
  readonly nodes: readonly Node[]
}

/** Lengths, with a free batch counted as one image; undefined where another axis is free. */
function lengthsOf(value: Value | undefined): number[] | undefined {
  const lengths = value?.shape?.map((d, axis) => (typeof d === 'string' && axis === 0 ? 1 : d))
  return lengths?.every((d): d is number => typeof d === 'number') ? lengths : undefined
}

/** Axes before the trailing ones that make up `positions` elements; undefined where no axis begins there. */
function leading(lengths: readonly number[], positions: number): number[] | undefined {
  let rest = positions
  let at = lengths.length
  while (rest > 1 && at > 0) rest /= lengths[--at]!
  return rest === 1 ? lengths.slice(0, at) : undefined
}

/** What a node makes of `places`: the source channel's number at every index of its input's leading axes. */
type Move = (node: Node, places: Tensor, lead: readonly number[]) => Tensor | undefined

const sameElements: Move = (_, places, lead) => (sizeOf(lead) === places.data.length ? tensor(places.dtype, lead, places.data) : undefined)

const moves: Readonly<Record<string, Move>> = {
  Reshape: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
  Transpose(node, places, lead) {
    const perm = intsAttribute(node, 'perm')
    const kept = perm?.slice(lead.length).every((p, i) => p === lead.length + i)
    return perm && kept && lead.length === places.dims.length ? transposeTensor(places, perm.slice(0, lead.length)) : undefined
  },
  Gather(node, places) {
    const axis = wrapAxis(intAttribute(node, 'axis', 0), inputOf(node, 0).shape!.length)
    const indices = constantOf(node.inputs[1])
    const length = places.dims[axis]
    if (!indices || indices.dims.length > 1 || length === undefined) return undefined
    const taken = takeAlong(places, axis, toNumbers(indices).map((i) => (i < 0 ? i + length : i)))
    return indices.dims.length === 1 ? taken : tensor(taken.dtype, taken.dims.filter((_, i) => i !== axis), taken.data)
  },
}

/** The channels a value holds, where it is a map like the source; `places` holds image x channels + channel. */
function channelsOf(value: Value, source: Value, places: Tensor): number[] | undefined {
  const [n = 1, c = 1, ...spatial] = lengthsOf(source)!
  const shape = lengthsOf(value)!
  if (shape.length !== spatial.length + 2 || shape[0] !== n || shape.slice(2).join() !== spatial.join()) return undefined
  const all = toNumbers(places)
  const channels = all.slice(0, shape[1])
  const likewise = all.length === n * shape[1]! && all.every((v, i) => v === channels[i % shape[1]!]! + c * Math.floor(i / shape[1]!))
  return likewise && channels.every((v) => v < c) ? channels : undefined
}

/** True where a free batch stays the first axis, as its symbol. */
const keepsBatch = (value: Value, source: Value): boolean => typeof source.shape![0] !== 'string' || value.shape?.[0] === source.shape![0]

/** The shuffle that begins with a node; undefined where its results are used in any other way. */
function shuffleFrom(first: Node): Shuffle | undefined {
  const source = inputOf(first, 0)
  const lengths = lengthsOf(source)
  if (!lengths || lengths.length < 2 || source.initializer) return undefined
  const positions = sizeOf(lengths.slice(2))
  const results: { value: Value; channels: number[] }[] = []
  const nodes: Node[] = []
  const follow = (node: Node, places: Tensor): boolean => {
    const value = outputOf(node)
    const shape = lengthsOf(value)
    const lead = shape && leading(shape, positions)
    const move = moves[node.opType]
    const moved = node.domain === '' && lead && move && keepsBatch(value, source) ? move(node, places, lead) : undefined
    if (!moved || moved.dims.join() !== lead!.join()) return false
    nodes.push(node)
    const channels = channelsOf(value, source, moved)
    if (channels) results.push({ value, channels })
    return channels !== undefined || (value.uses.size > 0 && [...value.uses].every(({ node: next, index }) => index === 0 && follow(next, moved)))
  }
  const start = tensor('int32', lengths.slice(0, 2), Int32Array.from({ length: sizeOf(lengths.slice(0, 2)) }, (_, i) => i))
  return follow(first, start) && nodes.length > 1 ? { source, results, nodes } : undefined
}

/** The shuffle that a node is part of. */
export function shuffleOf(node: Node): Shuffle | undefined {
  for (let at: Node | undefined = node; at && at.domain === '' && moves[at.opType] && at.inputs[0]; at = at.inputs[0].producer) {
    const found = at.opType === 'Reshape' ? shuffleFrom(at) : undefined
    if (found) return found.nodes.includes(node) ? found : undefined
  }
  return undefined
}

/** The links of one node of a shuffle: the first ties source and results, all leave what lies between free. */
export function shuffleLinks(node: Node, { source, results, nodes }: Shuffle): ChannelLinks {
  const ends = new Set([source, ...results.map((r) => r.value)])
  const between = [...presentInputs(node), outputOf(node)].filter((v) => !v.initializer)
  const spatial = [...source.shape!.keys()].filter((axis) => axis !== 1)
  const tied = node !== nodes[0] ? [] : results.flatMap(({ value, channels }) => [
    link(ref(source, 1), ref(value, 1), table(channels)),
    ...spatial.map((axis) => link(ref(source, axis), ref(value, axis))),
  ])
  return { links: [...tied, ...between.flatMap((v) => (ends.has(v) && node === nodes[0] ? [] : v.shape!.map((_: Dim, axis) => free(ref(v, axis)))))] }
}

/** Puts Gather nodes, which are returned, in the place of every shuffle whose channels are cut. `unique` makes names. */
export function replaceShuffles(graph: Graph, kept: KeptIndices, unique: (stem: string) => string): Set<Node> {
  const added = new Set<Node>()
  const released = new Set<Value>()
  for (const node of graph.nodes.slice()) {
    const shuffle = node.opType === 'Reshape' && graph.nodes.includes(node) ? shuffleFrom(node) : undefined
    const left = shuffle && [shuffle.source, ...shuffle.results.map((r) => r.value)].some((value) => kept(ref(value, 1)))
    if (!shuffle || !left) continue
    const { source, results, nodes } = shuffle
    const all = (length: Dim): number[] => Array.from({ length: length as number }, (_, i) => i)
    const place = new Map((kept(ref(source, 1)) ?? all(source.shape![1])).map((channel, i) => [channel, i]))
    for (const { value, channels } of results) {
      const producer = value.producer!
      const indices = (kept(ref(value, 1)) ?? all(value.shape![1])).map((j) => place.get(channels[j]!)!)
      const constant = addInitializer(graph, unique(`${value.name}_channels`), i64(indices))
      const made = addNode(graph, 'Gather', [source, constant], [unique(value.name)], { axis: 1 }, { name: producer.name })
      for (const v of presentInputs(producer)) released.add(v)
      replaceNode(graph, producer, made)
      added.add(made)
    }
    for (const old of nodes.filter((n) => graph.nodes.includes(n)).reverse()) {
      for (const v of presentInputs(old)) released.add(v)
      removeNode(graph, old)
    }
  }
  // Targets that the graph computed for the reshapes.
  for (const v of released) if (v.producer) removeDead(graph, v.producer, released)
  removeUnusedInitializers(graph, released)
  return added
}

function removeDead(graph: Graph, node: Node, released: Set<Value>): void {
  if (!graph.nodes.includes(node) || node.outputs.some((v) => v && (v.uses.size > 0 || graph.outputs.includes(v)))) return
  const inputs = presentInputs(node)
  removeNode(graph, node)
  for (const v of inputs) {
    released.add(v)
    if (v.producer) removeDead(graph, v.producer, released)
  }
}
