/** @file COCO data sets: annotations/instances_<split>.json and images/. */
import { z } from 'zod'
import type { Dataset, Sample } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { everything, join, type ReadOptions } from './files.ts'
import { buildTruth, type LabelledBox } from './truth.ts'

const id = z.union([z.int(), z.string()])
const instancesSchema = z.object({
  images: z.array(z.object({ id, file_name: z.string().min(1), width: z.number().positive(), height: z.number().positive() })),
  annotations: z.array(
    z.object({
      id: id.optional(),
      image_id: id,
      category_id: z.int(),
      bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
      area: z.number().optional(),
      iscrowd: z.union([z.number(), z.boolean()]).optional(),
    }),
  ),
  categories: z.array(z.object({ id: z.int(), name: z.string().min(1) })).min(1),
})
type Instances = z.infer<typeof instancesSchema>

const fileName = /^instances_(.+)\.json$/

export async function isCoco(store: Store, base: string): Promise<boolean> {
  return (await splitFiles(store, base)).length > 0
}

/** "train" for instances_train.json and instances_train2017.json. */
export async function cocoSplits(store: Store, base: string): Promise<string[]> {
  return (await splitFiles(store, base)).map((file) => file.name)
}

/** `raw` is the name in the file, `name` the same without a year (unless two files would share it). */
async function splitFiles(store: Store, base: string): Promise<{ name: string; raw: string; path: string }[]> {
  const names = await store.list(join(base, 'annotations'))
  const raws = names.flatMap((name) => fileName.exec(name)?.[1] ?? [])
  const short = (raw: string): string => raw.replace(/(?<=\D)(19|20)\d\d$/, '')
  return raws.map((raw) => {
    const shared = raws.filter((other) => short(other) === short(raw)).length > 1
    return { name: shared ? raw : short(raw), raw, path: join(base, 'annotations', `instances_${raw}.json`) }
  })
}

/** The name under which `listSplits` knows `split`: "train2017" is "train". */
export async function cocoSplitName(store: Store, base: string, split: string): Promise<string> {
  return (await splitFiles(store, base)).find((file) => file.raw === split)?.name ?? split
}

/** Reads one split (or all). Classes are the categories in the order of their ids; sample ids are COCO's image ids. */
export async function readCoco(options: ReadOptions): Promise<Dataset> {
  const { store, base, split } = options
  const files = (await splitFiles(store, base)).filter((file) => split === everything || file.name === split)
  const problems: string[] = []
  const contents: { raw: string; path: string; instances: Instances }[] = []
  for (const file of files) contents.push({ ...file, instances: parseInstances(await store.readText(file.path), file.path) })

  const names = new Map<number, string>()
  for (const { path, instances } of contents) {
    for (const { id: key, name } of instances.categories) {
      const before = names.get(key)
      if (before !== undefined && before !== name) throw new UserError(`${path}: category ${key} is "${name}" here and "${before}" before; give each category its own id`)
      names.set(key, name)
    }
  }
  const ordered = [...names.keys()].sort((a, b) => a - b)
  const labels = new Map(ordered.map((key, i) => [key, i]))
  const locate = imageFinder(store, base)
  const samples: Sample[] = []
  const taken = new Set<string>()
  for (const { raw, path, instances } of contents) {
    const objects = groupObjects(instances, path, labels, names, problems)
    for (const image of instances.images) {
      const found = await locate(image.file_name, raw)
      if (found === undefined) {
        problems.push(`${path}: image ${image.id}: ${image.file_name} is missing under ${join(base, 'images')} and ${base || '.'}; dropped`)
        continue
      }
      // Ids are unique in a file only: over all splits, a second use is named by its file.
      const key = taken.has(String(image.id)) ? `${raw}/${image.id}` : String(image.id)
      taken.add(key)
      const truth = buildTruth(objects.get(String(image.id)) ?? [], image.width, image.height, problems)
      samples.push({ id: key, path: found, width: image.width, height: image.height, truth })
    }
  }
  return { format: 'coco', split, classes: ordered.map((key) => names.get(key)!), samples, problems, skipped: [] }
}

function groupObjects(instances: Instances, path: string, labels: Map<number, number>, names: Map<number, string>, problems: string[]): Map<string, LabelledBox[]> {
  const images = new Set<string>()
  for (const { id: key } of instances.images) {
    if (images.has(String(key))) throw new UserError(`${path}: image id ${key} is used twice; ids must be unique`)
    images.add(String(key))
  }
  const groups = new Map<string, LabelledBox[]>()
  instances.annotations.forEach((object, i) => {
    const place = `${path}: annotation ${object.id ?? `at position ${i}`}`
    const label = labels.get(object.category_id)
    if (label === undefined) throw new UserError(`${place}: its category_id ${object.category_id} is not among the categories; add the category or remove the annotation`)
    if (!images.has(String(object.image_id))) {
      problems.push(`${place}: its image_id ${object.image_id} is not among the images; dropped`)
      return
    }
    const [x, y, w, h] = object.bbox
    const group = groups.get(String(object.image_id)) ?? []
    group.push({
      box: [x, y, x + w, y + h],
      label,
      crowd: Boolean(object.iscrowd),
      area: object.area,
      place: `${place} (${names.get(object.category_id)!}, image ${object.image_id})`,
    })
    groups.set(String(object.image_id), group)
  })
  return groups
}

/** Finds an image under images/, images/<split>/, <split>/ or the root; folders are listed once. */
function imageFinder(store: Store, base: string): (file: string, raw: string) => Promise<string | undefined> {
  const folders = new Map<string, Promise<Set<string>>>()
  const has = async (path: string): Promise<boolean> => {
    const cut = path.lastIndexOf('/')
    const folder = cut < 0 ? '' : path.slice(0, cut)
    let names = folders.get(folder)
    if (!names) folders.set(folder, (names = store.list(folder).then((list) => new Set(list))))
    return (await names).has(path.slice(cut + 1))
  }
  return async (file, raw) => {
    const relative = file.replace(/^\.\//, '')
    if (relative.startsWith('/') || relative.split('/').includes('..')) return undefined
    const short = raw.replace(/\d{4}$/, '')
    const candidates = [`images/${relative}`, `images/${raw}/${relative}`, `images/${short}/${relative}`, `${raw}/${relative}`, `${short}/${relative}`, relative]
    for (const candidate of candidates) if (await has(join(base, candidate))) return join(base, candidate)
    return undefined
  }
}

function parseInstances(text: string, path: string): Instances {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${path}: is no JSON (${cause instanceof Error ? cause.message : String(cause)}); mend or replace the file`, { cause })
  }
  const parsed = instancesSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const [first, ...others] = parsed.error.issues
  const more = others.length ? ` (and ${others.length} more)` : ''
  throw new UserError(`${path}: is no COCO instances file: ${placeOf(first!.path)}: ${first!.message}${more}`)
}

function placeOf(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  return text.replace(/^\./, '') || 'the whole'
}
