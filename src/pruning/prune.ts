/** @file The whole way of pruning: budget, selection, cut, fine-tuning, each step measured. */
import type { OptimizerOptions } from '../autodiff/optimizers.ts'
import type { AugmentOptions } from '../data/augment.ts'
import { modelCost } from '../passes/cost.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distillTask, type Hint, type OutputReading } from '../train/distill.ts'
import { distinctImages, type Evaluation, evaluate } from '../train/evaluate.ts'
import type { Listener } from '../train/events.ts'
import { withAuxLoss } from '../train/aux-loss.ts'
import { lcpAux } from '../train/aux-task.ts'
import { multiboxTask } from '../train/multibox.ts'
import { type ImageSource, loaderFor } from '../train/source.ts'
import type { DetectorTask } from '../train/task.ts'
import { type EpochRecord, trainDetector, type TrainResult } from '../train/train.ts'
import { workingCopy } from '../train/working-copy.ts'
import type { Budget } from './budget.ts'
import type { Criterion } from './criteria/criterion.ts'
import { createMeter, type CurvatureMeter } from './curvature/select.ts'
import { eliminate } from './curvature/widths.ts'
import { assertSize } from './file-size.ts'
import type { GroupScores } from './global-ranking.ts'
import type { Reference } from './goals.ts'
import type { ChannelGroup } from './groups.ts'
import type { LcpOptions } from './lcp/options.ts'
import { auxTasks, runLcp, type StageLog } from './lcp/run.ts'
import { createLoaders, type Workspace } from './lcp/workspace.ts'
import { composePlans, makePlan, type PrunePlan } from './plan.ts'
import { type Fit, recalibrate } from './recalibrate.ts'
import { type BudgetRequest, budgetOptions, chooseGroups, referenceOf, requestOfRound } from './request.ts'
import { resolvePlan } from './resolve-plan.ts'
import { assertScorable, cutByScores, scoreGroups } from './score-groups.ts'
import { chosenStageEnds } from './stages.ts'
import { applyPlan } from './surgery.ts'
import { solveWidths } from './widths.ts'

export interface FinetuneOptions {
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  readonly warmup: number
  readonly optimizer: OptimizerOptions
  /** Forward-backward passes over images in all, those of pruning included; fixes the number of epochs instead of `epochs`. */
  readonly totalPasses?: number
}

/** Pruning in steps: what is left shrinks by the same factor in each, and the detector is trained between them. */
export interface RoundsOptions {
  /** Steps, 1 or more. */
  readonly count: number
  /** Epochs of training after each but the last. */
  readonly epochs: number
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
  /** Default: one step. */
  readonly rounds?: RoundsOptions
  /** Whom training follows while pruning and after it; undefined: the labels, by the detector's own loss. */
  readonly teacher?: TeacherOptions
  /** How measured widths and backward selection read the outputs; default: sensitive widths take all numbers alike, the others have nothing to go by. */
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

/** One step of several. */
export interface RoundRecord {
  readonly round: number
  readonly params: number
  readonly macs: number
  readonly passes: PassCounts
  /** Of the training after it; that of the last step is the run's own. */
  readonly epochs: readonly EpochRecord[]
  readonly bestEpoch: number
}

/** What all steps came to, before the last fine-tuning; the plan is one for the detector as it came. */
interface SelectedInRounds extends Selected {
  readonly rounds: readonly RoundRecord[]
  /** Passes of the training between steps. */
  readonly between: number
  /** The cut detector, mended on training images where asked for. */
  readonly mended: () => Promise<Detector>
}

export interface PruneResult {
  readonly plan: PrunePlan
  readonly detector: Detector
  readonly budget: Budget
  readonly before: Measured
  readonly cut: Measured
  readonly after: Measured
  readonly stages: readonly StageLog[]
  /** The steps, where there were several. */
  readonly rounds: readonly RoundRecord[]
  readonly epochs: readonly EpochRecord[]
  readonly bestEpoch: number
  readonly passes: PassCounts
  /** That the steps of the last fine-tuning waited for their images. */
  readonly waitedSeconds: TrainResult['waitedSeconds']
  readonly skipped: Evaluation['skipped']
}

/** Throws UserError where a global ranking is asked for and the method has no scores before the first cut. */
export function assertRankable({ criterion, budget }: Pick<PruneOptions, 'criterion' | 'budget'>): void {
  if (budget.ranking === 'global' && criterion.needs === 'joint') throw new UserError(`--ranking global puts the channels of all groups in one order before the first cut, but --method ${criterion.name} scores stage by stage, on a model that is cut already; choose --ranking uniform, or another method`)
}

/** What was measured of the original's groups is looked up by their order. */
function assertSameGroups(groups: readonly ChannelGroup[], originals: readonly ChannelGroup[]): void {
  const [now, before] = [groups, originals].map((list) => list.map((g) => g.id).join(', '))
  if (now !== before) throw new Error(`the cut changed the channel groups from ${before} to ${now}`)
}

function needed(reading: OutputReading | undefined): OutputReading {
  if (!reading) throw new Error('curvature of what a detector says needs a reading of its outputs')
  return reading
}

/** Whether channels go one by one from the detector as it came, without training on the way. */
export function selectsBackward({ criterion, lcp }: Pick<PruneOptions, 'criterion' | 'lcp'>): boolean {
  return criterion.needs === 'joint' && lcp.select === 'backward'
}

/** Widths of the request; where greedy selection decides, none is set, and all channels are what a group may keep. `scores`: what a global ranking goes by. */
async function widthsFor(detector: Detector, train: ImageSource, groups: readonly ChannelGroup[], options: PruneOptions, reference: Reference | undefined, meter: CurvatureMeter, scores?: GroupScores): Promise<{ budget: Budget; skipped: Evaluation['skipped'] }> {
  const { latency, adaptive, widths = { rule: 'uniform', images: 0 } } = options.budget
  const { model } = detector
  if (adaptive) {
    if (options.criterion.needs !== 'joint' || options.lcp.select !== 'greedy' || options.lcp.epsilon === undefined) throw new UserError('no budget: without one, greedy selection must decide when to stop; give --select greedy and --epsilon, with a method that has them')
    const { params, macs } = modelCost(model)
    return { budget: { widths: new Map(), ratio: 1, before: { params, macs }, after: { params, macs } }, skipped: [] }
  }
  const curvature = widths.rule === 'curvature' ? await meter.of(needed(options.reading)) : undefined
  return solveWidths(detector, train, budgetOptions(model, groups, options.budget, reference), { ...options, ...widths, latency, curvature, scores: options.budget.ranking === 'global' ? scores : undefined })
}

/**
 * Chooses the channels to keep and cuts; criteria with a joint loss train along the way. In a later step of several, `detector` is cut already: `reference` is what
 * the budget's shares are of, `original` the detector as it came.
 */
export async function select(detector: Detector, train: ImageSource, options: PruneOptions, { reference, original = detector }: { readonly reference?: Reference; readonly original?: Detector } = {}): Promise<Selected> {
  const { criterion, seed } = options
  const groups = chooseGroups(detector, options.budget)
  if (original !== detector) assertSameGroups(groups, chooseGroups(original, options.budget))
  assertRankable(options)
  assertScorable(criterion, groups, options.teacher !== undefined)
  const origin = { method: criterion.name, seed }
  const passes = { selection: 0, stage: 0, update: 0 }
  const meter = createMeter(detector, groups, train, { ...options, images: options.lcp.images, batch: options.lcp.batch, passes })
  if (selectsBackward(options)) {
    const { budget, skipped } = await widthsFor(detector, train, groups, options, reference, meter)
    // A method without auxiliary networks looks at the layers' own outputs alone.
    const curvature = await meter.of(options.lcp.aux ? needed(options.reading) : undefined)
    const { kept, model } = eliminate(detector.model, groups, curvature, budget.widths)
    const plan = makePlan(groups, kept, origin)
    return { plan, detector: { ...detector, model: applyPlan(model, plan) }, budget, stages: [], passes, skipped: distinctImages([...skipped, ...meter.skipped()]) }
  }
  if (criterion.needs !== 'joint') {
    const { images, batch } = options.lcp
    const measured = await scoreGroups(criterion, detector, groups, train, { ...options, images, batch, passes, task: () => taskOf(original, options, batch) })
    const { budget, skipped } = await widthsFor(detector, train, groups, options, reference, meter, measured.scores)
    const { plan, model } = cutByScores(detector.model, groups, measured.scores, budget, origin)
    return { plan, detector: { ...detector, model }, budget, stages: [], passes, skipped: distinctImages([...skipped, ...measured.skipped, ...meter.skipped()]) }
  }
  const { budget, skipped } = await widthsFor(detector, train, groups, options, reference, meter)
  const task = taskOf(original, options, options.lcp.batch)
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
  const unreadable = (): Evaluation['skipped'] => distinctImages([...train.dataset.skipped, ...skipped, ...meter.skipped(), ...workspace.selection.skipped, ...workspace.training.skipped])
  const outcome = await runLcp(workspace, criterion, groups, budget.widths).finally(() => task.release())
  const { params, macs } = modelCost(outcome.detector.model)
  return { plan: makePlan(groups, outcome.kept, origin), detector: outcome.detector, budget: { ...budget, after: { params, macs } }, stages: outcome.stages, passes, skipped: unreadable() }
}

/** Selects and cuts in as many steps as are asked for, trained in between; the last cut is left as it is. Plans add up to one for the detector as it came. */
export async function selectInRounds(detector: Detector, sources: Pick<PruneSources, 'train' | 'val'>, options: PruneOptions): Promise<SelectedInRounds> {
  const { count, epochs } = options.rounds ?? { count: 1, epochs: 0 }
  const { maxSize, latency } = options.budget
  const reference = referenceOf(detector.model, chooseGroups(detector, options.budget))
  const wholeMs = latency?.profile.whole[0]?.measuredMs
  const rounds: RoundRecord[] = []
  const stages: StageLog[] = []
  const passes = { selection: 0, stage: 0, update: 0 }
  let plan: PrunePlan | undefined
  let between = 0
  let budget: Budget | undefined
  let skipped: Evaluation['skipped'] = []
  let current = detector
  let mended = async (): Promise<Detector> => current
  for (let round = 1; round <= count; round++) {
    if (count > 1) options.listener?.({ type: 'note', text: `step ${round} of ${count}` })
    const asked = requestOfRound(options.budget, round, count, { bytes: reference.bytes, wholeMs })
    const selected = await select(current, sources.train, { ...options, budget: asked }, { reference, original: detector })
    const before = current
    mended = () => recalibrated(before, selected.detector, selected.plan, sources.train, options)
    plan = plan ? composePlans(plan, selected.plan) : selected.plan
    current = round < count ? await mended() : selected.detector
    const tuned = round < count ? await finetune(detector, current, plan, sources, options, epochs) : undefined
    const own = { ...selected.passes, finetune: tuned?.passes ?? 0 }
    const { params, macs } = modelCost(current.model)
    rounds.push({ round, params, macs, passes: { ...own, total: own.selection + own.stage + own.update + own.finetune }, epochs: tuned?.epochs ?? [], bestEpoch: tuned?.best ?? 0 })
    stages.push(...selected.stages)
    for (const key of ['selection', 'stage', 'update'] as const) passes[key] += selected.passes[key]
    between += own.finetune
    budget = { ...selected.budget, before: budget?.before ?? selected.budget.before }
    skipped = [...skipped, ...selected.skipped, ...(tuned?.skipped ?? [])]
    current = tuned?.detector ?? current
  }
  assertSize(current.model, maxSize)
  return { plan: plan!, detector: current, mended, budget: budget!, stages, passes, between, rounds: count > 1 ? rounds : [], skipped: distinctImages(skipped) }
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
  const ends = chosenStageEnds(detector, lcp, chooseGroups(detector, options.budget))
  const task = taskOf(detector, options, batch, hintsOf(detector, plan, ends))
  if (teacher.auxWeight === 0 || train.dataset.samples.every((s) => s.truth.labels.length === 0)) return task
  return withAuxLoss(task, { networks: auxTasks(detector, start, ends, batch, lcp.aux ?? lcpAux, seed), batch, weight: teacher.auxWeight, seed })
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
  options.listener?.({ type: 'note', text: `${fit === 'none' ? 'running statistics of BatchNormalization are measured anew' : `${fit} are fitted`} on ${batches.length * batch} images` })
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
  const selected = await selectInRounds(detector, sources, options)
  const start = await selected.mended()
  const cut = await measure(start)
  const spent = selected.passes.selection + selected.passes.stage + selected.passes.update + selected.between
  const tuned = await finetune(detector, start, selected.plan, sources, options, finetuneEpochs(options.finetune, spent, images))
  const result = tuned?.detector ?? start
  const passes = { ...selected.passes, finetune: selected.between + (tuned?.passes ?? 0) }
  return {
    plan: selected.plan,
    detector: result,
    budget: selected.budget,
    before,
    cut,
    after: tuned ? await measure(result) : cut,
    stages: selected.stages,
    rounds: selected.rounds,
    epochs: tuned?.epochs ?? [],
    bestEpoch: tuned?.best ?? 0,
    passes: { ...passes, total: spent + (tuned?.passes ?? 0) },
    waitedSeconds: tuned?.waitedSeconds ?? { first: 0, later: 0 },
    skipped: distinctImages([...before.skipped, ...selected.skipped, ...(tuned?.skipped ?? [])]),
  }
}

/** Trains a cut detector; undefined for no epoch. */
async function finetune(detector: Detector, start: Detector, plan: PrunePlan, sources: Pick<PruneSources, 'train' | 'val'>, options: PruneOptions, epochs: number) {
  if (epochs === 0) return undefined
  const task = finetuneTask(detector, start, plan, sources.train, options)
  const { batch, rate, warmup, optimizer } = options.finetune
  return trainDetector(start, sources.train, sources.val, { ...options, task, epochs, batch, rate, warmup, optimizer }).finally(() => task.release())
}

/** Epochs that bring the passes to the wanted total, rounded up to the rival's favour (none where pruning took them all); or those asked for. */
function finetuneEpochs(options: FinetuneOptions, spent: number, images: number): number {
  if (options.totalPasses === undefined) return options.epochs
  const perEpoch = Math.floor(images / options.batch) * options.batch
  return Math.max(0, Math.ceil((options.totalPasses - spent) / perEpoch))
}
