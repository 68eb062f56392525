/** @file The widths that a cut aims at: one ratio for all groups, or by what cutting each does to the outputs. */
import type { SkippedImage } from '../detection/annotation.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { imageRuns, type ImageSource } from '../train/source.ts'
import { type Budget, type BudgetOptions, solveBudget } from './budget.ts'
import { random } from './criteria/random.ts'
import { wholeReason } from './groups.ts'
import { sensitiveWidths, widthShares } from './sensitive-widths.ts'
import { measureSensitivity } from './sensitivity.ts'

/** "uniform": one ratio for all groups; "sensitive": groups that the outputs can spare lose more, as measured on images. */
export const widthRules = ['uniform', 'sensitive'] as const
export type WidthRule = (typeof widthRules)[number]

export interface WidthsOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly rule: WidthRule
  /** Images that sensitivity is measured on, drawn from the source by seed. */
  readonly images: number
  readonly seed: number
  readonly listener?: Listener
}

/** How many units each group keeps. Channels are ranked at random for the measurement, so that no criterion finds the widths made for it. */
export async function solveWidths(detector: Detector, source: ImageSource, budget: BudgetOptions, options: WidthsOptions): Promise<{ budget: Budget; skipped: readonly SkippedImage[] }> {
  if (options.rule === 'uniform') return { budget: solveBudget(budget), skipped: [] }
  const samples = shuffled(source.dataset.samples, createRng(`${options.seed}/widths`)).slice(0, options.images)
  const { loader, runs, inputs } = imageRuns(detector, { ...source, dataset: { ...source.dataset, samples } })
  const groups = budget.groups.filter((g) => wholeReason(g) === undefined)
  const { groups: sensitivity } = await measureSensitivity(detector.model, { ...options, groups, criterion: random, shares: widthShares, inputs: inputs(), runs })
  return { budget: sensitiveWidths({ ...budget, sensitivity }), skipped: loader.skipped }
}
