/** @file Opens models and images again for the sample images of a report. */
import { writeCard } from '../detection/card.ts'
import { loadModel } from '../onnx/load.ts'
import { foldConstants } from '../passes/fold-constants.ts'
import type { ReportRun } from '../report/record.ts'
import type { SampleSet } from '../report/samples.ts'
import { sampleSet } from '../report/samples-node.ts'
import { variantsOf } from '../report/variants.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { type Detector, detectorOf } from '../train/detector.ts'
import type { ImageSource } from '../train/source.ts'
import type { CommonOptions } from './command.ts'
import type { Context } from './context.ts'
import { openData } from './open-source.ts'
import { sessionOptions } from './session.ts'

interface SampleOptions extends CommonOptions {
  readonly samples: number
  readonly sampleImages: number
  readonly threshold: number
  readonly data?: string
}

/** Pictures of the first run of every method. What is not there is a reason, not an error: the rest of the page does without. */
export async function reportSamples(runs: readonly ReportRun[], options: SampleOptions, context: Context): Promise<SampleSet[]> {
  const sets: SampleSet[] = []
  for (const { runs: [first] } of variantsOf(runs)) sets.push(await samplesOf(first!, options, context))
  return sets
}

async function samplesOf(run: ReportRun, options: SampleOptions, context: Context): Promise<SampleSet> {
  try {
    const after = await detectorAfter(run)
    const before = await detectorBefore(run, after)
    return await sampleSet({
      run: run.name,
      after,
      ...(before && { before }),
      source: await imagesOf(run, after, options, context),
      runtime: nodeRuntime,
      session: sessionOptions(options, run.path),
      listener: context.listener,
      count: options.samples,
      threshold: options.threshold,
    })
  } catch (error) {
    if (error instanceof UserError) return { run: run.name, why: error.message }
    throw error
  }
}

async function detectorAfter(run: ReportRun): Promise<Detector> {
  const file = await modelFile(run)
  return detectorOf(foldConstants(await loadModel(nodeStore(), file)), file)
}

/** The model that a run wrote. Throws UserError where it is gone. */
export async function modelFile({ path }: ReportRun): Promise<string> {
  for (const name of ['pruned.onnx', 'model.onnx']) {
    if (await nodeStore().stat(`${path}/${name}`)) return `${path}/${name}`
  }
  throw new UserError(`${path}: has neither pruned.onnx nor model.onnx; keep the model in the folder of its run`)
}

/** The model that the run started from; its outputs are read as those of the model at the end. */
async function detectorBefore({ record }: ReportRun, after: Detector): Promise<Detector | undefined> {
  if (record.model === null || record.model === undefined) return undefined
  const model = foldConstants(await loadModel(nodeStore(), record.model))
  writeCard(model.metadata, after.card)
  return detectorOf(model, record.model)
}

async function imagesOf({ path, record }: ReportRun, { card }: Detector, { data, sampleImages }: SampleOptions, context: Context): Promise<ImageSource> {
  const folder = data ?? record.data
  if (folder === null || folder === undefined) throw new UserError(`${path}: the run had no images; name the folder of some with --data`)
  const opened = await openData({ data: folder, limit: sampleImages }, { ...context, note: () => {} })
  return opened.open(record.split, card.classes)
}
