/** @file A trained detector that an experiment is given: measured, and kept beside what was found in the images. */
import { saveModel } from '../onnx/save.ts'
import { modelCost } from '../passes/cost.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { nodeStore } from '../storage/node.ts'
import type { Options } from '../experiment/spec.ts'
import { evaluate } from '../train/evaluate.ts'
import type { Context } from './context.ts'
import { detectionsFile } from './detections.ts'
import { allSkipped, evaluationJson, skippedJson, tellSkipped } from './measures.ts'
import { fileIdentity, openDetector } from './open-model.ts'
import { openData } from './open-source.ts'
import { both, openRunFolder, versionsOf } from './run-folder.ts'
import { sessionOptions } from './session.ts'
import { trainingFiles } from './train-run.ts'

interface GivenOptions {
  readonly data: string
  readonly out: string
  readonly force: boolean
  readonly limit?: number
  readonly split?: string
  readonly threads?: number
  readonly ep?: Parameters<typeof versionsOf>[0]['ep']
  readonly seed?: number
}

/** Writes a folder as `train` does, of a detector that is trained already. */
export async function measureGiven(file: string, asked: Options, context: Context): Promise<void> {
  const options = asked as Options & GivenOptions
  const session = sessionOptions({ threads: options.threads, ep: options.ep }, file)
  const run = await openRunFolder(options.out, { force: options.force, files: trainingFiles, command: `measure ${file} ${JSON.stringify(options)}` })
  const { detector, unfolded } = await openDetector(file, { session, note: context.note })
  const source = await (await openData(options, context, run.log)).open(options.split, detector.card.classes)
  await run.during(async () => {
    const start = performance.now()
    const found = await evaluate(detector, source, { runtime: nodeRuntime, session, listener: both(context.listener, run.listener) })
    const skipped = allSkipped(source.dataset.skipped, found.skipped)
    tellSkipped(skipped, context, run.log)
    const { classes } = detector.card
    const json = { ...modelCost(detector.model), ...evaluationJson(found, classes), ...skippedJson(skipped), passes: 0, seconds: (performance.now() - start) / 1000 }
    const record = { ...json, model: file, modelSha256: (await fileIdentity(file)).sha256, method: 'given', arch: detector.card.architecture, data: options.data, split: source.dataset.split, seed: options.seed, options, versions: await versionsOf({ ep: options.ep }) }
    await run.finish({ 'model.onnx': (to) => saveModel(nodeStore(), to, unfolded), ...detectionsFile(found, record.split, classes) }, record)
  })
}
