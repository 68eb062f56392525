/** @file The widths that a cut aims at: one ratio for all groups, or by what cutting each does to the outputs. */
import type { SkippedImage } from '../detection/annotation.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import type { Detector } from '../train/detector.ts'
import { createOutputDistance, type OutputDistance, type OutputReading } from '../train/distill.ts'
import type { Listener } from '../train/events.ts'
import { imageRuns, type ImageSource } from '../train/source.ts'
import { type Budget, solveBudget } from './budget.ts'
import { random } from './criteria/random.ts'
import { meetSize } from './file-size.ts'
import type { Curvature } from './curvature/measure.ts'
import { curvatureWidths } from './curvature/widths.ts'
import { type GroupScores, globalShares } from './global-ranking.ts'
import type { BudgetOptions } from './goals.ts'
import { wholeReason } from './groups.ts'
import type { LatencyProfile } from './latency/profile.ts'
import { solveLatency } from './latency/solve.ts'
import { sensitiveWidths, widthShares } from './sensitive-widths.ts'
import { measureSensitivity, type SensitivityOptions } from './sensitivity.ts'

/**
 * "uniform": one ratio for all groups; "sensitive": groups that the outputs can spare lose more, as measured by cutting each alone; "curvature": the same by what the
 * outputs would lose once kept weights make up for it (see curvatureWidths).
 */
export const widthRules = ['uniform', 'sensitive', 'curvature'] as const
export type WidthRule = (typeof widthRules)[number]

export interface WidthsOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly rule: WidthRule
  /** Images that sensitivity is measured on, drawn from the source by seed. */
  readonly images: number
  /** Share (0 to 1) of its channels that measured widths take of no group more; default 1. */
  readonly limit?: number
  /** How the detector's outputs are read: harm is then the error of what they say (see relativeError); default: of all numbers alike. */
  readonly reading?: OutputReading
  /** Milliseconds that a run may take, by the model's profile. */
  readonly latency?: LatencyLimit
  /** Scores of every unit, where the channels of all groups stand in one order; only with the rule "uniform". */
  readonly scores?: GroupScores
  /** Of the layers that read the groups, for the rule "curvature". */
  readonly curvature?: Curvature
  readonly seed: number
  readonly listener?: Listener
}

export interface LatencyLimit {
  readonly limitMs: number
  readonly profile: LatencyProfile
}

/** Widths of one ratio; or, with `scores`, of one threshold on them. */
export async function uniformWidths(budget: BudgetOptions, latency?: LatencyLimit, scores?: GroupScores): Promise<Budget> {
  const shares = scores && globalShares(budget.groups, scores)
  return widthsBy((asked) => solveBudget(asked, shares), budget, latency)
}

/** Widths by any rule, so that the file's size and the latency hold where they are asked for. */
async function widthsBy(solve: (budget: BudgetOptions) => Budget, budget: BudgetOptions, latency?: LatencyLimit): Promise<Budget> {
  return meetSize(budget, async (asked) => (latency ? solveLatency({ ...latency, budget: asked, solve }) : solve(asked)))
}

/** How many units each group keeps. Channels are ranked at random for the measurement, so that no criterion finds the widths made for it. */
export async function solveWidths(detector: Detector, source: ImageSource, budget: BudgetOptions, options: WidthsOptions): Promise<{ budget: Budget; skipped: readonly SkippedImage[] }> {
  if (options.rule === 'uniform') return { budget: await uniformWidths(budget, options.latency, options.scores), skipped: [] }
  const { curvature, limit } = options
  if (options.rule === 'curvature') {
    if (!curvature) throw new Error('no curvature was measured')
    return { budget: await widthsBy((asked) => curvatureWidths({ ...asked, curvature, limit }), budget, options.latency), skipped: [] }
  }
  const samples = shuffled(source.dataset.samples, createRng(`${options.seed}/widths`)).slice(0, options.images)
  const { loader, runs, inputs } = imageRuns(detector, { ...source, dataset: { ...source.dataset, samples } })
  const groups = budget.groups.filter((g) => wholeReason(g) === undefined)
  let distance: OutputDistance | undefined
  const { reading } = options
  const measure: SensitivityOptions['distance'] = reading && (async (reference, outputs) => {
    distance ??= await createOutputDistance(reading, reference, options)
    return distance.of(reference, outputs)
  })
  const { groups: sensitivity } = await measureSensitivity(detector.model, { ...options, groups, criterion: random, shares: widthShares, inputs: inputs(), runs, distance: measure }).finally(() => distance?.release())
  const solve = (asked: BudgetOptions): Budget => sensitiveWidths({ ...asked, sensitivity, limit })
  return { budget: await widthsBy(solve, budget, options.latency), skipped: loader.skipped }
}
