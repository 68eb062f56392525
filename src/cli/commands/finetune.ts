/** @file espalier finetune: a detector trained further. */
import { defineCommand } from '../command.ts'
import { openDetector } from '../open-model.ts'
import { dataFields, openData, openTrainingData, splitField } from '../open-source.ts'
import { chooseOptimizer } from '../optimizer-options.ts'
import { openRunFolder } from '../run-folder.ts'
import { sessionOptions } from '../session.ts'
import { runTraining } from '../train-run.ts'
import { outFields, trainingFields } from '../training-options.ts'

const defaults = { epochs: 8, lr: 0.005, warmup: 20 } as const

export default defineCommand({
  arguments: [['<model>', 'ONNX detector with a detector card']],
  fields: { ...dataFields, ...outFields, ...splitField, ...trainingFields(defaults) },
  examples: ['finetune runs/pruned/pruned.onnx --data data/bccd --epochs 8 --out runs/tuned'],
  details: 'Trains on split "train", keeps the epoch that is best on "val" (or the last: --keep), measures before and after on --split; writes RUN/model.onnx.',
  async run(options, [path = ''], context) {
    const optimizing = chooseOptimizer(options, 'labels', defaults)
    const run = await openRunFolder(options.out, { force: options.force, files: ['model.onnx'], command: `finetune ${path} ${JSON.stringify(options)}` })
    const { detector } = await openDetector(path, { session: sessionOptions(options, path), note: context.note })
    const data = await openData(options, context, run.log)
    const sources = await openTrainingData(data, { ...options, classes: detector.card.classes }, context)
    await runTraining({ detector, file: path, sources, options, optimizing, run, context, extra: { model: path }, measureBefore: true })
  },
})
