/** @file espalier train: a detector from seeded random weights, or on a classifier's. */
import { architectureNames, buildDetector } from '../../detection/models/architectures.ts'
import type { Model } from '../../ir/graph.ts'
import { loadBackbone } from '../../train/backbone.ts'
import { detectorOf } from '../../train/detector.ts'
import { multiboxTask } from '../../train/multibox.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { optionalNumber, requiredChoice, text } from '../fields.ts'
import { openModel } from '../open-model.ts'
import { dataFields, openData, openTrainingData, splitField } from '../open-source.ts'
import { chooseOptimizer } from '../optimizer-options.ts'
import { openRunFolder, type RunFolder } from '../run-folder.ts'
import { runTraining, trainingFiles } from '../train-run.ts'
import { outFields, trainingFields } from '../training-options.ts'

const defaults = { epochs: 25, lr: 0.01, warmup: 100 } as const

export default defineCommand({
  arguments: [],
  fields: {
    arch: requiredChoice(architectureNames, 'detector to build'),
    ...dataFields,
    ...outFields,
    ...splitField,
    size: optionalNumber('PIXELS', 'side of the network\'s input (default: the detector\'s own)', { whole: true, min: 64 }),
    weights: text('FILE', 'ONNX classifier whose weights start the trunk, matched by name and shape'),
    ...trainingFields(defaults),
  },
  examples: [
    'train --arch ssd300-resnet18 --data data/bccd --out runs/base',
    'train --arch ssd-small --data shapes --epochs 30 --out runs/shapes',
    'train --arch ssd300-resnet50 --weights resnet50.onnx --data data/voc --out runs/voc',
  ],
  details: 'Trains on split "train", keeps the epoch that is best on "val" (or the last: --keep), measures it on --split; writes RUN/model.onnx.',
  async run(options, _args, context) {
    const optimizing = chooseOptimizer(options, 'labels', defaults)
    const run = await openRunFolder(options.out, { force: options.force, files: trainingFiles, command: `train ${JSON.stringify(options)}` })
    const data = await openData(options, context, run.log)
    const sources = await openTrainingData(data, options, context)
    const fresh = buildDetector(options.arch, { classes: sources.train.dataset.classes, seed: options.seed, size: options.size })
    const backbone = options.weights === undefined ? undefined : await takeWeights(fresh, options.weights, context, run)
    const detector = detectorOf(backbone?.model ?? fresh, options.arch)
    await runTraining({ detector, task: multiboxTask(detector, options.batch), images: async () => sources, options, optimizing, run, context, extra: { backbone: backbone?.report }, measureBefore: false })
  },
})

async function takeWeights(fresh: Model, path: string, context: Context, run: RunFolder) {
  const loaded = loadBackbone(fresh, (await openModel(path)).model, path)
  const { matched, kept, unused, differ } = loaded.report
  const summary = `${path}: ${matched.length} weights taken over, ${kept.length} of the detector stay random, ${unused.length} of the classifier are not used`
  context.note(summary)
  run.log(summary)
  for (const text of differ) {
    context.note(text)
    run.log(text)
  }
  for (const { name, from } of matched) run.log(`weights: ${name} <- ${from}`)
  run.log(`weights: random ${kept.join(', ')}`)
  run.log(`weights: not used ${unused.join(', ')}`)
  return loaded
}
