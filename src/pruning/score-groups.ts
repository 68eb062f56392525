/** @file Scores of channels by criteria that judge the model as it stands, before its cut; and the cut that follows from scores. */
import type { Model } from '../ir/graph.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import type { SkippedImage } from '../detection/annotation.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { type ImageSource, loaderFor } from '../train/source.ts'
import type { DetectorTask } from '../train/task.ts'
import { bestUnits, type Budget } from './budget.ts'
import { assertRanked } from './criteria/assert-ranked.ts'
import type { Criterion, JointCriterion, WeightCriterion } from './criteria/criterion.ts'
import { measureGates } from './criteria/gates.ts'
import { measureProducts } from './criteria/products.ts'
import type { GroupScores } from './global-ranking.ts'
import type { ChannelGroup } from './groups.ts'
import { imagesWithObjects } from './lcp/workspace.ts'
import { makePlan, type PlanOrigin, type PrunePlan } from './plan.ts'
import { applyPlan } from './surgery.ts'

type StandingCriterion = Exclude<Criterion, JointCriterion>

export interface ScoreOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** How many images are looked at, and how many at a time. */
  readonly images: number
  readonly batch: number
  /** The detector's own loss on labels, for batches of `batch`. Released here. */
  readonly task: () => DetectorTask
  readonly seed: number
  /** Counts the passes over images. */
  readonly passes: { selection: number }
  readonly listener?: Listener
}

/** Scores of every unit of the groups, by group id, on images of `train`; and images that could not be read. */
export async function scoreGroups(criterion: StandingCriterion, detector: Detector, groups: readonly ChannelGroup[], train: ImageSource, options: ScoreOptions): Promise<{ scores: GroupScores; skipped: readonly SkippedImage[] }> {
  const { images, batch, seed } = options
  if (criterion.needs === 'weights') return { scores: scoresByWeights(criterion, groups, seed), skipped: [] }
  const byLoss = criterion.needs === 'loss'
  // The images that LCP would choose by, where there are labels to go by.
  const samples = byLoss ? imagesWithObjects(train, batch) : train.dataset.samples
  const chosen = shuffled(samples, createRng(`${seed}/selection`)).slice(0, images)
  const loader = loaderFor({ ...train, dataset: { ...train.dataset, samples: chosen } }, detector.card, { batch: byLoss ? batch : 1, seed: `${seed}/selection`, dropLast: true, cacheBytes: 0 })
  const found = new Map<string, Float64Array>()
  if (byLoss) {
    const task = options.task()
    const statistics = await measureGates(detector, groups, { ...options, task, images: loader }).finally(() => task.release())
    for (const g of groups) found.set(g.id, criterion.score(g, statistics))
  } else {
    const statistics = await measureProducts(detector, groups, { ...options, images: loader })
    for (const g of groups) found.set(g.id, criterion.score(g, statistics))
  }
  for (const g of groups) assertRanked(g, found.get(g.id)!)
  return { scores: found, skipped: loader.skipped }
}

/** Scores of every unit of the groups, by a criterion that needs the weights alone. */
export function scoresByWeights(criterion: WeightCriterion, groups: readonly ChannelGroup[], seed: number): GroupScores {
  return new Map(groups.map((g) => [g.id, criterion.score(g, { rng: createRng(`${seed}/${criterion.name}`) })]))
}

/**
 * Throws UserError where the groups have not what the method goes by; or where it would judge by a loss without a gradient: what imitates the detector finds no fault
 * with the detector itself.
 */
export function assertScorable(criterion: Criterion, groups: readonly ChannelGroup[], followsTeacher: boolean): void {
  if (criterion.needs === 'loss' && followsTeacher) throw new UserError(`--method ${criterion.name} needs the gradient of a loss on the detector as it is, and the loss that follows the unpruned detector has none there; give --follow labels, which takes an SSD with default boxes in its card, or choose another method`)
  for (const g of groups) criterion.assertScorable?.(g)
}

/** The best units of each group, as many as the budget lets stay, and the model without the others. */
export function cutByScores(model: Model, groups: readonly ChannelGroup[], scores: GroupScores, budget: Budget, origin: PlanOrigin): { plan: PrunePlan; model: Model } {
  const kept = new Map(groups.map((g) => [g.id, bestUnits(scores.get(g.id)!, budget.widths.get(g.id)!)]))
  const plan = makePlan(groups, kept, origin)
  return { plan, model: applyPlan(model, plan) }
}
