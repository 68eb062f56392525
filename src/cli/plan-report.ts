/** @file What a plan does to a model, as prune tells it: widths before and after, parameters and multiply-accumulates. */
import type { Model } from '../ir/graph.ts'
import { modelCost, type ModelCost } from '../passes/cost.ts'
import { findGroups } from '../pruning/groups.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { UserError } from '../tensor/error.ts'
import { amount, percent, shortened, table } from './table.ts'

export type Cost = Pick<ModelCost, 'params' | 'macs'>
export type Widths = Readonly<Record<string, { readonly before: number; readonly after: number }>>

/** Cost of a model; errors name its file. */
export function costOf(model: Model, path: string): Cost {
  try {
    const { params, macs } = modelCost(model)
    return { params, macs }
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`, { cause: error }) : error
  }
}

/** Channels of every group that may be cut, before and after. */
export function widthsOf(model: Model, plan: PrunePlan): Widths {
  const after = new Map(plan.groups.map((g) => [g.id, g.channelsAfter]))
  return Object.fromEntries(findGroups(model).filter((g) => g.prunable).map((g) => [g.id, { before: g.channels, after: after.get(g.id) ?? g.channels }]))
}

/** A line a group, those that stay as they are too; then the costs. */
export function planReport(widths: Widths, before: Cost, after: Cost): string {
  const rows = Object.entries(widths).map(([id, w]) => [shortened(id, 48), String(w.before), '->', String(w.after), w.after === w.before ? '-' : `-${percent(1 - w.after / w.before)}`])
  const cost = (['params', 'macs'] as const).map((key) => [key === 'params' ? 'params' : 'MACs', amount(before[key]), '->', amount(after[key]), `-${percent(1 - after[key] / before[key])}`])
  const cut = Object.values(widths).filter((w) => w.after < w.before).length
  return [
    table(['group', 'channels', '', 'kept', 'removed'], rows),
    `${cut} of ${rows.length} groups are cut`,
    table(['', 'before', '', 'after', 'removed'], cost),
  ].join('\n\n')
}

export function planText(plan: PrunePlan): string {
  return `${JSON.stringify(plan)}\n`
}
