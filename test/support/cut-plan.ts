/** @file Cuts groups of a whole model and compares it, in the runtime, with the original under a zero factor. */
import { verify } from '../../src/ir/verify.ts'
import type { Model } from '../../src/ir/graph.ts'
import type { ChannelGroup } from '../../src/pruning/groups.ts'
import { makePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { applyZeroFactor } from '../../src/pruning/zero-factor.ts'
import type { Tensors } from '../../src/runtime/session.ts'
import { type Rng, shuffled } from '../../src/tensor/rng.ts'
import { f32, sizeOf, type Tensor, toNumbers } from '../../src/tensor/tensor.ts'
import { runModel } from './run.ts'

/** A plan that keeps `share` of the units of each of `chosen` (all prunable groups), drawn by the generator, one at least. */
export function drawnPlan(groups: readonly ChannelGroup[], rng: Rng, share = 0.5, chosen = groups.filter((g) => g.prunable)): PrunePlan {
  const kept = new Map(chosen.map((g) => [g.id, shuffled(Array.from({ length: g.channels }, (_, k) => k), rng).slice(0, Math.max(1, Math.floor(g.channels * share)))]))
  return makePlan(groups, kept, { method: 'drawn' })
}

/** Random feeds for every input of a model with static shapes. */
export function drawnFeeds(model: Model, rng: Rng): Record<string, Tensor> {
  const inputs = model.graph.inputs.filter((v) => !v.initializer)
  return Object.fromEntries(inputs.map((v) => {
    const dims = v.shape as readonly number[]
    return [v.name, f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()), dims)]
  }))
}

/** Worst max|cut - reference| / max|reference| over the outputs, in one run. Throws where the cut graph is unsound or an output is not finite or all zero. */
export async function cutError(model: Model, plan: PrunePlan, feeds: Tensors): Promise<number> {
  const cut = applyPlan(model, plan)
  verify(cut.graph)
  const [got, wanted] = [await runModel(cut, feeds), await runModel(applyZeroFactor(model, plan), feeds)]
  return Math.max(...model.graph.outputs.map(({ name }) => {
    const [x, y] = [toNumbers(wanted[name]!), toNumbers(got[name]!)]
    const scale = x.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
    if (x.length !== y.length || !(scale > 0 && scale < Infinity)) throw new Error(`output "${name}" has ${y.length} of ${x.length} elements, the largest is ${scale}`)
    return x.reduce((m, v, i) => Math.max(m, Math.abs(v - y[i]!)), 0) / scale
  }))
}
