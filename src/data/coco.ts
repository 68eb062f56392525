/** @file COCO data sets: annotations/instances_<split>.json and images/. */
import type { Dataset, Sample } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { type CocoInstances, keyOf, readInstances } from './coco-instances.ts'
import { everything, join, type ReadOptions } from './files.ts'
import { buildTruth, type LabelledBox } from './truth.ts'

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
  const contents: { raw: string; instances: CocoInstances }[] = []
  for (const { raw, path } of files) contents.push({ raw, instances: await readInstances(store, path) })

  const names = new Map<number, string>()
  for (const { instances: { path, categories } } of contents) {
    for (const { id: key, name } of categories) {
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
  for (const { raw, instances } of contents) {
    const objectsOf = objectFinder(instances, labels, names, problems)
    for (const image of instances.images) {
      const found = await locate(image.file_name, raw)
      if (found === undefined) {
        problems.push(`${instances.path}: image ${image.id}: ${image.file_name} is missing under ${join(base, 'images')} and ${base || '.'}; dropped`)
        continue
      }
      // Ids are unique in a file only: over all splits, a second use is named by its file.
      const key = taken.has(String(image.id)) ? `${raw}/${image.id}` : String(image.id)
      taken.add(key)
      const truth = buildTruth(objectsOf(image.id), image.width, image.height, problems)
      samples.push({ id: key, path: found, width: image.width, height: image.height, truth })
    }
  }
  return { format: 'coco', split, classes: ordered.map((key) => names.get(key)!), samples, problems, skipped: [] }
}

/** The objects of an image by its id. Throws UserError for ids that are used twice and categories that are not there; annotations of no image are told in `problems`. */
function objectFinder({ path, images, annotations }: CocoInstances, labels: ReadonlyMap<number, number>, names: ReadonlyMap<number, string>, problems: string[]): (imageId: string | number) => LabelledBox[] {
  const known = new Set<string | number>()
  for (const { id } of images) {
    const key = keyOf(id)
    if (known.has(key)) throw new UserError(`${path}: image id ${id} is used twice; ids must be unique`)
    known.add(key)
  }
  for (let i = 0; i < annotations.length; i++) {
    const category = annotations.categoryOf(i)
    if (!labels.has(category)) throw new UserError(`${path}: ${annotations.nameOf(i)}: its category_id ${category} is not among the categories; add the category or remove the annotation`)
  }
  const byImage = annotations.byImage()
  const strays = [...byImage.ids].filter((id) => !known.has(id)).flatMap((id) => Array.from(byImage.of(id), (i) => ({ i, id })))
  for (const { i, id } of strays.sort((a, b) => a.i - b.i)) problems.push(`${path}: ${annotations.nameOf(i)}: its image_id ${id} is not among the images; dropped`)
  const place = (i: number, imageId: string | number): string => `${path}: ${annotations.nameOf(i)} (${names.get(annotations.categoryOf(i))!}, image ${imageId})`
  return (imageId) => {
    const objects: LabelledBox[] = []
    for (const i of byImage.of(imageId)) objects.push(new CocoObject(annotations.boxOf(i), labels.get(annotations.categoryOf(i))!, annotations.isCrowd(i), annotations.areaOf(i), () => place(i, imageId)))
    return objects
  }
}

/** A labelled box that is named only where something is wrong with it: COCO has a million. */
class CocoObject implements LabelledBox {
  readonly box: LabelledBox['box']
  readonly label: number
  readonly crowd: boolean
  readonly area: number | undefined
  private readonly name: () => string

  constructor(box: LabelledBox['box'], label: number, crowd: boolean, area: number | undefined, name: () => string) {
    this.box = box
    this.label = label
    this.crowd = crowd
    this.area = area
    this.name = name
  }

  get place(): string {
    return this.name()
  }
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
