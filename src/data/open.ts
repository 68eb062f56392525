/** @file Opening a folder of labelled images: the format is recognised by what is in the folder. */
import type { Dataset, GroundTruth } from '../detection/annotation.ts'
import { canonicalClass } from '../detection/class-names.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { cocoSplitName, cocoSplits, isCoco, readCoco } from './coco.ts'
import { everything, isFolder, join, noneReadable, type ImageSize, type ReadOptions } from './files.ts'
import { isImages, readImages } from './images.ts'
import { isVoc, isVocYears, readVoc, readVocYears, vocSplits, vocYearsSplits } from './voc.ts'
import { isYolo, readYolo, yoloSplits } from './yolo.ts'

/** A format: how a folder of it looks, its splits, its reader. */
interface Format {
  readonly is: (store: Store, base: string) => Promise<boolean>
  readonly splits: (store: Store, base: string) => Promise<string[]>
  readonly splitName?: (store: Store, base: string, split: string) => Promise<string>
  readonly read: (options: ReadOptions) => Promise<Dataset>
}

const formats: readonly Format[] = [
  { is: isVoc, splits: vocSplits, read: readVoc },
  { is: isVocYears, splits: vocYearsSplits, read: readVocYears },
  { is: isCoco, splits: cocoSplits, splitName: cocoSplitName, read: readCoco },
  { is: isYolo, splits: yoloSplits, read: readYolo },
]

/** Images alone; only asked for where labels are not needed. */
const plain: Format = { is: isImages, splits: async () => [], read: readImages }

const lookedFor = [
  'VOC (Annotations/ with JPEGImages/, or such folders VOC2007, VOC2012)',
  'COCO (annotations/instances_<split>.json with images/)',
  'YOLO (images/ with labels/, or <split>/images with <split>/labels)',
].join(', ')

export interface OpenOptions {
  /** A name of `listSplits`, or "all"; default: `defaultSplit`. */
  readonly split?: string
  /** Needed for YOLO, and for VOC annotations without a size. */
  readonly imageSize?: ImageSize
  /** Labels are not needed: a folder of images will do. */
  readonly unlabelled?: boolean
  /** What else the user may do where labels are missing; ends the message. */
  readonly remedy?: string
}

/**
 * Reads one split of the data set at `root`. Boxes that are degenerate or exceed the image, and images that are missing, are
 * mended or dropped, each with a sentence in `problems`. Throws UserError for an unknown format or split, wrong files, or when nothing is left.
 */
export async function openDataset(store: Store, root: string, options: OpenOptions = {}): Promise<Dataset> {
  const { format, base } = await recognise(store, root, options)
  const splits = await format.splits(store, base)
  const asked = options.split ?? defaultSplit(splits)
  const split = splits.includes(asked) ? asked : ((await format.splitName?.(store, base, asked)) ?? asked)
  if (split !== everything && !splits.includes(split)) {
    throw new UserError(`${root}: has no split "${asked}"; it has ${[...splits, everything].map((s) => `"${s}"`).join(', ')}`)
  }
  const dataset = await format.read({ store, base, split, imageSize: options.imageSize })
  if (dataset.samples.length === 0) {
    if (dataset.skipped.length > 0) throw noneReadable(split, dataset.skipped)
    const why = dataset.problems.length ? `; first of ${dataset.problems.length} problems: ${dataset.problems[0]}` : ''
    throw new UserError(`${root}: split "${split}" is empty: no image with its annotation was found${why}`)
  }
  if (dataset.classes.length === 0 && !options.unlabelled) throw new UserError(`${root}: no object is labelled in any of its ${dataset.samples.length} images, so there are no classes${orElse(options.remedy)}`)
  return dataset
}

/** The splits that the data set at `root` names; "all" is always there beside them. */
export async function listSplits(store: Store, root: string, options: Pick<OpenOptions, 'unlabelled' | 'remedy'> = {}): Promise<string[]> {
  const { format, base } = await recognise(store, root, options)
  return format.splits(store, base)
}

/** The split to evaluate on when none is asked for: test, else val, else all there is. */
export function defaultSplit(splits: readonly string[]): string {
  return ['test', 'val'].find((name) => splits.includes(name)) ?? everything
}

/** The format and its folder: `root`, or the one folder below that has a known form. */
async function recognise(store: Store, root: string, { unlabelled = false, remedy }: Pick<OpenOptions, 'unlabelled' | 'remedy'>): Promise<{ format: Format; base: string }> {
  const own = await formatOf(store, root)
  if (own) return { format: own, base: root }
  if (!(await isFolder(store, root))) throw new UserError(`${root}: ${(await store.stat(root)) ? 'is a file, a folder was wanted' : 'no such folder; check the path'}`)
  const found: { format: Format; base: string }[] = []
  for (const name of await store.list(root)) {
    const base = join(root, name)
    if (name.startsWith('.') || !(await isFolder(store, base))) continue
    const format = await formatOf(store, base)
    if (format) found.push({ format, base })
  }
  if (found.length > 1) throw new UserError(`${root}: holds several data sets; name one of ${found.map((f) => f.base).join(', ')}`)
  if (found[0]) return found[0]
  const images = await plain.is(store, root)
  if (unlabelled && images) return { format: plain, base: root }
  throw new UserError(`${root}: ${images ? 'holds images, but no labels that are known' : 'no known data set'}; looked, here and one folder below, for ${lookedFor}${images ? orElse(remedy) : ''}`)
}

async function formatOf(store: Store, base: string): Promise<Format | undefined> {
  for (const format of formats) if (await format.is(store, base)) return format
  return undefined
}

/**
 * The data set with labels that count in a model's `classes`, by name: case and spelling aside, and by what data sets call the same thing
 * (detection/class-names). `present` says which of the model's classes the data knows. Throws UserError for an object of a class the model lacks;
 * `remedy` is what else the user may do then.
 */
export function mapClasses(dataset: Dataset, classes: readonly string[], remedy?: string): Dataset {
  const target = dataset.classes.map((name) => counterpart(name, classes))
  const samples = dataset.samples.map((sample) => {
    const labels = sample.truth.labels.map((label) => {
      const mapped = target[label]!
      if (mapped < 0) throw new UserError(`class "${dataset.classes[label]}" (in ${sample.path}) is unknown to the model; its classes are ${classes.join(', ')}${orElse(remedy)}`)
      return mapped
    })
    const truth: GroundTruth = { ...sample.truth, labels }
    return { ...sample, truth }
  })
  const present = [...new Set(target.filter((i) => i >= 0))].sort((a, b) => a - b)
  return { ...dataset, classes, present, samples }
}

/** Names of classes that stand in the way of mapClasses: those of objects that `classes` lack; all, where `classes` have none of the data set's. */
export function foreignClasses(dataset: Dataset, classes: readonly string[]): string[] {
  const lacking = dataset.classes.filter((name) => counterpart(name, classes) < 0)
  if (lacking.length === dataset.classes.length) return lacking
  const used = new Set(dataset.samples.flatMap(({ truth }) => Array.from(truth.labels, (label) => dataset.classes[label])))
  return lacking.filter((name) => used.has(name))
}

function orElse(remedy: string | undefined): string {
  return remedy === undefined ? '' : `; ${remedy}`
}

/** Index of the class that `name` means, -1 where there is none; the very name goes before other spellings. */
function counterpart(name: string, classes: readonly string[]): number {
  const exact = classes.indexOf(name)
  const wanted = canonicalClass(name)
  return exact >= 0 ? exact : classes.findIndex((c) => canonicalClass(c) === wanted)
}
