/** @file The whole way of pruning as prune and demo run it: prune, prove the cut, gather what is told and saved. */
import type { Model } from '../ir/graph.ts'
import { findGroups } from '../pruning/groups.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { prune, type PruneOptions, type PruneResult, type PruneSources } from '../pruning/prune.ts'
import type { Detector } from '../train/detector.ts'
import { certificateOf } from './certificate.ts'
import type { Context } from './context.ts'
import { allSkipped, measuredJson, skippedJson, tellSkipped } from './measures.ts'
import { skippedOf } from './open-source.ts'
import { table } from './table.ts'

export interface PruningRun {
  readonly detector: Detector
  /** The detector's model as its file has it. */
  readonly unfolded: Model
  /** The detector's file, for messages, and what the plan says of it. */
  readonly file: string
  readonly identity: NonNullable<PrunePlan['model']>
  readonly sources: PruneSources
  readonly pruning: PruneOptions
  readonly context: Context
  readonly log: (text: string) => void
}

/** Prunes and certifies; throws with exit code 3 where the certificate fails. */
export async function runPruning({ detector, unfolded, file, identity, sources, pruning, context, log }: PruningRun) {
  const start = performance.now()
  const result: PruneResult = await prune(detector, sources, pruning)
  const plan: PrunePlan = { ...result.plan, model: identity }
  const images = { source: sources.test, card: detector.card }
  const certificate = await certificateOf({ unfolded, original: detector.model, file, pruned: result.detector.model, plan, seed: pruning.seed, session: pruning.session ?? {}, images })
  const skipped = allSkipped(...skippedOf(sources), result.skipped, result.before.skipped, result.cut.skipped, result.after.skipped)
  tellSkipped(skipped, context, log)
  const { classes } = detector.card
  const json = {
    before: measuredJson(result.before, classes),
    cut: measuredJson(result.cut, classes),
    after: measuredJson(result.after, classes),
    passes: result.passes,
    seconds: (performance.now() - start) / 1000,
    bestEpoch: result.bestEpoch,
    ...skippedJson(skipped),
    certificate,
  }
  return { result, plan, json, details: { widths: widthsOf(detector.model, plan), stages: result.stages, epochs: result.epochs } }
}

export type Widths = Readonly<Record<string, { readonly before: number; readonly after: number }>>

/** Channels of every group that may be cut, before and after. */
export function widthsOf(model: Model, plan: PrunePlan): Widths {
  const after = new Map(plan.groups.map((g) => [g.id, g.channelsAfter]))
  return Object.fromEntries(findGroups(model).filter((g) => g.prunable).map((g) => [g.id, { before: g.channels, after: after.get(g.id) ?? g.channels }]))
}

export function widthsTable(widths: Widths): string {
  return table(['group', 'channels', 'kept'], Object.entries(widths).map(([id, w]) => [id, String(w.before), String(w.after)]))
}
