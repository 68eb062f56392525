/** @file Trains a detector on labelled images; the epoch that is best on the validation split is kept. */
import { trainableWeights } from '../autodiff/import-graph.ts'
import type { OptimizerOptions } from '../autodiff/optimizers.ts'
import { buildTrainStep, type StepGraph } from '../autodiff/train-graph.ts'
import type { AugmentOptions } from '../data/augment.ts'
import type { SkippedImage } from '../detection/annotation.ts'
import type { Model, Value } from '../ir/graph.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Detector, withWeights } from './detector.ts'
import { distinctImages, type Evaluation, evaluate } from './evaluate.ts'
import type { Listener } from './events.ts'
import { multiboxTask } from './multibox.ts'
import { cosineRate } from './schedule.ts'
import { type ImageSource, loaderFor } from './source.ts'
import { createTrainStep } from './step.ts'
import { type DetectorTask, importDetector } from './task.ts'
import { workingCopy } from './working-copy.ts'

export interface TrainOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  /** Steps of linear warm-up. */
  readonly warmup: number
  readonly optimizer: OptimizerOptions
  readonly augment: AugmentOptions
  readonly seed: number
  /** What to train for, made for batches of `batch`; default: the labels, by the detector's own loss. The caller releases it. */
  readonly task?: DetectorTask
  readonly listener?: Listener
}

export interface EpochRecord {
  readonly epoch: number
  readonly classification: number
  readonly localization: number
  readonly seconds: number
  /** On the validation split; absent where there is none. */
  readonly AP?: number
  readonly AP50?: number
}

export interface TrainResult {
  readonly detector: Detector
  readonly epochs: readonly EpochRecord[]
  /** Epoch whose weights were kept. */
  readonly best: number
  /** Forward-backward passes over images. */
  readonly passes: number
  /** Seconds that steps waited for their images: the first one, and all others. */
  readonly waitedSeconds: { readonly first: number; readonly later: number }
  /** Images of either split that could not be read. */
  readonly skipped: Evaluation['skipped']
}

/** Weight of a batch's statistics in the running ones, torch's default. */
export const statisticsMomentum = 0.1

/** The detector's training step: the task's loss on `batch` images, all weights trained, BN on batch statistics. */
export function detectorStep(detector: Detector, task: DetectorTask, batch: number, optimizer: OptimizerOptions): StepGraph {
  const working: Model = workingCopy(detector.model, batch)
  const weights = trainableWeights(working.graph)
  return buildTrainStep((b) => {
    const imported = importDetector(b, working, batch, {
      trainable: (v) => weights.has(v),
      batchStatistics: statisticsMomentum,
      wanted: [...working.graph.outputs, ...(task.wanted?.(working) ?? [])],
    })
    const { classification, localization, hint, auxiliary } = task.add(b, working, imported)
    const own = b.add(classification, localization, 'loss')
    const loss = [hint, auxiliary?.loss].reduce<Value>((sum, part) => (part ? b.add(sum, part) : sum), own)
    return {
      objectives: [{ loss, wrt: [...imported.parameters, ...(auxiliary?.parameters ?? [])].map((p) => p.input) }],
      metrics: { loss, classification, localization, ...(hint && { hint }), ...(auxiliary && { auxiliary: auxiliary.loss }) },
      updates: [...imported.updates, ...(auxiliary?.updates ?? [])],
    }
  }, optimizer)
}

/** Throws UserError where the detector cannot be trained: an operator without a gradient is in the way. Builds the step and drops it. */
export function assertTrainable(detector: Detector, batch: number, task: DetectorTask = multiboxTask(detector, batch)): void {
  detectorStep(detector, task, batch, { type: 'sgd', momentum: 0 })
}

/** Content of a model's initializer by name. */
export function initializerOf(model: Model): (name: string) => Tensor {
  const byName = new Map(model.graph.initializers.map((v) => [v.name, v.initializer!]))
  return (name) => {
    const t = byName.get(name)
    if (!t) throw new Error(`the model has no initializer "${name}"`)
    return t
  }
}

/** Trains on `train`; after each epoch measures on `val` (where given) and keeps the best epoch, else the last. */
export async function trainDetector(detector: Detector, train: ImageSource, val: ImageSource | undefined, options: TrainOptions): Promise<TrainResult> {
  const { batch, listener } = options
  const loader = loaderFor(train, detector.card, { batch, augment: options.augment, seed: `${options.seed}/train`, shuffle: true, dropLast: true, lastEpoch: options.epochs })
  const task = options.task ?? multiboxTask(detector, batch)
  const graph = detectorStep(detector, task, batch, options.optimizer)
  const own = initializerOf(detector.model)
  const step = await createTrainStep(options.runtime, graph, (name) => task.initializer?.(name) ?? own(name), options.session)
  const steps = options.epochs * loader.batches
  // A warm-up longer than a quarter of the way would never let the rate do its work.
  const schedule = { rate: options.rate, warmup: Math.min(options.warmup, Math.floor(steps / 4)), steps }
  let skipped: readonly SkippedImage[] = train.dataset.skipped
  const records: EpochRecord[] = []
  let best = { epoch: 0, AP: -Infinity, model: detector.model }
  let done = 0
  try {
    for (let epoch = 1; epoch <= options.epochs; epoch++) {
      const start = performance.now()
      listener?.({ type: 'phase', name: `epoch ${epoch}/${options.epochs}`, total: loader.batches, unit: 'steps' })
      const sums = { classification: 0, localization: 0, steps: 0 }
      for await (const data of loader.epoch(epoch)) {
        const metrics = await step.run(await task.feeds(data), cosineRate(done, schedule))
        done += 1
        sums.steps += 1
        sums.classification += metrics.classification!
        sums.localization += metrics.localization!
        listener?.({ type: 'progress', done: sums.steps, values: { loss: metrics.loss!, images: sums.steps * batch } })
      }
      const record = {
        epoch,
        classification: sums.classification / sums.steps,
        localization: sums.localization / sums.steps,
        seconds: (performance.now() - start) / 1000,
      }
      const model = val || epoch === options.epochs ? withWeights(detector.model, step.weights()) : undefined
      const score = val ? await evaluate({ ...detector, model: model! }, val, { runtime: options.runtime, session: options.session }) : undefined
      skipped = distinctImages([...skipped, ...loader.skipped, ...(score?.skipped ?? [])])
      records.push(score ? { ...record, AP: score.AP, AP50: score.AP50 } : record)
      if (model && (score?.AP ?? Infinity) > best.AP) best = { epoch, AP: score?.AP ?? Infinity, model }
      listener?.({ type: 'end', summary: epochLine(records.at(-1)!) })
    }
  } finally {
    await step.release()
  }
  return {
    detector: { ...detector, model: best.model },
    epochs: records,
    best: best.epoch,
    passes: done * batch,
    waitedSeconds: { first: loader.waitedMs.first / 1000, later: loader.waitedMs.later / 1000 },
    skipped,
  }
}

function epochLine(r: EpochRecord): string {
  const losses = `classification ${r.classification.toFixed(3)}, localization ${r.localization.toFixed(3)}, ${r.seconds.toFixed(0)} s`
  return r.AP === undefined ? losses : `${losses}, val AP ${r.AP.toFixed(3)} AP50 ${r.AP50!.toFixed(3)}`
}
