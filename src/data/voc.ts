/** @file PASCAL VOC data sets: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt. */
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

/** Reads one split. The classes are the sorted names of all annotations, so that indices agree between splits. */
export async function readVoc(options: ReadOptions): Promise<Dataset> {
  const { store, base, split } = options
  const problems: string[] = []
  const names = (await store.list(join(base, 'Annotations'))).filter((name) => name.endsWith('.xml'))
  const annotations = new Map(
    await mapInParallel(names, async (name): Promise<[string, Annotation]> => {
      const path = join(base, 'Annotations', name)
      return [stem(name), parseVoc(await store.readText(path), path)]
    }),
  )
  const classes = [...new Set([...annotations.values()].flatMap((a) => a.object.map((o) => o.name)))].sort()
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
  const samples = results.flatMap((r) => r.sample ?? [])
  problems.push(...results.flatMap((r) => r.problems))
  return { format: 'voc', split, classes, samples, problems, skipped: results.flatMap((r) => r.skipped ?? []) }
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
