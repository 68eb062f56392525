/** @file What train and finetune share: train, measure, write the run. */
import { saveModel } from '../onnx/save.ts'
import { detectionsName } from '../metrics/detections-file.ts'
import { modelCost } from '../passes/cost.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { nodeStore } from '../storage/node.ts'
import type { Detector } from '../train/detector.ts'
import { evaluate } from '../train/evaluate.ts'
import type { DetectorTask } from '../train/task.ts'
import { assertTrainable, trainDetector } from '../train/train.ts'
import type { CommonOptions } from './command.ts'
import type { Context } from './context.ts'
import { detectionsFile } from './detections.ts'
import type { OptionsOf } from './fields.ts'
import { allSkipped, costTable, evaluationJson, skippedJson, tellSkipped, waitedJson } from './measures.ts'
import { type DataOptions, skippedOf, type TrainingData } from './open-source.ts'
import type { OptimizerChoice } from './optimizer-options.ts'
import { both, type RunFolder, versionsOf } from './run-folder.ts'
import { sessionOptions } from './session.ts'
import { augmentOf, type trainingFields } from './training-options.ts'

/** What train and finetune write beside the record and the log. */
export const trainingFiles = ['model.onnx', 'model.onnx.data', detectionsName]

export interface TrainingRun {
  readonly detector: Detector
  /** Names the model in errors: its file, where it has one. */
  readonly file?: string
  /** What is trained for; released at the end. */
  readonly task: DetectorTask
  /** The images with the boxes that count; asked for once, when the work starts. */
  readonly images: () => Promise<TrainingData>
  readonly options: OptionsOf<ReturnType<typeof trainingFields>> & CommonOptions & DataOptions & { readonly out: string }
  /** What the options come to. */
  readonly optimizing: OptimizerChoice
  readonly run: RunFolder
  readonly context: Context
  /** Added to run.json. */
  readonly extra: object
  /** Whose boxes AP is measured against, where not the data's. */
  readonly against?: string
  /** Also measure the detector as it comes. */
  readonly measureBefore: boolean
}

export async function runTraining(request: TrainingRun): Promise<void> {
  assertTrainable(request.detector, request.options.batch, request.task)
  return request.run.during(() => train(request).finally(() => request.task.release()))
}

async function train({ detector, file, task, images, options, optimizing, run, context, extra, against, measureBefore }: TrainingRun): Promise<void> {
  const start = performance.now()
  const sources = await images()
  const listener = both(context.listener, run.listener)
  const session = sessionOptions(options, file)
  const measure = async (d: Detector) => ({ ...modelCost(d.model), ...(await evaluate(d, sources.test, { runtime: nodeRuntime, session, listener })) })
  const before = measureBefore ? await measure(detector) : undefined
  const result = await trainDetector(detector, sources.train, sources.val, {
    runtime: nodeRuntime,
    session,
    task,
    epochs: options.epochs,
    batch: options.batch,
    ...optimizing,
    warmup: options.warmup,
    augment: augmentOf(options),
    seed: options.seed,
    listener,
  })
  const after = await measure(result.detector)
  const skipped = allSkipped(...skippedOf(sources), before?.skipped ?? [], result.skipped, after.skipped)
  tellSkipped(skipped, context, run.log)
  const { classes } = detector.card
  const json = {
    params: after.params,
    macs: after.macs,
    ...evaluationJson(after, classes),
    ...skippedJson(skipped),
    ...(before && { before: evaluationJson(before, classes) }),
    epochs: result.epochs,
    bestEpoch: result.best,
    passes: result.passes,
    ...waitedJson(result.waitedSeconds),
    seconds: (performance.now() - start) / 1000,
  }
  const record = { ...json, ...optimizing, ...extra, method: measureBefore ? 'finetune' : 'train', arch: detector.card.architecture, data: options.data, split: sources.test.dataset.split, seed: options.seed, options, versions: await versionsOf(options) }
  await run.finish({ 'model.onnx': (path) => saveModel(nodeStore(), path, result.detector.model), ...detectionsFile(after, record.split, classes) }, record)
  const rows = { ...(before && { before }), after }
  context.result(json, `${costTable(rows)}\n\nepoch ${result.best} of ${result.epochs.length} kept, measured on split "${sources.test.dataset.split}"${against === undefined ? '' : ` against ${against}`}; written to ${run.path}`)
}
