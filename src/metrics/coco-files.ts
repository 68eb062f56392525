/** @file COCO's numbers for two JSON files: ground truth (instances) and results. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import type { CocoEvalInput } from './coco-input.ts'
import { summarizeCoco, type ClassAp, type CocoNumbers } from './coco-map.ts'

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
type Result = z.infer<typeof resultsSchema>[number]

export interface CocoFilesScore extends CocoNumbers {
  /** By category, sorted by id. */
  perClass: (ClassAp & { id: number; name: string })[]
  /** What was left out, as pycocotools does without a word: one plain sentence each. */
  problems: string[]
}

/** Two files as one input, whose classes are the categories. */
export interface CocoFiles {
  readonly input: CocoEvalInput
  /** Sorted by id. */
  readonly categories: readonly { readonly id: number; readonly name: string }[]
  /** As in CocoFilesScore. */
  readonly problems: string[]
}

/** Scores parsed COCO files as pycocotools does; `names` as for readCocoFiles. */
export function scoreCocoFiles(gtJson: unknown, resultsJson: unknown, names: { truth: string; results: string }): CocoFilesScore {
  return scoreCoco(readCocoFiles(gtJson, resultsJson, names))
}

export function scoreCoco({ input, categories, problems }: CocoFiles): CocoFilesScore {
  const summary = summarizeCoco(input)
  return { ...summary, perClass: summary.perClass.map((ap, k) => ({ id: categories[k]!.id, name: categories[k]!.name, ...ap })), problems }
}

/**
 * Parsed COCO files; `names` are the files' names, for messages. Every annotation counts, whatever its id; where `area` is missing it is the
 * box's, where `iscrowd` is missing 0.
 */
export function readCocoFiles(gtJson: unknown, resultsJson: unknown, names: { truth: string; results: string }): CocoFiles {
  const gt = parse(truthSchema, gtJson, names.truth, 'COCO ground truth is an object with "images", "annotations" (bbox [x, y, width, height]) and "categories"')
  const results = readResults(resultsJson, names.results)
  const images = indexImages(gt.images.map((image) => image.id), names.truth)
  const categories = gt.categories.slice().sort((a, b) => a.id - b.id)
  const labels = new Map(categories.map((category, index) => [category.id, index]))
  if (labels.size !== categories.length) throw new UserError(`${names.truth}: categories: an id stands twice; give every category its own id`)

  const problems: string[] = []
  const detections = { image: new Int32Array(results.length), label: new Int32Array(results.length), boxes: new Float64Array(4 * results.length), scores: new Float64Array(results.length) }
  const unknown: number[] = []
  let kept = 0
  results.forEach(({ image_id, category_id, bbox, score }, i) => {
    const image = images.get(image_id)
    const label = labels.get(category_id)
    if (image === undefined) {
      throw new UserError(`${names.results}: result ${i}: image_id ${image_id} is not among the ${gt.images.length} images of ${names.truth}; score the results against the ground truth of the same split`)
    }
    if (label === undefined) {
      unknown.push(category_id)
      return
    }
    detections.image[kept] = image
    detections.label[kept] = label
    for (let j = 0; j < 4; j++) detections.boxes[4 * kept + j] = bbox[j]!
    detections.scores[kept++] = score
  })
  if (unknown.length > 0) {
    problems.push(`${names.results}: ${unknown.length} of ${results.length} results name a category_id that ${names.truth} does not have (${some(unknown)}); they are left out`)
  }
  const asked = gt.annotations.filter((a) => labels.has(a.category_id) && images.has(a.image_id))
  if (asked.length < gt.annotations.length) {
    problems.push(`${names.truth}: ${gt.annotations.length - asked.length} of ${gt.annotations.length} annotations name an image or category that the file does not have; they are left out`)
  }

  const input: CocoEvalInput = {
    images: gt.images.length,
    classes: categories.length,
    truth: {
      image: Int32Array.from(asked, (a) => images.get(a.image_id)!),
      label: Int32Array.from(asked, (a) => labels.get(a.category_id)!),
      boxes: Float64Array.from(asked.flatMap((a) => a.bbox)),
      areas: Float64Array.from(asked, (a) => a.area ?? a.bbox[2]! * a.bbox[3]!),
      crowd: Uint8Array.from(asked, (a) => (a.iscrowd ? 1 : 0)),
      ignore: new Uint8Array(asked.length),
    },
    detections: {
      image: detections.image.subarray(0, kept), label: detections.label.subarray(0, kept),
      boxes: detections.boxes.subarray(0, 4 * kept), scores: detections.scores.subarray(0, kept),
    },
  }
  return { input, categories, problems }
}

/** Results come by the hundred thousand: what is well formed is taken as it stands, and the schema, which copies, finds the words for what is not. */
function readResults(json: unknown, file: string): readonly Result[] {
  if (Array.isArray(json) && json.every(isResult)) return json
  return parse(resultsSchema, json, file, 'COCO results are an array of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}')
}

function isResult(entry: unknown): entry is Result {
  if (typeof entry !== 'object' || entry === null) return false
  const { image_id, category_id, bbox, score } = entry as Partial<Record<keyof Result, unknown>>
  return (typeof image_id === 'string' || Number.isFinite(image_id)) && Number.isFinite(category_id) && Number.isFinite(score)
    && Array.isArray(bbox) && bbox.length === 4 && bbox.every(Number.isFinite)
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

/**
 * Index by image id, in the order that pycocotools breaks ties by: numbers ascending, text after them. A number is the same id as its text,
 * and both are keys.
 */
function indexImages(ids: readonly (number | string)[], file: string): Map<number | string, number> {
  const keys = [...new Set(ids.map(String))]
  if (keys.length !== ids.length) throw new UserError(`${file}: images: an id stands twice; give every image its own id`)
  const value = (key: string): number => (key.trim() === '' || Number.isNaN(Number(key)) ? Infinity : Number(key))
  keys.sort((a, b) => (value(a) === value(b) ? (a < b ? -1 : 1) : value(a) - value(b)))
  const byId = new Map<number | string, number>()
  keys.forEach((key, index) => {
    byId.set(key, index)
    if (String(Number(key)) === key) byId.set(Number(key), index)
  })
  return byId
}

function some(ids: readonly number[]): string {
  const distinct = [...new Set(ids)].sort((a, b) => a - b)
  return distinct.slice(0, 5).join(', ') + (distinct.length > 5 ? ', ...' : '')
}
