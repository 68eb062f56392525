/** @file All that must hold of one cut: the same numbers as zeroing, shapes as inferred, a sound graph, a stable file. */
import { cloneModel } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan, parsePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { widthCost } from '../../src/pruning/width-cost.ts'
import { applyZeroFactor } from '../../src/pruning/zero-factor.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce, type Tensors } from '../../src/runtime/session.ts'
import { type Rng, shuffled } from '../../src/tensor/rng.ts'
import { toNumbers } from '../../src/tensor/tensor.ts'

/** The certificate's own. */
export const tolerance = 1e-4

/** Keeps a random part of most groups that may be cut, `least` units of each at least. */
export function randomPlan(model: Model, rng: Rng, least = 1): PrunePlan {
  const groups = findGroups(model)
  const kept = new Map<string, number[]>()
  for (const g of groups) {
    if (!g.prunable || g.channels < least || rng.int(8) === 0) continue
    const units = shuffled(Array.from({ length: g.channels }, (_, k) => k), rng)
    kept.set(g.id, units.slice(0, least + rng.int(Math.max(1, g.channels - least))))
  }
  return makePlan(groups, kept, { method: 'random' })
}

/** Every value of a node that knows its shape, with that shape. */
function withAllValues(model: Model): { model: Model; shapes: Map<string, readonly unknown[]> } {
  const copy = cloneModel(model).model
  const { graph } = copy
  const outputs = new Set(graph.outputs)
  const shapes = new Map<string, readonly unknown[]>()
  for (const node of graph.nodes) {
    for (const v of node.outputs) {
      if (!v?.dtype || !v.shape) continue
      shapes.set(v.name, v.shape)
      if (!outputs.has(v)) graph.outputs.push(v)
    }
  }
  return { model: copy, shapes }
}

/** Runs without the runtime's own rewriting: what is compared is what the graph says. */
const plain = (model: Model, feeds: Tensors): Promise<Tensors> => runOnce(nodeRuntime, model, feeds, { threads: 1, optimization: 'disabled' })

/** Throws, saying what, where the cut of `model` by `plan` is not what it should be; returns the worst relative difference of an output. */
export async function checkCut(model: Model, made: PrunePlan, feeds: Tensors): Promise<number> {
  const before = print(model.graph)
  const plan = parsePlan(JSON.stringify(made), 'plan.json')
  const pruned = applyPlan(model, plan)
  verify(pruned.graph)
  const bytes = serializeModel(pruned)
  const read = parseModel(bytes, 'pruned.onnx')
  verify(read.graph)
  if (Buffer.compare(serializeModel(read), bytes)) throw new Error('the pruned file changes when it is read and written again')
  const zeroed = applyZeroFactor(model, plan)
  verify(zeroed.graph)
  if (print(model.graph) !== before) throw new Error('the original was changed')
  checkCost(model, plan, pruned)

  const all = withAllValues(read)
  const got = await plain(all.model, feeds)
  for (const [name, shape] of all.shapes) {
    const dims = got[name]!.dims
    const same = dims.length === shape.length && shape.every((d, axis) => typeof d !== 'number' || d === dims[axis])
    if (!same) throw new Error(`"${name}" is [${dims.join(',')}] when run, [${shape.join(',')}] by inference`)
  }
  return worstDifference(model, await plain(zeroed, feeds), got)
}

/** Budgets are met by arithmetic on widths, without cutting: it must be exact. */
function checkCost(model: Model, plan: PrunePlan, pruned: Model): void {
  const groups = findGroups(model)
  const widths = groups.map((g) => plan.groups.find((p) => p.id === g.id)?.channelsAfter ?? g.channels)
  const counted = modelCost(pruned)
  const computed = widthCost(model, groups)(widths)
  for (const key of ['params', 'macs'] as const) if (counted[key] !== computed[key]) throw new Error(`the cut model has ${counted[key]} ${key}, the budget's arithmetic says ${computed[key]}`)
}

/** The numbers alone, for large models: cut and zeroed original, each run once. */
export async function compareNumbers(model: Model, plan: PrunePlan, feeds: Tensors): Promise<number> {
  return worstDifference(model, await plain(applyZeroFactor(model, plan), feeds), await plain(applyPlan(model, plan), feeds))
}

function worstDifference(model: Model, wanted: Tensors, got: Tensors): number {
  const worst = model.graph.outputs.reduce((far, { name }) => Math.max(far, difference(name, wanted[name]!, got[name]!)), 0)
  if (worst > tolerance) throw new Error(`an output is off by ${worst} of its largest value`)
  return worst
}

/** max|a - b| / max|a|. */
function difference(name: string, a: Tensors[string], b: Tensors[string]): number {
  if (a.dims.join() !== b.dims.join()) throw new Error(`output "${name}" is [${b.dims.join()}], [${a.dims.join()}] before the cut`)
  const [x, y] = [toNumbers(a), toNumbers(b)]
  if (!x.every(Number.isFinite)) throw new Error(`output "${name}" is not finite: the net is no good test`)
  const scale = x.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
  const far = x.reduce((m, v, i) => Math.max(m, Math.abs(v - y[i]!)), 0)
  return far === 0 ? 0 : far / scale
}
