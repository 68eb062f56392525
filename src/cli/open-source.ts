/** @file Opens what --data names: a folder of labelled images, or the built-in `shapes`. */
import { imageReader, readSample } from '../data/codec.ts'
import { everything, noneReadable } from '../data/files.ts'
import { imageSize, nodeCodec } from '../data/image-node.ts'
import { pixelsApart } from '../data/pixels-node.ts'
import { defaultSplit, listSplits, mapClasses, openDataset } from '../data/open.ts'
import { shapesCount, shapesCounts, shapesDataset } from '../data/shapes.ts'
import type { SkippedImage } from '../detection/annotation.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { firstSamples } from '../train/evaluate.ts'
import { type ImageSource, joinSources } from '../train/source.ts'
import type { Context } from './context.ts'
import { optionalNumber, required, text } from './fields.ts'

/** Options of every command that reads labelled images. */
export const dataFields = {
  data: required('DIR', 'folder of labelled images (VOC, COCO or YOLO), or the word "shapes" for the built-in drawings'),
  limit: optionalNumber('N', 'only the first N images of each split', { whole: true, min: 1 }),
}

export const splitField = { split: text('NAME', 'split to measure on (default: test, else val, else all)') }

/** Of commands that train. */
export const trainSplitField = { trainSplit: text('NAME', 'split to train on (default: train, else all)') }

/** The word that stands for the built-in data set, and its fixed seed: the same images for everyone. */
export const shapesName = 'shapes'
const shapesSeed = 0
const shapesSplits = Object.keys(shapesCounts)

/** Problems told one by one; the log has them all. */
const toldProblems = 10

export interface Data {
  readonly splits: readonly string[]
  /** Opens a split (default: test, else val, else all); `classes`: the labels count in these, by name. */
  open(split: string | undefined, classes?: readonly string[]): Promise<ImageSource>
}

export interface DataOptions {
  readonly data: string
  readonly limit?: number
}

/**
 * Recognises the data set; where labels are not needed, a folder of images will do. What is wrong with its files goes to stderr (the first
 * ten) and to `log` (all). `remedy`: what else the user may do where labels are missing, or are of classes that are unknown.
 */
export async function openData(options: DataOptions, context: Context, log: (text: string) => void = () => {}, unlabelled = false, remedy?: string): Promise<Data> {
  if (options.data === shapesName) return builtIn(options.limit, remedy)
  const store = nodeStore()
  const root = options.data
  const splits = await listSplits(store, root, { unlabelled, remedy })
  return {
    splits,
    async open(split, classes) {
      const read = await openDataset(store, root, { split, imageSize, unlabelled, remedy })
      tellProblems(read.problems, context, log)
      const mapped = classes ? mapClasses(read, classes, remedy) : read
      const dataset = options.limit === undefined ? mapped : firstSamples(mapped, options.limit)
      return { dataset, readImage: imageReader(store, nodeCodec), cropResize: nodeCodec.cropResize, pixels: pixelsApart }
    },
  }
}

function builtIn(limit = Infinity, remedy?: string): Data {
  return {
    splits: shapesSplits,
    async open(split = defaultSplit(shapesSplits), classes) {
      // Fewer images are the same ones: each is drawn from its own number.
      const all = shapesCount(split)
      const shapes = shapesDataset({ seed: shapesSeed, split, count: all && Math.min(limit, all) })
      const dataset = classes ? mapClasses(shapes.dataset, classes, remedy) : shapes.dataset
      return { dataset, readImage: async (sample) => shapes.image(sample), cropResize: nodeCodec.cropResize }
    },
  }
}

function tellProblems(problems: readonly string[], context: Context, log: (text: string) => void): void {
  for (const problem of problems.slice(0, toldProblems)) context.note(problem)
  if (problems.length > toldProblems) context.note(`... and ${problems.length - toldProblems} more problems in the data`)
  for (const problem of problems) log(problem)
}

export interface TrainingData {
  readonly train: ImageSource
  readonly val?: ImageSource
  readonly test: ImageSource
}

export interface TrainingDataOptions {
  /** Split to measure on. */
  readonly split?: string
  /** Split to train on; default: "train" where the data has one, else all. */
  readonly trainSplit?: string
  readonly batch: number
  /** The model's, which all labels count in; "own": each split has its own; default: those of the training images. */
  readonly classes?: readonly string[] | 'own'
  /** Images to train on beside the data's. */
  readonly more?: readonly ImageSource[]
  /** Which epoch will be kept; default: the best on "val". For the last, "val" is not opened. */
  readonly keep?: 'best' | 'last'
}

/** The three roles of splits: to train on, to choose the epoch by, to measure with. Says so where one split has two roles. */
export async function openTrainingData(data: Data, { split, trainSplit, batch, classes, more = [], keep = 'best' }: TrainingDataOptions, context: Context): Promise<TrainingData> {
  const hasTrain = trainSplit !== undefined || data.splits.includes('train')
  const named = classes === 'own' ? undefined : classes
  const own = await data.open(trainSplit ?? (hasTrain ? 'train' : everything), named)
  const train = joinSources(own, ...more)
  const images = train.dataset.samples.length
  if (images < batch) throw new UserError(`split "${train.dataset.split}" has ${images} images, less than a batch of ${batch}; choose a smaller --batch`)
  const known = classes === 'own' ? undefined : (named ?? own.dataset.classes)
  const val = keep === 'best' && data.splits.includes('val') ? await data.open('val', known) : undefined
  const test = await data.open(split, known)
  if (!hasTrain) context.note(`the data has no split "train": all ${own.dataset.samples.length} images are trained on`)
  if (test.dataset.split === train.dataset.split) context.note(`measured on split "${test.dataset.split}", which is also trained on: the numbers say nothing of new images`)
  else if (hasTrain && test.dataset.split === everything) context.note('measured on all images, those that are trained on among them: the numbers say little of new images')
  else if (test.dataset.split === val?.dataset.split) context.note('measured on split "val", by which the best epoch is chosen too')
  if (trainSplit !== undefined) tellOverlaps(own, [test, val], context)
  for (const source of [own, ...more, val, test]) if (source) await assertReadable(source)
  return { train, val, test }
}

/** Splits that are named may hold the same images: VOC's "trainval" holds "val". */
function tellOverlaps(train: ImageSource, others: readonly (ImageSource | undefined)[], context: Context): void {
  const trained = new Set(train.dataset.samples.map((s) => s.path))
  const told = new Set([train.dataset.split, everything])
  for (const source of others) {
    if (!source || told.has(source.dataset.split)) continue
    told.add(source.dataset.split)
    const shared = source.dataset.samples.filter((s) => trained.has(s.path)).length
    if (shared > 0) context.note(`${shared} of the ${source.dataset.samples.length} images of split "${source.dataset.split}" are trained on too, in split "${train.dataset.split}": the numbers say little of new images; --keep last (--finetune-keep last) chooses no epoch by them`)
  }
}

/** Throws UserError unless some image of the split can be used: found out before hours of training, not after. */
async function assertReadable({ dataset, readImage }: ImageSource): Promise<void> {
  const skipped: SkippedImage[] = []
  for (const sample of dataset.samples) {
    try {
      await readSample(readImage, sample)
      return
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      skipped.push({ path: sample.path, reason: error.message })
    }
  }
  throw noneReadable(dataset.split, [...dataset.skipped, ...skipped])
}

/** What the readers of the splits could not use. */
export function skippedOf({ train, val, test }: TrainingData): (readonly SkippedImage[])[] {
  return [train, val, test].map((source) => source?.dataset.skipped ?? [])
}
