/** @file Stages: which auxiliary network judges a group's channels. */
import type { Graph, Model, Node, Value } from '../ir/graph.ts'
import { ancestors, valueNamed } from '../ir/walk.ts'
import type { Detector } from '../train/detector.ts'
import { UserError } from '../tensor/error.ts'
import type { ChannelGroup } from './groups.ts'
import type { LcpOptions } from './lcp/options.ts'

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
 * Stage ends of a model whose card names none, input to output, as many as `wanted` (default: by the number of layers; fewer where there are no more maps); the part after the last is left to the detector's own loss. Empty where the model
 * has no feature map to take.
 *
 * Of k ends, the last should have k/(k+1) of the layers that read prunable channels before it. Heads may leave no such map, so the last end is
 * chosen first, and the others then divide evenly what it has before it; each depends on the one before. A map costs the number of layers by
 * which it misses its place, and one more for each layer and each value that bypasses it. So a map of the trunk or neck, on which all scales of a
 * detector depend, is preferred to one in a side branch, in the head of one scale, inside a residual block, or with half of the channels before a
 * shuffle. Of equal ones the latest is taken: auxiliary networks judge more layers by it.
 */
export function evenStageEnds(model: Model, groups: readonly ChannelGroup[], wanted?: number): string[] {
  const layers = new Set(groups.filter((g) => g.prunable).flatMap((g) => g.consumers.map((c) => c.node)))
  const count = wanted ?? Math.min(mostStages, Math.max(1, Math.floor(layers.size / layersPerStage)))
  let maps = featureMaps(model.graph, layers)
  let target = (layers.size * count) / (count + 1)
  const ends: string[] = []
  for (let left = count - 1; left >= 0 && maps.length > 0; left--) {
    const cost = ({ before, bypasses }: FeatureMap): number => Math.abs(before.size - target) + bypasses
    const end = maps.reduce((best, map) => (cost(map) <= cost(best) ? map : best))
    ends.unshift(end.value.name)
    // With a layer between, so that no stage is empty.
    maps = maps.filter((map) => [...map.behind].some((layer) => end.before.has(layer)))
    target = (end.before.size * left) / (left + 1)
  }
  return ends
}

/** The stage ends of a detector by name: those asked for, by name or by number, else its card's, else evenly spaced ones. Throws UserError where there are not as many as asked for. */
export function chosenStageEnds({ model, card }: Pick<Detector, 'model' | 'card'>, { stageEnds, stageCount }: Pick<LcpOptions, 'stageEnds' | 'stageCount'>, groups: readonly ChannelGroup[]): readonly string[] {
  if (!stageEnds && stageCount !== undefined) {
    const even = evenStageEnds(model, groups, stageCount)
    if (even.length < stageCount) throw new UserError(`--stage-count ${stageCount}: the model has only ${even.length} feature maps with layers between them to be stage ends; ask for fewer, or name them with --stages`)
    return even
  }
  const named = stageEnds ?? card.stageEnds ?? []
  return named.length > 0 ? named : evenStageEnds(model, groups)
}

/** A map [N,C,H,W] among the layers. */
interface FeatureMap {
  readonly value: Value
  /** Layers that it depends on. */
  readonly before: ReadonlySet<Node>
  /** Layers that depend on it. */
  readonly behind: ReadonlySet<Node>
  /** Number of layers that are neither, and of values upstream of it that are read elsewhere too. */
  readonly bypasses: number
}

/** Maps of more than one cell that some layer reads, in graph order. */
function featureMaps(graph: Graph, layers: ReadonlySet<Node>): FeatureMap[] {
  return graph.nodes.flatMap((node) => node.outputs).flatMap((value) => {
    if (!value || !isMap(value) || ![...value.uses].some((use) => layers.has(use.node))) return []
    const upstream = new Set(ancestors(graph, [value]))
    const before = intersection(layers, upstream)
    const behind = intersection(layers, dependents(graph, value))
    const readElsewhere = [...upstream].flatMap((node) => node.outputs).filter((v) => v && v !== value && [...v.uses].some((use) => !upstream.has(use.node)))
    return [{ value, before, behind, bypasses: layers.size - before.size - behind.size + readElsewhere.length }]
  })
}

/** Nodes that depend on a value. */
function dependents(graph: Graph, value: Value): Set<Node> {
  const found = new Set<Node>()
  const values = new Set<Value>([value])
  for (const node of graph.nodes) {
    if (!node.inputs.some((v) => v && values.has(v))) continue
    found.add(node)
    for (const v of node.outputs) if (v) values.add(v)
  }
  return found
}

function intersection(a: ReadonlySet<Node>, b: ReadonlySet<Node>): Set<Node> {
  return new Set([...a].filter((node) => b.has(node)))
}

/** [N,C,H,W] of known size, N aside, with more than one cell. */
function isMap({ shape }: Value): boolean {
  const [, c, h, w] = shape ?? []
  return shape?.length === 4 && typeof c === 'number' && typeof h === 'number' && typeof w === 'number' && h * w > 1
}
