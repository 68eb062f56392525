/** @file One COCO instances file: images, categories and, as columns, annotations; COCO's own has 860,001 of them. */
import { z } from 'zod'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { readJsonArrays } from './json-arrays.ts'

const id = z.union([z.int(), z.string()])
const schemas = {
  images: z.object({ id, file_name: z.string().min(1), width: z.number().positive(), height: z.number().positive() }),
  annotations: z.object({
    id: id.optional(),
    image_id: id,
    category_id: z.int(),
    bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
    area: z.number().optional(),
    iscrowd: z.union([z.number(), z.boolean()]).optional(),
  }),
  categories: z.object({ id: z.int(), name: z.string().min(1) }),
} as const
const lists = ['images', 'annotations', 'categories'] as const
type List = (typeof lists)[number]

export type CocoImage = z.infer<typeof schemas.images>
export type CocoCategory = z.infer<typeof schemas.categories>
type CocoAnnotation = z.infer<typeof schemas.annotations>

export interface CocoInstances {
  readonly path: string
  readonly images: readonly CocoImage[]
  readonly categories: readonly CocoCategory[]
  readonly annotations: AnnotationColumns
}

/** Reads a file part by part; throws UserError naming `path` and the place of what is wrong. */
export async function readInstances(store: Store, path: string): Promise<CocoInstances> {
  const images: CocoImage[] = []
  const categories: CocoCategory[] = []
  const annotations = new AnnotationColumns()
  const seen = new Set<string>()
  const wanted = Object.fromEntries(lists.map((list) => [list, Object.keys(schemas[list].shape)]))
  for await (const { list, first, elements } of readJsonArrays(store, path, wanted)) {
    seen.add(list)
    elements.forEach((element, i) => {
      if (list === 'images') images.push(checked('images', element, first + i, path))
      else if (list === 'categories') categories.push(checked('categories', element, first + i, path))
      else annotations.add(plainAnnotation(element) ?? checked('annotations', element, first + i, path))
    })
  }
  const missing = lists.find((list) => !seen.has(list))
  if (missing !== undefined) throw new UserError(`${path}: is no COCO instances file: it has no list "${missing}"`)
  if (categories.length === 0) throw new UserError(`${path}: is no COCO instances file: "categories" is empty`)
  return { path, images, categories, annotations }
}

function checked<L extends List>(list: L, element: unknown, position: number, path: string): z.infer<(typeof schemas)[L]> {
  const parsed = schemas[list].safeParse(element)
  if (parsed.success) return parsed.data as z.infer<(typeof schemas)[L]>
  const [issue] = parsed.error.issues
  const place = issue!.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  throw new UserError(`${path}: is no COCO instances file: ${list}[${position}]${place}: ${issue!.message}`)
}

/** An annotation as nearly all are, at a fraction of the schema's time; undefined for any other, which the schema then judges. */
function plainAnnotation(element: unknown): CocoAnnotation | undefined {
  const a = element as CocoAnnotation | null
  if (typeof a !== 'object' || a === null || !Number.isSafeInteger(a.id) || !Number.isSafeInteger(a.image_id) || !Number.isSafeInteger(a.category_id)) return undefined
  if (!Number.isFinite(a.area) || (a.iscrowd !== 0 && a.iscrowd !== 1) || !Array.isArray(a.bbox) || a.bbox.length !== 4 || !a.bbox.every(Number.isFinite)) return undefined
  return a
}

/** Annotations without an object each. */
export class AnnotationColumns {
  length = 0
  private image = new Int32Array(1024)
  private category = new Float64Array(1024)
  private box = new Float64Array(4 * 1024)
  private areas = new Float64Array(1024)
  private crowds = new Uint8Array(1024)
  private ids = new Float64Array(1024)
  /** Ids that are no numbers, by position. */
  private readonly namedIds = new Map<number, string>()
  /** Ids of images, in the order in which annotations name them first; `image` counts in these. */
  private readonly imageIds = new Map<string | number, number>()

  add(a: CocoAnnotation): void {
    const i = this.length++
    if (i === this.image.length) this.grow()
    const key = keyOf(a.image_id)
    let image = this.imageIds.get(key)
    if (image === undefined) this.imageIds.set(key, (image = this.imageIds.size))
    this.image[i] = image
    this.category[i] = a.category_id
    for (let k = 0; k < 4; k++) this.box[4 * i + k] = a.bbox[k]!
    this.areas[i] = a.area ?? Number.NaN
    this.crowds[i] = a.iscrowd ? 1 : 0
    this.ids[i] = typeof a.id === 'number' ? a.id : Number.NaN
    if (typeof a.id === 'string') this.namedIds.set(i, a.id)
  }

  private grow(): void {
    const longer = <T extends Int32Array | Float64Array | Uint8Array>(old: T): T => {
      const made = new (old.constructor as new (length: number) => T)(2 * old.length)
      made.set(old)
      return made
    }
    this.image = longer(this.image)
    this.category = longer(this.category)
    this.box = longer(this.box)
    this.areas = longer(this.areas)
    this.crowds = longer(this.crowds)
    this.ids = longer(this.ids)
  }

  categoryOf(i: number): number {
    return this.category[i]!
  }

  /** x1, y1, x2, y2. */
  boxOf(i: number): [number, number, number, number] {
    const [x, y] = [this.box[4 * i]!, this.box[4 * i + 1]!]
    return [x, y, x + this.box[4 * i + 2]!, y + this.box[4 * i + 3]!]
  }

  areaOf(i: number): number | undefined {
    return Number.isNaN(this.areas[i]!) ? undefined : this.areas[i]
  }

  isCrowd(i: number): boolean {
    return this.crowds[i] === 1
  }

  /** "annotation 17", for messages. */
  nameOf(i: number): string {
    const own = this.namedIds.get(i) ?? (Number.isNaN(this.ids[i]!) ? undefined : this.ids[i])
    return `annotation ${own ?? `at position ${i}`}`
  }

  /** Positions of the annotations of each image id, in the order of the file. */
  byImage(): { of(imageId: string | number): Iterable<number>; readonly ids: Iterable<string | number> } {
    const starts = new Int32Array(this.imageIds.size + 1)
    for (let i = 0; i < this.length; i++) starts[this.image[i]! + 1]!++
    for (let k = 0; k < this.imageIds.size; k++) starts[k + 1]! += starts[k]!
    const order = new Int32Array(this.length)
    const next = starts.slice()
    for (let i = 0; i < this.length; i++) order[next[this.image[i]!]!++] = i
    return {
      ids: this.imageIds.keys(),
      of: (imageId) => {
        const image = this.imageIds.get(keyOf(imageId))
        return image === undefined ? [] : order.subarray(starts[image]!, starts[image + 1]!)
      },
    }
  }
}

/** "7" and 7 are one id. */
export function keyOf(imageId: string | number): string | number {
  if (typeof imageId === 'number') return imageId
  const value = Number(imageId)
  return Number.isSafeInteger(value) && String(value) === imageId ? value : imageId
}
