/** @file Stages: which auxiliary network judges a group's channels. */
import type { Graph, Model, Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
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
