/** @file The whole way of pruning: budget, selection, cut, fine-tuning, each step measured. */
import type { AugmentOptions } from '../data/augment.ts'
import { modelCost } from '../passes/cost.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { createRng } from '../tensor/rng.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distinctImages, type Evaluation, evaluate } from '../train/evaluate.ts'
import type { Listener } from '../train/events.ts'
import { multiboxTask } from '../train/multibox.ts'
import type { ImageSource } from '../train/source.ts'
import { type EpochRecord, trainDetector } from '../train/train.ts'
import { workingCopy } from '../train/working-copy.ts'
import { bestUnits, type Budget, solveBudget } from './budget.ts'
import { refuseUnprunable } from './channel-links.ts'
import type { Criterion } from './criteria/criterion.ts'
import { type ChannelGroup, findGroups } from './groups.ts'
import type { LcpOptions } from './lcp/options.ts'
import { runLcp, type StageLog } from './lcp/run.ts'
import { createLoaders, type Workspace } from './lcp/workspace.ts'
import { makePlan, type PrunePlan } from './plan.ts'
import { applyPlan } from './surgery.ts'

/** "inner": channels that one layer produces, as the paper prunes; "all": residual streams too. */
export type GroupChoice = 'inner' | 'all'

export interface BudgetRequest {
  readonly removeParams?: number
  readonly removeMacs?: number
  /** Widths are multiples of this. */
  readonly round: number
  readonly groups: GroupChoice
}

export interface FinetuneOptions {
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  readonly warmup: number
  /** Forward-backward passes over images in all, those of pruning included; fixes the number of epochs instead of `epochs`. */
  readonly totalPasses?: number
}

export interface PruneOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly criterion: Criterion
  readonly budget: BudgetRequest
  readonly lcp: LcpOptions
  readonly finetune: FinetuneOptions
  readonly augment: AugmentOptions
  readonly seed: number
  readonly listener?: Listener
}

/** Where images come from: training and validation to prune with, `test` to measure with. */
export interface PruneSources {
  readonly train: ImageSource
  readonly val?: ImageSource
  readonly test: ImageSource
}

export interface Measured extends Evaluation {
  readonly params: number
  readonly macs: number
}

export interface PassCounts {
  readonly selection: number
  readonly stage: number
  readonly update: number
  readonly finetune: number
  readonly total: number
}

export interface Selected {
  readonly plan: PrunePlan
  /** Cut, before fine-tuning. */
  readonly detector: Detector
  readonly budget: Budget
  readonly stages: readonly StageLog[]
  readonly passes: { readonly selection: number; readonly stage: number; readonly update: number }
  /** Training images that could not be read. */
  readonly skipped: Evaluation['skipped']
}

export interface PruneResult {
  readonly plan: PrunePlan
  readonly detector: Detector
  readonly before: Measured
  readonly cut: Measured
  readonly after: Measured
  readonly stages: readonly StageLog[]
  readonly epochs: readonly EpochRecord[]
  readonly bestEpoch: number
  readonly passes: PassCounts
  readonly skipped: Evaluation['skipped']
}

/** The groups of a model that may be cut. Throws UserError when there are none, or the model is quantized. */
export function chooseGroups(detector: Detector, choice: GroupChoice): ChannelGroup[] {
  refuseUnprunable(detector.model)
  const groups = findGroups(detector.model)
  const chosen = groups.filter((g) => g.prunable && (choice === 'all' || !g.coupled))
  if (chosen.length === 0) throw new UserError(`the model has no channel group to cut (${groups.length} groups, all must stay whole; see inspect)`)
  return chosen
}

/** Chooses the channels to keep and cuts; criteria with gradients train along the way. */
export async function select(detector: Detector, train: ImageSource, options: PruneOptions): Promise<Selected> {
  const { criterion, seed } = options
  const groups = chooseGroups(detector, options.budget.groups)
  const { removeParams, removeMacs, round } = options.budget
  const budget = solveBudget({ model: detector.model, groups, removeParams, removeMacs, round })
  const origin = { method: criterion.name, seed }
  if (criterion.needs === 'weights') {
    const kept = new Map(groups.map((g) => [g.id, bestUnits(criterion.score(g, { rng: createRng(`${seed}/${criterion.name}`) }), budget.widths.get(g.id)!)]))
    const plan = makePlan(groups, kept, origin)
    return { plan, detector: { ...detector, model: applyPlan(detector.model, plan) }, budget, stages: [], passes: { selection: 0, stage: 0, update: 0 }, skipped: [] }
  }
  const passes = { selection: 0, stage: 0, update: 0 }
  const workspace: Workspace = {
    runtime: options.runtime,
    session: options.session,
    options: options.lcp,
    augment: options.augment,
    seed,
    listener: options.listener,
    baseline: detector,
    baselineGraph: workingCopy(detector.model, options.lcp.batch),
    train,
    task: multiboxTask(detector, options.lcp.batch),
    ...createLoaders(detector, train, options.lcp, options.augment, seed),
    passes,
  }
  const unreadable = (): Evaluation['skipped'] => distinctImages([...train.dataset.skipped, ...workspace.selection.skipped, ...workspace.training.skipped])
  const outcome = await runLcp(workspace, criterion, groups, budget.widths)
  return { plan: makePlan(groups, outcome.kept, origin), detector: outcome.detector, budget, stages: outcome.stages, passes, skipped: unreadable() }
}

/** Measures, selects, cuts, measures, fine-tunes (best epoch by `val`), measures. */
export async function prune(detector: Detector, sources: PruneSources, options: PruneOptions): Promise<PruneResult> {
  const measure = async (d: Detector): Promise<Measured> => {
    const { params, macs } = modelCost(d.model)
    return { params, macs, ...(await evaluate(d, sources.test, options)) }
  }
  const images = sources.train.dataset.samples.length
  if (images < options.finetune.batch) throw new UserError(`split "${sources.train.dataset.split}" has ${images} images, a step of fine-tuning needs ${options.finetune.batch}; choose a smaller --finetune-batch`)
  const before = await measure(detector)
  const selected = await select(detector, sources.train, options)
  const cut = await measure(selected.detector)
  const spent = selected.passes.selection + selected.passes.stage + selected.passes.update
  const epochs = finetuneEpochs(options.finetune, spent, images)
  const tuned = epochs === 0 ? undefined : await trainDetector(selected.detector, sources.train, sources.val, {
    ...options,
    epochs,
    batch: options.finetune.batch,
    rate: options.finetune.rate,
    warmup: options.finetune.warmup,
    optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: 10 },
  })
  const result = tuned?.detector ?? selected.detector
  const finetune = tuned?.passes ?? 0
  return {
    plan: selected.plan,
    detector: result,
    before,
    cut,
    after: tuned ? await measure(result) : cut,
    stages: selected.stages,
    epochs: tuned?.epochs ?? [],
    bestEpoch: tuned?.best ?? 0,
    passes: { ...selected.passes, finetune, total: spent + finetune },
    skipped: distinctImages([...before.skipped, ...selected.skipped, ...(tuned?.skipped ?? [])]),
  }
}

/** Epochs that bring the passes to the wanted total, rounded up to the rival's favour (none where pruning took them all); or those asked for. */
function finetuneEpochs(options: FinetuneOptions, spent: number, images: number): number {
  if (options.totalPasses === undefined) return options.epochs
  const perEpoch = Math.floor(images / options.batch) * options.batch
  return Math.max(0, Math.ceil((options.totalPasses - spent) / perEpoch))
}
