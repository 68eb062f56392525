/** @file Parameters and MACs of a model as a function of the widths of its channel groups, without cutting anything. */
import { cloneModel } from '../ir/edit.ts'
import { type Model, opsetOf, type Value } from '../ir/graph.ts'
import { lookup } from '../ops/registry.ts'
import { inferGraph } from '../passes/infer-shapes.ts'
import { fixShapes, type ModelCost } from '../passes/cost.ts'
import { isFloat } from '../tensor/dtype.ts'
import { sizeOf } from '../tensor/tensor.ts'
import type { ChannelGroup } from './groups.ts'

export type Cost = Pick<ModelCost, 'params' | 'macs'>

/** Cost of the model when group i of `groups` keeps `kept[i]` units. Exact: cost depends on how many units stay, not on which. */
export type WidthCost = (kept: readonly number[]) => Cost

/**
 * Counts as `modelCost` does (a free batch counts as 1), on a copy whose dims are set to the asked widths. `groups` are groups of
 * `model`, whose constants are folded. One call of the result is one pass over the nodes.
 */
export function widthCost(model: Model, groups: readonly ChannelGroup[]): WidthCost {
  const { model: shadow, values } = cloneModel(model)
  fixShapes(shadow)
  inferGraph(shadow.graph, opsetOf(shadow))
  const cuts = new Map<Value, { axis: number; group: number; perUnit: number }[]>()
  groups.forEach((group, index) => {
    for (const { value, axis, perUnit } of group.members) {
      const twin = values.get(value)
      if (!twin) throw new Error(`group "${group.id}" is of another model: "${value.name}" is not in this one`)
      const list = cuts.get(twin) ?? []
      cuts.set(twin, list)
      list.push({ axis, group: index, perUnit })
    }
  })
  const full = [...cuts].map(([value, list]) => ({ value, list, shape: value.shape ?? [], content: value.initializer }))
  const costs = counters(shadow)
  return (kept) => {
    for (const { value, list, shape, content } of full) {
      const dims = [...shape]
      for (const { axis, group, perUnit } of list) {
        const dim = dims[axis]
        if (typeof dim === 'number') dims[axis] = dim - (groups[group]!.channels - kept[group]!) * perUnit
      }
      value.shape = dims
      // Only the dims of this copy are ever read: its data stays the full tensor's.
      if (content) value.initializer = { ...content, dims: dims.filter((d) => typeof d === 'number') }
    }
    return costs()
  }
}

/** Counts what `modelCost` counts, from the dims as they are at the time. */
function counters({ graph }: Model): () => Cost {
  const weights = new Set<Value>()
  const counted = graph.nodes.flatMap((node) => {
    const def = lookup(node.opType, node.domain)
    for (const index of def?.weights ?? []) {
      const value = node.inputs[index]
      if (value?.initializer && isFloat(value.initializer.dtype)) weights.add(value)
    }
    return def?.macs ? [{ node, macs: def.macs }] : []
  })
  return () => {
    let params = 0
    for (const value of weights) params += sizeOf(value.initializer!.dims)
    return { params, macs: counted.reduce((sum, { node, macs }) => sum + macs(node), 0) }
  }
}
