/** @file Widths by curvature: where the detector's outputs lose least for what is saved, channels go first, kept weights making up for them. */
import { cloneModel, setInitializer } from '../../ir/edit.ts'
import type { Model } from '../../ir/graph.ts'
import { f32, floats } from '../../tensor/tensor.ts'
import type { Budget } from '../budget.ts'
import { exchangeWidths } from '../exchange-widths.ts'
import type { BudgetOptions } from '../goals.ts'
import { leastWidth } from '../group-widths.ts'
import type { ChannelGroup } from '../groups.ts'
import { createElimination, type Elimination, ownBias } from './elimination.ts'
import type { Curvature } from './measure.ts'

export interface CurvatureWidthOptions extends BudgetOptions {
  readonly curvature: Curvature
  /** Share (0 to 1) of its channels that no group loses more of; default 1, down to the minimum width. */
  readonly limit?: number
}

/**
 * Widths that remove at least the asked fractions. Step by step, the group whose next rounding step costs least for what it saves gives it, the cheapest units first;
 * costs count from what is left. Throws UserError where the budget cannot be met.
 */
export function curvatureWidths(options: CurvatureWidthOptions): Budget {
  const { groups, curvature, limit } = options
  const elimination = createElimination(groups, curvature)
  const left = groups.map((g) => allUnits(g))
  const costs = new Map<number, number[]>()
  return exchangeWidths(options, groups.map((g) => leastWidth(g, options, limit)), {
    price(index, from, next, saved) {
      const known = costs.get(index) ?? sortedCosts(elimination, groups[index]!, left[index]!)
      costs.set(index, known)
      return known.slice(0, from - next).reduce((a, c) => a + c, 0) / saved
    },
    sold(index, width) {
      while (left[index]!.size > width) removeCheapest(elimination, groups[index]!, left[index]!)
      for (const i of neighbours(groups, index)) costs.delete(i)
    },
  })
}

export interface Eliminated {
  /** Units that stay, by group id, ascending. */
  readonly kept: ReadonlyMap<string, readonly number[]>
  /** `model`, uncut, with the weights and biases of the layers that read the groups fitted to the units that stay. */
  readonly model: Model
}

/** Lets the cheapest units of each group of `model` go, one by one and group after group, until it has its width. */
export function eliminate(model: Model, groups: readonly ChannelGroup[], curvature: Curvature, widths: ReadonlyMap<string, number>): Eliminated {
  const elimination = createElimination(groups, curvature)
  const kept = new Map(groups.map((group) => {
    const left = allUnits(group)
    while (left.size > widths.get(group.id)!) removeCheapest(elimination, group, left)
    return [group.id, [...left].sort((a, b) => a - b)]
  }))
  const { model: copy, values } = cloneModel(model)
  const fitted = elimination.fitted()
  for (const { node, member } of groups.flatMap((g) => g.consumers)) {
    const { weights, shift } = fitted.get(member.value.name)!
    setInitializer(values.get(member.value)!, f32(weights, member.value.initializer!.dims))
    const bias = ownBias(node)
    if (shift && bias) setInitializer(values.get(bias)!, f32(floats(bias.initializer!).map((v, o) => v + shift[o]!)))
  }
  return { kept, model: copy }
}

function allUnits(group: ChannelGroup): Set<number> {
  return new Set(Array.from({ length: group.channels }, (_, k) => k))
}

function removeCheapest(elimination: Elimination, group: ChannelGroup, left: Set<number>): void {
  let best = { unit: -1, cost: Infinity }
  for (const unit of left) {
    const cost = elimination.cost(group, unit)
    if (best.unit < 0 || cost < best.cost) best = { unit, cost }
  }
  elimination.remove(group, best.unit)
  left.delete(best.unit)
}

function sortedCosts(elimination: Elimination, group: ChannelGroup, left: ReadonlySet<number>): number[] {
  return [...left].map((unit) => elimination.cost(group, unit)).sort((a, b) => a - b)
}

/** The groups whose costs a removal changes: those that share a layer with it, as readers of the same or of what it makes. */
function neighbours(groups: readonly ChannelGroup[], index: number): number[] {
  const own = groups[index]!
  const layers = new Set([...own.consumers, ...own.producers].map((use) => use.member.value))
  return groups.flatMap((g, i) => (g.consumers.some((use) => layers.has(use.member.value)) ? [i] : []))
}
