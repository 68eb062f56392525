/** @file The images that prune works on: those of --data, those beside them, and whose boxes count in them. */
import { resolve } from 'node:path'
import { everything } from '../data/files.ts'
import { foreignClasses, mapClasses } from '../data/open.ts'
import type { Dataset } from '../detection/annotation.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import type { DetectOptions } from '../train/evaluate.ts'
import { labelByDetector } from '../train/pseudo-labels.ts'
import type { ImageSource } from '../train/source.ts'
import type { Context } from './context.ts'
import { texts } from './fields.ts'
import { type DataOptions, openData, openTrainingData, type TrainingData, type TrainingDataOptions } from './open-source.ts'

export const moreImagesField = {
  moreImages: texts('DIR', 'a further folder to train on: the split "train" of a labelled one, else all; or images alone, with --labels teacher or --follow teacher; may be given again'),
}

export interface PruneImages {
  /** As the files have them. Where the detector labels them, their own boxes mean nothing. */
  readonly sources: TrainingData
  /** Whose boxes AP is measured against. */
  readonly labels: 'data' | 'teacher'
  /** The sources with the boxes that count; the detector runs over those of `parts` that it labels. */
  label(parts: { readonly train: boolean; readonly measured: boolean }, options: DetectOptions): Promise<TrainingData>
}

export interface PruneImagesRequest {
  readonly detector: Detector
  readonly options: DataOptions & { readonly split?: string; readonly trainSplit?: string; readonly batch: number; readonly moreImages?: readonly string[] }
  /** Score from which detections of the unpruned detector are labels; undefined: the data labels itself. */
  readonly threshold: number | undefined
  /** Training reads the boxes: it follows the labels, not the teacher. */
  readonly readsLabels: boolean
  /** Which epoch will be kept. */
  readonly keep: TrainingDataOptions['keep']
  readonly context: Context
  readonly log: (text: string) => void
}

const remedy = 'give --labels teacher to have them labelled by the unpruned detector'

/** Opens all folders and finds what cannot be done with them; labels nothing yet. */
export async function openPruneImages(request: PruneImagesRequest): Promise<PruneImages> {
  const { detector, options, threshold, context, log } = request
  const { classes } = detector.card
  const tell = (text: string): void => {
    context.note(text)
    log(text)
  }
  const byTeacher = threshold !== undefined
  const data = await openData(options, context, log, byTeacher, remedy)
  const more: ImageSource[] = []
  for (const folder of options.moreImages ?? []) more.push(await openMore(folder, request, tell))
  const sources = await openTrainingData(data, { ...options, classes: byTeacher ? 'own' : classes, more, keep: request.keep }, context)
  tellShared(sources, more, tell)
  if (!byTeacher) return { sources, labels: 'data', label: async () => sources }

  const { train, val, test } = sources
  // One cause for both: the epoch is chosen by what is measured at the end.
  const unfit = [test, val].flatMap((source) => (source ? (unfitFor(source.dataset, classes) ?? []) : []))[0]
  const from = `the unpruned detector's own detections scored ${threshold} or higher`
  if (unfit !== undefined) tell(`${options.data}: ${unfit}, so split "${test.dataset.split}" is labelled with ${from}: AP is agreement with the unpruned detector, not with the truth`)
  return {
    sources,
    labels: unfit === undefined ? 'data' : 'teacher',
    async label(parts, detect) {
      const teach = async (source: ImageSource): Promise<ImageSource> => {
        const labelled = await labelByDetector(detector, source, threshold, detect)
        tell(`split "${labelled.dataset.split}": ${countBoxes(labelled.dataset)}: ${from}`)
        return labelled
      }
      const measure = async (source: ImageSource): Promise<ImageSource> => {
        if (unfit === undefined) return { ...source, dataset: mapClasses(source.dataset, classes) }
        return parts.measured ? teach(source) : source
      }
      const labelled = { train: parts.train ? await teach(train) : train, test: await measure(test) }
      // Often the split to measure on is "val" itself.
      const same = val?.dataset.split === test.dataset.split
      return { ...labelled, val: same ? labelled.test : val && await measure(val) }
    },
  }
}

/** The images of a further folder, in the model's classes unless the detector labels them. */
async function openMore(folder: string, { detector, options, threshold, readsLabels, context, log }: PruneImagesRequest, tell: (text: string) => void): Promise<ImageSource> {
  const data = await openData({ data: folder, limit: options.limit }, context, log, true)
  const source = await data.open(data.splits.includes('train') ? 'train' : everything)
  const { dataset } = source
  const unlabelled = dataset.classes.length === 0
  if (threshold === undefined && unlabelled && readsLabels) throw new UserError(`${folder}: its images have no labels, and training follows labels; ${remedy}, or --follow teacher to train without labels`)
  tell(`${folder}: ${dataset.samples.length} images${unlabelled ? ' without labels' : ''} of split "${dataset.split}" are trained on too`)
  if (threshold !== undefined || unlabelled) return source
  return { ...source, dataset: mapClasses(dataset, detector.card.classes, `${remedy}, or name a folder of the images alone`) }
}

/** Says so where further images are measured on. */
function tellShared({ test }: TrainingData, more: readonly ImageSource[], tell: (text: string) => void): void {
  const measured = new Set(test.dataset.samples.map((sample) => resolve(sample.path)))
  const shared = more.flatMap((source) => source.dataset.samples).filter((sample) => measured.has(resolve(sample.path)))
  if (shared.length > 0) tell(`${shared.length} images of --more-images are measured on too (${shared[0]!.path}): the numbers say little of new images`)
}

/** Why AP cannot be measured against the labels of a data set, if it cannot. */
function unfitFor(dataset: Dataset, classes: readonly string[]): string | undefined {
  if (dataset.classes.length === 0) return 'has no labels'
  const foreign = foreignClasses(dataset, classes)
  const named = foreign.length > 3 ? `${foreign.slice(0, 3).join(', ')} and ${foreign.length - 3} more` : foreign.join(', ')
  return foreign.length > 0 ? `its ${foreign.length === 1 ? 'class' : 'classes'} ${named} ${foreign.length === 1 ? 'is' : 'are'} unknown to the model` : undefined
}

function countBoxes({ samples }: Dataset): string {
  const counts = samples.map(({ truth }) => truth.labels.length)
  return `${counts.reduce((sum, n) => sum + n, 0)} boxes in ${counts.filter((n) => n > 0).length} of ${samples.length} images`
}
