/** @file espalier demo: the whole way on built-in images, in minutes. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { augmentPresets } from '../../data/augment.ts'
import { buildDetector } from '../../detection/models/architectures.ts'
import { saveModel } from '../../onnx/save.ts'
import { criterionNamed } from '../../pruning/criteria/registry.ts'
import { lcpDefaults } from '../../pruning/lcp/options.ts'
import type { Measured } from '../../pruning/prune.ts'
import { nodeRuntime } from '../../runtime/node.ts'
import { nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { detectorOf } from '../../train/detector.ts'
import { trainDetector } from '../../train/train.ts'
import { type CommonOptions, defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { flag, number, type OptionsOf, optionalNumber, text } from '../fields.ts'
import { fileIdentity, openDetector } from '../open-model.ts'
import { type Data, openData, openTrainingData, type TrainingData } from '../open-source.ts'
import { chooseOptimizer } from '../optimizer-options.ts'
import { runPruning } from '../prune-run.ts'
import { both, openRunFolder, type RunFolder, versionsOf } from '../run-folder.ts'
import { sessionOptions } from '../session.ts'
import { amount, score, table } from '../table.ts'
import { benchModels, compare, machine } from './bench.ts'

/** The detector that comes with the package. */
const shipped = fileURLToPath(new URL('../../../assets/shapes-detector.onnx', import.meta.url))
const architecture = 'ssd-small'
const batch = 8

const fields = {
  fromScratch: flag('first train the detector, and put it in the place of the one that comes with the package'),
  epochs: number('N', 'epochs of that training', 40, { whole: true, min: 1 }),
  finetuneEpochs: number('N', 'epochs of training after the cut', 6, { whole: true, min: 0 }),
  limit: optionalNumber('N', 'only the first N images of each split', { whole: true, min: 8 }),
  out: text('RUN', 'folder of the run (default: runs/demo, replaced every time)'),
  force: flag('replace a run that is in the folder already'),
}

type Options = OptionsOf<typeof fields> & CommonOptions

export default defineCommand({
  arguments: [],
  fields,
  examples: ['demo', 'demo --from-scratch', 'demo --out runs/mine --json'],
  details: 'Measures a small detector on drawn shapes, prunes half of its parameters with lcp, trains it further and compares.',
  async run(options, _args, context) {
    const out = options.out ?? 'runs/demo'
    const run = await openRunFolder(out, { force: options.force || options.out === undefined, files: ['pruned.onnx', 'plan.json'], command: `demo ${JSON.stringify(options)}` })
    if (!options.fromScratch && !existsSync(shipped)) throw new UserError(`${shipped}: the detector of the demo is missing; make it with "espalier demo --from-scratch"`)
    const data = await openData({ data: 'shapes', limit: options.limit }, context)
    await run.during(async () => {
      if (options.fromScratch) await trainShipped(options, await openTrainingData(data, { batch }, context), run, context)
      await measureAndPrune(options, data, run, context)
    })
  },
})

async function measureAndPrune(options: Options, data: Data, run: RunFolder, context: Context): Promise<void> {
  const { detector, unfolded } = await openDetector(shipped)
  const sources = await openTrainingData(data, { batch, classes: detector.card.classes }, context)
  const session = sessionOptions(options)
  const pruned = await runPruning({
    detector,
    unfolded,
    file: shipped,
    identity: await fileIdentity(shipped),
    sources,
    context,
    log: run.log,
    pruning: {
      runtime: nodeRuntime,
      session,
      criterion: criterionNamed('lcp'),
      budget: { removeParams: 0.5, round: 8, groups: 'inner' },
      lcp: lcpDefaults,
      finetune: { epochs: options.finetuneEpochs, batch, ...chooseOptimizer({}, 'labels', { lr: 0.005, clip: 10 }), warmup: 20 },
      augment: augmentPresets.light,
      seed: options.seed,
      listener: both(context.listener, run.listener),
    },
  })
  const { before, after, detector: smaller } = pruned.result
  context.note('measuring latency')
  const rows = await benchModels([{ file: 'before', model: detector.model }, { file: 'after', model: smaller.model }], { runs: 100, warmup: 20, seed: options.seed, session }, context)
  const json = { ...pruned.json, bench: { models: rows, ...compare(rows), machine: await machine(options) } }
  const record = { ...json, ...pruned.details, model: shipped, method: 'lcp', arch: architecture, data: 'shapes', seed: options.seed, options, versions: await versionsOf(options) }
  await run.finish({
    'pruned.onnx': (target) => saveModel(nodeStore(), target, smaller.model),
    'plan.json': `${JSON.stringify(pruned.plan)}\n`,
  }, record)
  const line = (name: string, m: Measured, i: number): string[] => [name, amount(m.params), amount(m.macs), score(m.AP), score(m.AP50), `${rows[i]!.medianMs.toFixed(2)} ms`]
  context.result(json, `${table(['', 'params', 'MACs', 'AP', 'AP50', 'latency'], [line('before', before, 0), line('after', after, 1)])}\n\nThe run is in ${run.path}.`)
}

/** Trains the demo's detector and writes it to the package's own place. */
async function trainShipped(options: Options, sources: TrainingData, run: RunFolder, context: Context): Promise<void> {
  const fresh = buildDetector(architecture, { classes: sources.train.dataset.classes, seed: options.seed })
  const result = await trainDetector(detectorOf(fresh, architecture), sources.train, sources.val, {
    runtime: nodeRuntime,
    session: sessionOptions(options),
    epochs: options.epochs,
    batch,
    warmup: 100,
    ...chooseOptimizer({}, 'labels', { lr: 0.01, clip: 10 }),
    augment: augmentPresets.light,
    seed: options.seed,
    listener: both(context.listener, run.listener),
  })
  await saveModel(nodeStore(), shipped, result.detector.model)
  run.log(`${shipped}: written, epoch ${result.best} of ${result.epochs.length}`)
}
