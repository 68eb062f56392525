/** @file espalier finetune: a detector trained further, on labels or after the detector that it was cut from. */
import { nodeRuntime } from '../../runtime/node.ts'
import type { Detector } from '../../train/detector.ts'
import { type CommonOptions, defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { cardRequest, detectorFields } from '../detector-options.ts'
import type { OptionsOf } from '../fields.ts'
import { finetuneTask, finetuneTeacherFields, openTeacher, refuseUntaught } from '../finetune-teacher.ts'
import { fileIdentity, openDetector } from '../open-model.ts'
import { dataFields, openData, openTrainingData, splitField, trainSplitField, type TrainingData } from '../open-source.ts'
import { chooseOptimizer } from '../optimizer-options.ts'
import { openPruneImages } from '../prune-sources.ts'
import { both, openRunFolder, type RunFolder } from '../run-folder.ts'
import { sessionOptions } from '../session.ts'
import { labelThresholdOf } from '../teacher-options.ts'
import { runTraining, trainingFiles } from '../train-run.ts'
import { outFields, trainingFields } from '../training-options.ts'

const defaults = { epochs: 8, lr: 0.005, warmup: 20 } as const
const fields = { ...dataFields, ...outFields, ...splitField, ...trainSplitField, ...detectorFields, ...finetuneTeacherFields, ...trainingFields(defaults) }

type Options = OptionsOf<typeof fields> & CommonOptions

export default defineCommand({
  arguments: [['<model>', 'ONNX detector']],
  fields,
  examples: [
    'finetune runs/pruned/pruned.onnx --data data/bccd --epochs 8 --out runs/tuned',
    'finetune runs/yolox/pruned.onnx --teacher yolox_nano.onnx --data data/coco128 --epochs 20 --out runs/tuned',
    'finetune runs/faces/pruned.onnx --teacher faces.onnx --labels teacher --data photos --out runs/tuned',
  ],
  details: 'Trains on split "train", keeps the epoch that is best on "val" (or the last: --keep), measures before and after on --split; writes RUN/model.onnx.',
  async run(options, [path = ''], context, given) {
    refuseUntaught(options, given)
    const optimizing = chooseOptimizer(options, options.teacher === undefined ? 'labels' : 'teacher', defaults)
    const run = await openRunFolder(options.out, { force: options.force, files: trainingFiles, command: `finetune ${path} ${JSON.stringify(options)}` })
    const request = await cardRequest(options)
    const { detector } = await openDetector(path, { request, session: sessionOptions(options, path), note: context.note })
    const teacher = options.teacher === undefined ? undefined : await openTeacher(options.teacher, detector, path, options, request, context.note)
    const task = finetuneTask(detector, path, teacher, options)
    const { labels, images } = await openImages(detector, teacher, options, run, context)
    await runTraining({
      detector, file: path, task, images, options, optimizing, run, context,
      extra: { model: path, modelSha256: (await fileIdentity(path)).sha256, teacher: options.teacher, labels },
      against: labels === 'teacher' ? 'the teacher\'s own detections' : undefined,
      measureBefore: true,
    })
  },
})

/** A teacher may label what is measured; what is trained on needs no labels then. */
async function openImages(detector: Detector, teacher: Detector | undefined, options: Options, run: RunFolder, context: Context): Promise<{ readonly labels: 'data' | 'teacher'; readonly images: () => Promise<TrainingData> }> {
  if (!teacher) {
    const sources = await openTrainingData(await openData(options, context, run.log), { ...options, classes: detector.card.classes }, context)
    return { labels: 'data', images: async () => sources }
  }
  const opened = await openPruneImages({ detector: teacher, options, threshold: labelThresholdOf(options, teacher.card), readsLabels: false, keep: options.keep, context, log: run.log })
  const detect = { runtime: nodeRuntime, session: sessionOptions(options, options.teacher), listener: both(context.listener, run.listener) }
  return { labels: opened.labels, images: () => opened.label({ train: false, measured: true }, detect) }
}
