/** @file Stages: which auxiliary network judges a group's channels. */
import type { Graph, Model, Node, Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import type { Detector } from '../train/detector.ts'
import type { ChannelGroup } from './groups.ts'

export interface Stage {
  /** Name of the stage end's value; undefined for the last part, where the detector's own loss stands in. */
  readonly end: string | undefined
  /** In the order of the network, input to output. */
  readonly groups: readonly ChannelGroup[]
}

/**
 * Assigns each group to the first stage end that its consumers reach; a group with several consumers goes to the last of theirs. Groups that
 * reach no stage end belong to the detector's own loss. Stages without groups are left out.
 */
export function stagesOf(model: Model, stageEnds: readonly string[], groups: readonly ChannelGroup[]): Stage[] {
  const reach = reachedEnds(model.graph, stageEnds.map((name) => valueNamed(model.graph, name)))
  const stageOf = (group: ChannelGroup): number => Math.max(...group.consumers.map(({ node }) => Math.min(...node.outputs.map((v) => (v && reach.get(v)) ?? stageEnds.length))))
  const byStage = groups.map((group) => ({ group, stage: group.consumers.length ? stageOf(group) : stageEnds.length }))
  return [...stageEnds, undefined]
    .map((end, i) => ({ end, groups: byStage.filter((x) => x.stage === i).map((x) => x.group) }))
    .filter((stage) => stage.groups.length > 0)
}

/** For each value, the first stage end (by index) that depends on it. */
function reachedEnds(graph: Graph, ends: readonly Value[]): Map<Value, number> {
  const reach = new Map<Value, number>()
  const lower = (v: Value, index: number): void => {
    if (index < (reach.get(v) ?? Infinity)) reach.set(v, index)
  }
  ends.forEach((v, i) => lower(v, i))
  for (let at = graph.nodes.length - 1; at >= 0; at--) {
    const node = graph.nodes[at]!
    const index = Math.min(...node.outputs.map((v) => (v && reach.get(v)) ?? Infinity))
    if (index < Infinity) for (const v of node.inputs) if (v) lower(v, index)
  }
  return reach
}

/** Layers that one auxiliary network may judge; DCP's rule is one for every 5 to 10 layers of a small trunk, and three for ResNet-50. */
const layersPerStage = 5
const mostStages = 3

/**
 * Stage ends of a model whose card names none: feature maps, as evenly spaced over the layers that read prunable channels as the graph allows,
 * input to output; the part after the last is left to the detector's own loss. Empty where the model has no feature map to take.
 */
export function evenStageEnds(model: Model, groups: readonly ChannelGroup[]): string[] {
  const layers = new Set(groups.filter((g) => g.prunable).flatMap((g) => g.consumers.map((c) => c.node)))
  const count = Math.min(mostStages, Math.max(1, Math.floor(layers.size / layersPerStage)))
  const maps = featureMaps(model.graph, layers)
  const ends = new Set<FeatureMap>()
  for (let i = 1; i <= count && maps.length > 0; i++) {
    const target = (layers.size * i) / (count + 1)
    // Layers that lie neither before nor behind a map lie beside it: a map in a side branch has many, one in the trunk has few.
    const distance = ({ before, behind }: FeatureMap): number => Math.abs(before - target) + layers.size - before - behind
    ends.add(maps.reduce((best, map) => (distance(map) < distance(best) ? map : best)))
  }
  return maps.filter((map) => ends.has(map)).map((map) => map.value.name)
}

/** The stage ends of a detector by name: those asked for, else its card's, else evenly spaced ones. */
export function chosenStageEnds({ model, card }: Pick<Detector, 'model' | 'card'>, asked: readonly string[] | undefined, groups: readonly ChannelGroup[]): readonly string[] {
  const named = asked ?? card.stageEnds ?? []
  return named.length > 0 ? named : evenStageEnds(model, groups)
}

/** A map [N,C,H,W], with how many layers it depends on and how many depend on it. */
interface FeatureMap {
  readonly value: Value
  readonly before: number
  readonly behind: number
}

/** Maps of more than one cell that some layer reads, in graph order. */
function featureMaps(graph: Graph, layers: ReadonlySet<Node>): FeatureMap[] {
  const before = new Map<Value, ReadonlySet<Node>>()
  const behind = new Map<Value, ReadonlySet<Node>>()
  const union = (known: ReadonlyMap<Value, ReadonlySet<Node>>, values: Iterable<Value | undefined>): Set<Node> => new Set([...values].flatMap((v) => (v ? [...(known.get(v) ?? [])] : [])))
  for (const node of graph.nodes) {
    const all = union(before, node.inputs)
    if (layers.has(node)) all.add(node)
    for (const v of node.outputs) if (v) before.set(v, all)
  }
  for (const node of [...graph.nodes].reverse()) {
    const all = union(behind, node.outputs)
    if (layers.has(node)) all.add(node)
    for (const v of node.inputs) if (v) behind.set(v, new Set([...(behind.get(v) ?? []), ...all]))
  }
  return graph.nodes.flatMap((node) => node.outputs).flatMap((value) => {
    if (!value || !isMap(value) || ![...value.uses].some((use) => layers.has(use.node))) return []
    return [{ value, before: before.get(value)!.size, behind: behind.get(value)?.size ?? 0 }]
  })
}

/** [N,C,H,W] of known size, N aside, with more than one cell. */
function isMap({ shape }: Value): boolean {
  const [, c, h, w] = shape ?? []
  return shape?.length === 4 && typeof c === 'number' && typeof h === 'number' && typeof w === 'number' && h * w > 1
}
