/** @file The widths that a cut aims at: one ratio for all groups, or by what cutting each does to the outputs. */
import type { Batch, Loader } from '../data/loader.ts'
import type { SkippedImage } from '../detection/annotation.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { imageRuns, type ImageSource } from '../train/source.ts'
import { bestUnits, type Budget, type BudgetOptions, solveBudget } from './budget.ts'
import { random } from './criteria/random.ts'
import { wholeReason } from './groups.ts'
import { refitShares } from './refit.ts'
import { sensitiveWidths, widthShares } from './sensitive-widths.ts'
import { type GroupSensitivity, measureSensitivity } from './sensitivity.ts'

/** "uniform": one ratio for all groups; "sensitive": groups that the outputs can spare lose more, as measured on images. */
export const widthRules = ['uniform', 'sensitive'] as const
export type WidthRule = (typeof widthRules)[number]

export interface WidthsOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly rule: WidthRule
  /** Images that sensitivity is measured on, drawn from the source by seed. */
  readonly images: number
  /** The cut will be mended by least squares (see fitWeights): harm that this makes good does not count. */
  readonly mended: boolean
  readonly seed: number
  readonly listener?: Listener
}

/** How many units each group keeps. Channels are ranked at random for the measurement, so that no criterion finds the widths made for it. */
export async function solveWidths(detector: Detector, source: ImageSource, budget: BudgetOptions, options: WidthsOptions): Promise<{ budget: Budget; skipped: readonly SkippedImage[] }> {
  if (options.rule === 'uniform') return { budget: solveBudget(budget), skipped: [] }
  const samples = shuffled(source.dataset.samples, createRng(`${options.seed}/widths`)).slice(0, options.images)
  const { loader, runs, inputs } = imageRuns(detector, { ...source, dataset: { ...source.dataset, samples } })
  const groups = budget.groups.filter((g) => wholeReason(g) === undefined)
  const { groups: found } = await measureSensitivity(detector.model, { ...options, groups, criterion: random, shares: widthShares, inputs: inputs(), runs })
  const sensitivity = options.mended ? await mendedHarms(detector, found, loader, options) : found
  return { budget: sensitiveWidths({ ...budget, sensitivity }), skipped: loader.skipped }
}

/** The harms that least squares cannot make good; errors of a layer's outputs and of the model's are taken to shrink alike. */
async function mendedHarms(detector: Detector, found: readonly GroupSensitivity[], loader: Loader, { runtime, session, seed }: WidthsOptions): Promise<GroupSensitivity[]> {
  const batches: Batch[] = []
  for await (const batch of loader.epoch(0)) if (batches.length === 0 || batch.samples.length === batches[0]!.samples.length) batches.push(batch)
  const share = await refitShares(detector, found.map((f) => f.group), { runtime, session, batches })
  const rng = createRng(`${seed}/${random.name}`)
  return found.map(({ group, cuts }) => {
    const scores = random.score(group, { rng })
    const left = (kept: number): number => {
      const stays = new Set(bestUnits(scores, kept))
      return share(group, Array.from({ length: group.channels }, (_, k) => k).filter((k) => !stays.has(k)))
    }
    return { group, cuts: cuts.map((cut) => ({ ...cut, harm: cut.harm * Math.sqrt(left(cut.kept)) })) }
  })
}
