/** @file PASCAL VOC data sets: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt; one folder, or one a year. */
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { z } from 'zod'
import type { Dataset, Sample, SkippedImage } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { everything, isFolder, isImageName, join, mapInParallel, measure, stem, type ReadOptions } from './files.ts'
import { buildTruth, type LabelledBox } from './truth.ts'

const number = z.string().transform((text, context) => {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(value)) context.addIssue({ code: 'custom', message: `"${text}" is no number` })
  return value
})
const size = z.object({ width: number, height: number })
const objectSchema = z.object({
  name: z.string().trim().min(1),
  difficult: z.string().optional(),
  bndbox: z.object({ xmin: number, ymin: number, xmax: number, ymax: number }),
})
const annotationSchema = z.object({
  // The parser gives an empty element as ''.
  annotation: z.preprocess(
    (value) => (value === '' ? {} : value),
    z.object({
      filename: z.string().optional(),
      size: size.optional().catch(undefined),
      object: z.array(objectSchema).default([]),
    }),
  ),
})
type Annotation = z.infer<typeof annotationSchema>['annotation']

const parser = new XMLParser({ parseTagValue: false, isArray: (name, path) => name === 'object' && String(path) === 'annotation.object' })

export async function isVoc(store: Store, base: string): Promise<boolean> {
  return (await isFolder(store, join(base, 'Annotations'))) && (await isFolder(store, join(base, 'JPEGImages')))
}

/** The names in ImageSets/Main, without VOC's lists of one class each (`cat_train.txt`). */
export async function vocSplits(store: Store, base: string): Promise<string[]> {
  const names = (await store.list(join(base, 'ImageSets/Main'))).filter((name) => name.endsWith('.txt')).map(stem)
  return names.filter((name) => !names.some((other) => name.endsWith(`_${other}`)))
}

/** The folders of a VOCdevkit, one a year. */
const yearName = /^VOC(19|20)\d\d$/

async function yearsIn(store: Store, base: string): Promise<string[]> {
  const years: string[] = []
  for (const name of await store.list(base)) if (yearName.test(name) && (await isVoc(store, join(base, name)))) years.push(join(base, name))
  return years
}

/** A VOCdevkit: VOC2007, VOC2012 and the like side by side, read as one data set. */
export async function isVocYears(store: Store, base: string): Promise<boolean> {
  return (await yearsIn(store, base)).length > 0
}

/** The splits of any year. */
export async function vocYearsSplits(store: Store, base: string): Promise<string[]> {
  const splits = new Set<string>()
  for (const year of await yearsIn(store, base)) for (const split of await vocSplits(store, year)) splits.add(split)
  return [...splits].sort()
}

/** One split of all years that have it: "trainval" is that of VOC2007 and of VOC2012, "test" that of VOC2007 alone. */
export async function readVocYears(options: ReadOptions): Promise<Dataset> {
  return readFolders(options, await yearsIn(options.store, options.base))
}

/** Reads one split. */
export async function readVoc(options: ReadOptions): Promise<Dataset> {
  return readFolders(options, [options.base])
}

/** The classes are the sorted names of all annotations, so that indices agree between splits and folders. */
async function readFolders(options: ReadOptions, bases: readonly string[]): Promise<Dataset> {
  const { store, split } = options
  const folders: { base: string; annotations: Map<string, Annotation> }[] = []
  for (const base of bases) folders.push({ base, annotations: await readAnnotations(store, base) })
  const classes = [...new Set(folders.flatMap(({ annotations }) => [...annotations.values()].flatMap((a) => a.object.map((o) => o.name))))].sort()
  const parts: FolderSplit[] = []
  for (const { base, annotations } of folders) {
    if (bases.length > 1 && split !== everything && !(await vocSplits(store, base)).includes(split)) continue
    parts.push(await readSplit({ ...options, base }, annotations, classes))
  }
  const taken = new Set<string>()
  const samples = parts.flatMap(({ base, samples: own }) => own.map((sample) => {
    // Years number their images alike only by chance.
    const id = taken.has(sample.id) ? `${stem(base)}/${sample.id}` : sample.id
    taken.add(id)
    return { ...sample, id }
  }))
  return { format: 'voc', split, classes, samples, problems: parts.flatMap((p) => p.problems), skipped: parts.flatMap((p) => p.skipped) }
}

async function readAnnotations(store: Store, base: string): Promise<Map<string, Annotation>> {
  const names = (await store.list(join(base, 'Annotations'))).filter((name) => name.endsWith('.xml'))
  return new Map(
    await mapInParallel(names, async (name): Promise<[string, Annotation]> => {
      const path = join(base, 'Annotations', name)
      return [stem(name), parseVoc(await store.readText(path), path)]
    }),
  )
}

type FolderSplit = Pick<Dataset, 'samples' | 'problems' | 'skipped'> & { readonly base: string }

async function readSplit(options: ReadOptions, annotations: ReadonlyMap<string, Annotation>, classes: readonly string[]): Promise<FolderSplit> {
  const { store, base, split } = options
  const labels = new Map(classes.map((name, i) => [name, i]))
  const files = (await store.list(join(base, 'JPEGImages'))).filter(isImageName)
  const present = new Set(files)
  const byStem = new Map(files.map((name) => [stem(name), name]))

  const read = async (id: string): Promise<{ sample?: Sample; problems: string[]; skipped?: SkippedImage }> => {
    const found: string[] = []
    const drop = (sentence: string): { problems: string[] } => ({ problems: [sentence] })
    const path = join(base, 'Annotations', `${id}.xml`)
    const annotation = annotations.get(id)
    if (!annotation) return drop(`${path}: is missing, though split "${split}" lists it; the image is dropped`)
    const named = annotation.filename?.trim() ?? ''
    const file = byStem.get(id) ?? (present.has(named) ? named : undefined)
    if (file === undefined) return drop(`${path}: its image ${join(base, 'JPEGImages', named || `${id}.jpg`)} is missing; dropped`)
    const imagePath = join(base, 'JPEGImages', file)
    let extent = annotation.size
    if (!extent || !(extent.width > 0 && extent.height > 0)) {
      try {
        extent = await measure(options, imagePath)
      } catch (error) {
        if (error instanceof UserError) return { problems: [], skipped: { path: imagePath, reason: error.message } }
        throw error
      }
    }
    const objects = annotation.object.map((object, i): LabelledBox => {
      const { xmin, ymin, xmax, ymax } = object.bndbox
      const place = `${path}: object ${i + 1} (${object.name})`
      // Corners count pixels from 1 and include the last; equal corners are a click, not an object of one pixel.
      const empty = xmax <= xmin || ymax <= ymin
      return {
        box: empty ? [xmin, ymin, xmax, ymax] : [xmin - 1, ymin - 1, xmax, ymax],
        label: labels.get(object.name)!,
        difficult: object.difficult?.trim() === '1',
        place,
      }
    })
    const truth = buildTruth(objects, extent.width, extent.height, found)
    return { sample: { id, path: imagePath, width: extent.width, height: extent.height, truth }, problems: found }
  }

  const ids = split === everything ? [...annotations.keys()] : await splitIds(store, join(base, 'ImageSets/Main', `${split}.txt`))
  const results = await mapInParallel(ids, read)
  return { base, samples: results.flatMap((r) => r.sample ?? []), problems: results.flatMap((r) => r.problems), skipped: results.flatMap((r) => r.skipped ?? []) }
}

async function splitIds(store: Store, path: string): Promise<string[]> {
  const ids = (await store.readText(path)).split(/\r?\n/).map((line) => line.trim().split(/\s+/)[0]!)
  return [...new Set(ids.filter((id) => id !== ''))]
}

/** One annotation file, checked; throws UserError naming `path` and the element. */
function parseVoc(text: string, path: string): Annotation {
  const valid = XMLValidator.validate(text)
  if (valid !== true) throw new UserError(`${path}: line ${valid.err.line} is no XML: ${valid.err.msg}; mend or remove the file`)
  const parsed = annotationSchema.safeParse(parser.parse(text))
  if (!parsed.success) throw new UserError(`${path}: is no VOC annotation: ${z.prettifyError(parsed.error)}; mend or remove the file`)
  return parsed.data.annotation
}
