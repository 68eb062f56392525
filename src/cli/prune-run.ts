/** @file The whole way of pruning as prune and demo run it: prune, prove the cut, gather what is told and saved. */
import type { Model } from '../ir/graph.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { prune, type PruneOptions, type PruneResult, type PruneSources } from '../pruning/prune.ts'
import type { Detector } from '../train/detector.ts'
import { certificateOf } from './certificate.ts'
import type { Context } from './context.ts'
import { allSkipped, measuredJson, skippedJson, tellSkipped, waitedJson } from './measures.ts'
import { skippedOf } from './open-source.ts'
import { widthsOf } from './plan-report.ts'

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
    measured: true,
    before: measuredJson(result.before, classes),
    cut: measuredJson(result.cut, classes),
    after: measuredJson(result.after, classes),
    passes: result.passes,
    seconds: (performance.now() - start) / 1000,
    bestEpoch: result.bestEpoch,
    ...waitedJson(result.waitedSeconds),
    ...skippedJson(skipped),
    certificate,
  }
  return { result, plan, json, details: { widths: widthsOf(detector.model, plan), stages: result.stages, ...(result.rounds.length > 0 && { rounds: result.rounds }), epochs: result.epochs, finetune: pruning.finetune } }
}
