/** @file The whole way of pruning: budget, selection, cut, fine-tuning, each step measured. */
import type { OptimizerOptions } from '../autodiff/optimizers.ts'
import type { AugmentOptions } from '../data/augment.ts'
import type { Model } from '../ir/graph.ts'
import { modelCost } from '../passes/cost.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { createRng } from '../tensor/rng.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distillTask, type Hint, type OutputReading } from '../train/distill.ts'
import { distinctImages, type Evaluation, evaluate } from '../train/evaluate.ts'
import type { Listener } from '../train/events.ts'
import { withAuxLoss } from '../train/aux-loss.ts'
import { multiboxTask } from '../train/multibox.ts'
import { type ImageSource, loaderFor } from '../train/source.ts'
import type { DetectorTask } from '../train/task.ts'
import { type EpochRecord, trainDetector } from '../train/train.ts'
import { workingCopy } from '../train/working-copy.ts'
import { bestUnits, type Budget, solveBudget } from './budget.ts'
import { refuseUnprunable } from './channel-links.ts'
import type { Criterion } from './criteria/criterion.ts'
import { type ChannelGroup, findGroups } from './groups.ts'
import type { LcpOptions } from './lcp/options.ts'
import { auxTasks, runLcp, type StageLog } from './lcp/run.ts'
import { createLoaders, type Workspace } from './lcp/workspace.ts'
import { makePlan, type PrunePlan } from './plan.ts'
import { type Fit, recalibrate } from './recalibrate.ts'
import { resolvePlan } from './resolve-plan.ts'
import { chosenStageEnds } from './stages.ts'
import { applyPlan } from './surgery.ts'
import { type LatencyLimit, solveWidths, type WidthsOptions } from './widths.ts'

/** "inner": channels that one layer produces, as the paper prunes; "all": residual streams too. */
export type GroupChoice = 'inner' | 'all'

export interface BudgetRequest {
  readonly removeParams?: number
  readonly removeMacs?: number
  /** In place of fractions: how long a run may take. */
  readonly latency?: LatencyLimit
  /** Widths are multiples of this. */
  readonly round: number
  readonly groups: GroupChoice
  /** Default: uniform. */
  readonly widths?: Pick<WidthsOptions, 'rule' | 'images' | 'limit'>
}

export interface FinetuneOptions {
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  readonly warmup: number
  readonly optimizer: OptimizerOptions
  /** Forward-backward passes over images in all, those of pruning included; fixes the number of epochs instead of `epochs`. */
  readonly totalPasses?: number
}

/** The unpruned detector as the teacher of the pruned one, in place of labels. */
export interface TeacherOptions {
  readonly reading: OutputReading
  readonly background: number
  readonly hintWeight: number
  /** Weight of the auxiliary networks' loss at the stage ends in the last fine-tuning, where training images have boxes. */
  readonly auxWeight: number
}

export interface PruneOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly criterion: Criterion
  readonly budget: BudgetRequest
  readonly lcp: LcpOptions
  readonly finetune: FinetuneOptions
  /** Whom training follows while pruning and after it; undefined: the labels, by the detector's own loss. */
  readonly teacher?: TeacherOptions
  /** How sensitive widths read the outputs; default: all numbers alike. */
  readonly reading?: OutputReading
  /** Images on which the cut detector is mended without training, and how (see recalibrate); default: it is left. */
  readonly recalibrate?: { readonly images: number; readonly fit: Fit }
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
  readonly budget: Budget
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
export function chooseGroups(detector: Pick<Detector, 'model'>, choice: GroupChoice): ChannelGroup[] {
  refuseUnprunable(detector.model)
  const groups = findGroups(detector.model)
  const chosen = groups.filter((g) => g.prunable && (choice === 'all' || !g.coupled))
  if (chosen.length === 0) throw new UserError(`the model has no channel group to cut (${groups.length} groups, all must stay whole; see inspect)`)
  return chosen
}

/** Chooses by a criterion that needs the weights alone, and cuts: any model, no images. `budget`: the widths, where they are known; default: one ratio for all groups. */
export function selectByWeights(model: Model, { criterion, budget: request, seed }: Pick<PruneOptions, 'criterion' | 'budget' | 'seed'>, given?: Budget): Pick<Selected, 'plan' | 'budget'> & { readonly model: Model } {
  const groups = chooseGroups({ model }, request.groups)
  const { removeParams, removeMacs, round } = request
  const budget = given ?? solveBudget({ model, groups, removeParams, removeMacs, round })
  const kept = new Map(groups.map((g) => [g.id, bestUnits(criterion.score(g, { rng: createRng(`${seed}/${criterion.name}`) }), budget.widths.get(g.id)!)]))
  const plan = makePlan(groups, kept, { method: criterion.name, seed })
  return { plan, model: applyPlan(model, plan), budget }
}

/** Chooses the channels to keep and cuts; criteria with gradients train along the way. */
export async function select(detector: Detector, train: ImageSource, options: PruneOptions): Promise<Selected> {
  const { criterion, seed } = options
  const groups = chooseGroups(detector, options.budget.groups)
  const { removeParams, removeMacs, latency, round, widths = { rule: 'uniform', images: 0 } } = options.budget
  const { budget, skipped } = await solveWidths(detector, train, { model: detector.model, groups, removeParams, removeMacs, round }, { ...options, ...widths, latency })
  if (criterion.needs === 'weights') {
    const { plan, model } = selectByWeights(detector.model, options, budget)
    return { plan, detector: { ...detector, model }, budget, stages: [], passes: { selection: 0, stage: 0, update: 0 }, skipped }
  }
  const origin = { method: criterion.name, seed }
  const passes = { selection: 0, stage: 0, update: 0 }
  const task = taskOf(detector, options, options.lcp.batch)
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
    task,
    ...createLoaders(detector, train, options.lcp, options.augment, seed),
    passes,
  }
  const unreadable = (): Evaluation['skipped'] => distinctImages([...train.dataset.skipped, ...skipped, ...workspace.selection.skipped, ...workspace.training.skipped])
  const outcome = await runLcp(workspace, criterion, groups, budget.widths).finally(() => task.release())
  return { plan: makePlan(groups, outcome.kept, origin), detector: outcome.detector, budget, stages: outcome.stages, passes, skipped: unreadable() }
}

/** What training follows, for batches of `batch`; `hints`: feature maps that a student should keep. */
function taskOf(detector: Detector, { teacher, runtime, session }: PruneOptions, batch: number, hints: readonly Hint[] = []): DetectorTask {
  return teacher ? distillTask(detector, teacher.reading, { ...teacher, runtime, session, batch, hints }) : multiboxTask(detector, batch)
}

/** The maps at the stage ends, with what the cut left of their channels. */
function hintsOf(detector: Detector, plan: PrunePlan, ends: readonly string[]): Hint[] {
  const { axes } = resolvePlan(detector.model, plan)
  const kept = new Map([...axes].map(([value, byAxis]) => [value.name, [...byAxis].map(([axis, indices]) => ({ axis, indices }))]))
  return ends.map((name) => ({ name, keep: kept.get(name) ?? [] }))
}

/** What the last fine-tuning follows; beside a teacher, auxiliary networks at the stage ends see the boxes there are. */
function finetuneTask(detector: Detector, start: Detector, plan: PrunePlan, train: ImageSource, options: PruneOptions): DetectorTask {
  const { teacher, lcp, seed, finetune: { batch } } = options
  if (!teacher) return taskOf(detector, options, batch)
  const ends = chosenStageEnds(detector, lcp.stageEnds, chooseGroups(detector, options.budget.groups))
  const task = taskOf(detector, options, batch, hintsOf(detector, plan, ends))
  if (teacher.auxWeight === 0 || train.dataset.samples.every((s) => s.truth.labels.length === 0)) return task
  return withAuxLoss(task, { networks: auxTasks(detector, start, ends, batch, lcp.aux, seed), batch, weight: teacher.auxWeight, seed })
}

/** The cut detector, mended on training images where asked for. */
async function recalibrated(detector: Detector, cut: Detector, plan: PrunePlan, train: ImageSource, options: PruneOptions): Promise<Detector> {
  if (!options.recalibrate || options.recalibrate.images === 0) return cut
  const { images, fit } = options.recalibrate
  const { batch } = options.finetune
  const loader = loaderFor(train, detector.card, { batch, seed: `${options.seed}/recalibrate`, shuffle: true, dropLast: true, cacheBytes: 0 })
  const batches = []
  for await (const data of loader.epoch(0)) {
    batches.push(data)
    if (batches.length * batch >= images) break
  }
  options.listener?.({ type: 'note', text: `${fit} are fitted on ${batches.length * batch} images` })
  return recalibrate(detector, cut, plan, { runtime: options.runtime, session: options.session, batches, fit, listener: options.listener })
}

/** Measures, selects, cuts, measures, fine-tunes (best epoch by `val` where given, else the last), measures. */
export async function prune(detector: Detector, sources: PruneSources, options: PruneOptions): Promise<PruneResult> {
  const measure = async (d: Detector): Promise<Measured> => {
    const { params, macs } = modelCost(d.model)
    return { params, macs, ...(await evaluate(d, sources.test, options)) }
  }
  const images = sources.train.dataset.samples.length
  if (images < options.finetune.batch) throw new UserError(`split "${sources.train.dataset.split}" has ${images} images, a step of fine-tuning needs ${options.finetune.batch}; choose a smaller --finetune-batch`)
  const before = await measure(detector)
  const selected = await select(detector, sources.train, options)
  const start = await recalibrated(detector, selected.detector, selected.plan, sources.train, options)
  const cut = await measure(start)
  const spent = selected.passes.selection + selected.passes.stage + selected.passes.update
  const epochs = finetuneEpochs(options.finetune, spent, images)
  const task = epochs === 0 ? undefined : finetuneTask(detector, start, selected.plan, sources.train, options)
  const tuned = task && await trainDetector(start, sources.train, sources.val, {
    ...options,
    task,
    epochs,
    batch: options.finetune.batch,
    rate: options.finetune.rate,
    warmup: options.finetune.warmup,
    optimizer: options.finetune.optimizer,
  }).finally(() => task.release())
  const result = tuned?.detector ?? start
  const finetune = tuned?.passes ?? 0
  return {
    plan: selected.plan,
    detector: result,
    budget: selected.budget,
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
