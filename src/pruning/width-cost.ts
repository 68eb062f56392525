/** @file Parameters and MACs of a model as a function of the widths of its channel groups, without cutting anything. */
import { cloneModel } from '../ir/edit.ts'
import { type Model, opsetOf, type Value } from '../ir/graph.ts'
import { savedSize } from '../onnx/save.ts'
import { lookup } from '../ops/registry.ts'
import { inferGraph } from '../passes/infer-shapes.ts'
import { fixShapes, type ModelCost } from '../passes/cost.ts'
import { bytesPerElement, isFloat } from '../tensor/dtype.ts'
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
  const { model: shadow, setWidths } = widthShadow(model, groups)
  const { params, macs } = counters(shadow)
  return (kept) => {
    setWidths(kept)
    return { params: params(), macs: macs() }
  }
}

/** A copy of a model in which only dims mean anything: they follow the widths that are set. */
export interface WidthShadow {
  readonly model: Model
  /** Group i of those it was made for has `kept[i]` units. Attributes (the group of a convolution) stay those of the whole model. */
  setWidths(kept: readonly number[]): void
}

export function widthShadow(model: Model, groups: readonly ChannelGroup[]): WidthShadow {
  const { model: shadow, values } = cloneModel(model)
  fixShapes(shadow)
  inferGraph(shadow.graph, opsetOf(shadow))
  return { model: shadow, setWidths: widthSetter(values, groups) }
}

/** The parameters alone, as `widthCost` counts them; needs no shape but those of the weights. */
function widthParams(model: Model, groups: readonly ChannelGroup[]): (kept: readonly number[]) => Pick<Cost, 'params'> {
  const { model: shadow, values } = cloneModel(model)
  const setWidths = widthSetter(values, groups)
  const { params } = counters(shadow)
  return (kept) => {
    setWidths(kept)
    return { params: params() }
  }
}

/**
 * Bytes of the model's file at given widths, by the bytes of its weights: all else is taken to stay as it is. A cut may drop a few bytes more, or need
 * some for constants of its own, so what is written has to be looked at.
 */
export function widthBytes(model: Model, groups: readonly ChannelGroup[]): (kept: readonly number[]) => number {
  const { model: shadow, values } = cloneModel(model)
  const setWidths = widthSetter(values, groups)
  const weights = (): number => shadow.graph.initializers.reduce((sum, { initializer }) => sum + (initializer && initializer.dtype !== 'string' ? sizeOf(initializer.dims) * bytesPerElement(initializer.dtype) : 0), 0)
  const others = savedSize(model) - weights()
  return (kept) => {
    setWidths(kept)
    return others + weights()
  }
}

/** What the model is relieved of when one unit of a group goes and all other groups stay whole; MACs are null where they are not counted. */
export interface UnitCost {
  readonly params: number
  readonly macs: number | null
}

/** The cost of one unit of each group, in their order. Without `countMacs` no shape of a computed value is needed. */
export function unitCosts(model: Model, groups: readonly ChannelGroup[], countMacs = true): UnitCost[] {
  const cost: (kept: readonly number[]) => Pick<Cost, 'params'> & Partial<Cost> = countMacs ? widthCost(model, groups) : widthParams(model, groups)
  const full = groups.map((g) => g.channels)
  const whole = cost(full)
  return groups.map((_, i) => {
    const less = cost(full.map((units, k) => (k === i ? units - 1 : units)))
    return { params: whole.params - less.params, macs: whole.macs === undefined || less.macs === undefined ? null : whole.macs - less.macs }
  })
}

/** Sets the dims of a copy to the given widths; `values` leads from the values of the groups to the copy's. */
function widthSetter(values: ReadonlyMap<Value, Value>, groups: readonly ChannelGroup[]): (kept: readonly number[]) => void {
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
  }
}

/** Counts what `modelCost` counts, from the dims as they are at the time. */
function counters({ graph }: Model): { params: () => number; macs: () => number } {
  const weights = new Set<Value>()
  const counted = graph.nodes.flatMap((node) => {
    const def = lookup(node.opType, node.domain)
    for (const index of def?.weights ?? []) {
      const value = node.inputs[index]
      if (value?.initializer && isFloat(value.initializer.dtype)) weights.add(value)
    }
    return def?.macs ? [{ node, macs: def.macs }] : []
  })
  return {
    params: () => [...weights].reduce((sum, value) => sum + sizeOf(value.initializer!.dims), 0),
    macs: () => counted.reduce((sum, { node, macs }) => sum + macs(node), 0),
  }
}
