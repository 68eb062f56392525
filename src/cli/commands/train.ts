/** @file espalier train: a detector from seeded random weights, or on a classifier's. */
import { architectureNames, buildDetector } from '../../detection/models/architectures.ts'
import { withFreshWeights } from '../../detection/models/fresh-weights.ts'
import type { Model } from '../../ir/graph.ts'
import { loadBackbone } from '../../train/backbone.ts'
import { UserError } from '../../tensor/error.ts'
import { type Detector, detectorOf } from '../../train/detector.ts'
import { multiboxTask } from '../../train/multibox.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { optionalChoice, optionalNumber, text } from '../fields.ts'
import { fileIdentity, openModel } from '../open-model.ts'
import { dataFields, openData, openTrainingData, splitField, trainSplitField } from '../open-source.ts'
import { chooseOptimizer } from '../optimizer-options.ts'
import { openRunFolder, type RunFolder } from '../run-folder.ts'
import { runTraining, trainingFiles } from '../train-run.ts'
import { outFields, trainingFields } from '../training-options.ts'

const defaults = { epochs: 25, lr: 0.01, warmup: 100 } as const

export default defineCommand({
  arguments: [],
  fields: {
    arch: optionalChoice(architectureNames, 'detector to build'),
    like: text('FILE', 'in place of --arch: a detector made by this command, pruned as it may be, whose shape is trained from fresh random weights'),
    ...dataFields,
    ...outFields,
    ...splitField,
    ...trainSplitField,
    size: optionalNumber('PIXELS', 'side of the network\'s input (default: the detector\'s own)', { whole: true, min: 64 }),
    weights: text('FILE', 'ONNX classifier whose weights start the trunk, matched by name and shape'),
    ...trainingFields(defaults),
  },
  examples: [
    'train --arch ssd300-resnet18 --data data/bccd --out runs/base',
    'train --arch ssd-small --data shapes --epochs 30 --out runs/shapes',
    'train --like runs/pruned/pruned.onnx --data data/bccd --epochs 35 --out runs/scratch',
    'train --arch ssd300-resnet50 --weights resnet50.onnx --data data/voc --out runs/voc',
  ],
  details: 'Trains on split "train", keeps the epoch that is best on "val" (or the last: --keep), measures it on --split; writes RUN/model.onnx.',
  async run(options, _args, context) {
    const shape = shapeOf(options)
    const optimizing = chooseOptimizer(options, 'labels', defaults)
    const run = await openRunFolder(options.out, { force: options.force, files: trainingFiles, command: `train ${JSON.stringify(options)}` })
    const data = await openData(options, context, run.log)
    const like = shape.like === undefined ? undefined : await freshLike(shape.like, options.seed)
    const sources = await openTrainingData(data, { ...options, classes: like?.card.classes }, context)
    const fresh = like?.model ?? buildDetector(shape.arch!, { classes: sources.train.dataset.classes, seed: options.seed, size: options.size })
    const backbone = options.weights === undefined ? undefined : await takeWeights(fresh, options.weights, context, run)
    const detector = detectorOf(backbone?.model ?? fresh, (shape.arch ?? shape.like)!)
    const extra = { backbone: backbone?.report, ...(shape.like !== undefined && { like: shape.like, modelSha256: (await fileIdentity(shape.like)).sha256 }) }
    await runTraining({ detector, task: multiboxTask(detector, options.batch), images: async () => sources, options, optimizing, run, context, extra, measureBefore: false })
  },
})

/** Throws UserError unless one of the two says what is to be built. */
function shapeOf({ arch, like, size }: { readonly arch?: string; readonly like?: string; readonly size?: number }): { readonly arch?: string; readonly like?: string } {
  if ((arch === undefined) === (like === undefined)) throw new UserError(`${arch === undefined ? 'neither --arch nor --like is given' : '--arch and --like are both given'}; give one of them, for instance --arch ${architectureNames[0]!}`)
  if (like !== undefined && size !== undefined) throw new UserError('--size has no meaning with --like, whose file has a size; leave it out')
  return { arch, like }
}

async function freshLike(path: string, seed: number): Promise<Detector> {
  return detectorOf(withFreshWeights((await openModel(path)).model, seed, path), path)
}

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
