/** @file COCO's numbers for two JSON files: ground truth (instances) and results. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import { summarizeCoco, type ClassAp, type CocoNumbers } from './coco-map.ts'
import type { CocoEvalInput } from './coco-match.ts'

// Image ids are numbers in COCO; exporters write them as text too, sometimes in one place of a file only.
const imageId = z.union([z.number(), z.string()])
const box = z.array(z.number()).length(4)

const truthSchema = z.object({
  images: z.array(z.object({ id: imageId })),
  annotations: z.array(z.object({
    image_id: imageId,
    category_id: z.number(),
    bbox: box,
    area: z.number().optional(),
    iscrowd: z.union([z.number(), z.boolean()]).optional(),
  })),
  categories: z.array(z.object({ id: z.number(), name: z.string() })),
})

const resultsSchema = z.array(z.object({ image_id: imageId, category_id: z.number(), bbox: box, score: z.number() }))

export interface CocoFilesScore extends CocoNumbers {
  /** By category, sorted by id. */
  perClass: (ClassAp & { id: number; name: string })[]
  /** What was left out, as pycocotools does without a word: one plain sentence each. */
  problems: string[]
}

/**
 * Scores parsed COCO files as pycocotools does; `names` are the files' names, for messages. Every annotation counts, whatever
 * its id; where `area` is missing it is the box's, where `iscrowd` is missing 0.
 */
export function scoreCocoFiles(gtJson: unknown, resultsJson: unknown, names: { truth: string; results: string }): CocoFilesScore {
  const gt = parse(truthSchema, gtJson, names.truth, 'COCO ground truth is an object with "images", "annotations" (bbox [x, y, width, height]) and "categories"')
  const results = parse(resultsSchema, resultsJson, names.results, 'COCO results are an array of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}')
  const images = indexImages(gt.images.map((image) => image.id), names.truth)
  const categories = gt.categories.slice().sort((a, b) => a.id - b.id)
  const labels = new Map(categories.map((category, index) => [category.id, index]))
  if (labels.size !== categories.length) throw new UserError(`${names.truth}: categories: an id stands twice; give every category its own id`)

  results.forEach((result, i) => {
    if (!images.has(String(result.image_id))) {
      throw new UserError(`${names.results}: result ${i}: image_id ${result.image_id} is not among the ${images.size} images of ${names.truth}; score the results against the ground truth of the same split`)
    }
  })
  const problems: string[] = []
  const kept = results.filter((r) => labels.has(r.category_id))
  if (kept.length < results.length) {
    const unknown = results.filter((r) => !labels.has(r.category_id)).map((r) => r.category_id)
    problems.push(`${names.results}: ${unknown.length} of ${results.length} results name a category_id that ${names.truth} does not have (${some(unknown)}); they are left out`)
  }
  const asked = gt.annotations.filter((a) => labels.has(a.category_id) && images.has(String(a.image_id)))
  if (asked.length < gt.annotations.length) {
    problems.push(`${names.truth}: ${gt.annotations.length - asked.length} of ${gt.annotations.length} annotations name an image or category that the file does not have; they are left out`)
  }

  const input: CocoEvalInput = {
    images: images.size,
    classes: categories.length,
    truth: {
      image: Int32Array.from(asked, (a) => images.get(String(a.image_id))!),
      label: Int32Array.from(asked, (a) => labels.get(a.category_id)!),
      boxes: Float64Array.from(asked.flatMap((a) => a.bbox)),
      areas: Float64Array.from(asked, (a) => a.area ?? a.bbox[2]! * a.bbox[3]!),
      crowd: Uint8Array.from(asked, (a) => (a.iscrowd ? 1 : 0)),
      ignore: new Uint8Array(asked.length),
    },
    detections: {
      image: Int32Array.from(kept, (r) => images.get(String(r.image_id))!),
      label: Int32Array.from(kept, (r) => labels.get(r.category_id)!),
      boxes: Float64Array.from(kept.flatMap((r) => r.bbox)),
      scores: Float64Array.from(kept, (r) => r.score),
    },
  }
  const summary = summarizeCoco(input)
  return { ...summary, perClass: summary.perClass.map((ap, k) => ({ id: categories[k]!.id, name: categories[k]!.name, ...ap })), problems }
}

function parse<T>(schema: z.ZodType<T>, json: unknown, file: string, remedy: string): T {
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const more = parsed.error.issues.length > 1 ? ` (and ${parsed.error.issues.length - 1} more)` : ''
  throw new UserError(`${file}: ${place(issue.path)}: ${issue.message}${more}; ${remedy}`)
}

function place(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file'
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('')
}

/** Image id to index, in the order that pycocotools breaks ties by: numbers ascending, text after them. */
function indexImages(ids: readonly (number | string)[], file: string): Map<string, number> {
  const keys = [...new Set(ids.map(String))]
  if (keys.length !== ids.length) throw new UserError(`${file}: images: an id stands twice; give every image its own id`)
  const value = (key: string): number => (key.trim() === '' || Number.isNaN(Number(key)) ? Infinity : Number(key))
  keys.sort((a, b) => (value(a) === value(b) ? (a < b ? -1 : 1) : value(a) - value(b)))
  return new Map(keys.map((key, index) => [key, index]))
}

function some(ids: readonly number[]): string {
  const distinct = [...new Set(ids)].sort((a, b) => a - b)
  return distinct.slice(0, 5).join(', ') + (distinct.length > 5 ? ', ...' : '')
}
