/** @file YOLO data sets: one text file an image, lines of `class cx cy w h` relative to the image. */
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import type { Dataset, Sample, SkippedImage } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { everything, isFolder, isImageName, join, mapInParallel, measure, stem, type ReadOptions, type Size } from './files.ts'
import { buildTruth, type LabelledBox } from './truth.ts'

const dataSchema = z.object({ names: z.union([z.array(z.coerce.string()), z.record(z.string(), z.coerce.string())]) })

interface Part {
  readonly name: string
  readonly images: string
  readonly labels: string
}

export async function isYolo(store: Store, base: string): Promise<boolean> {
  return (await parts(store, base)).length > 0
}

export async function yoloSplits(store: Store, base: string): Promise<string[]> {
  return (await parts(store, base)).map((part) => part.name).filter((name) => name !== everything)
}

/** images/<split> with labels/<split>; else <split>/images with <split>/labels; else images with labels, which is one part without a name. */
async function parts(store: Store, base: string): Promise<Part[]> {
  const named = (folder: string): string => (folder === 'valid' ? 'val' : folder)
  if ((await isFolder(store, join(base, 'images'))) && (await isFolder(store, join(base, 'labels')))) {
    const found: Part[] = []
    for (const folder of await store.list(join(base, 'images'))) {
      const part = { name: named(folder), images: join(base, 'images', folder), labels: join(base, 'labels', folder) }
      if (!isImageName(folder) && (await isFolder(store, part.images)) && (await isFolder(store, part.labels))) found.push(part)
    }
    return found.length ? found : [{ name: everything, images: join(base, 'images'), labels: join(base, 'labels') }]
  }
  const found: Part[] = []
  for (const folder of ['train', 'val', 'valid', 'test']) {
    const part = { name: named(folder), images: join(base, folder, 'images'), labels: join(base, folder, 'labels') }
    if ((await isFolder(store, part.images)) && (await isFolder(store, part.labels))) found.push(part)
  }
  return found
}

/** Reads one split (or all). An image without a label file shows nothing; image sizes come from `imageSize`. */
export async function readYolo(options: ReadOptions): Promise<Dataset> {
  const { store, base, split } = options
  const classes = await readClasses(store, base)
  const chosen = (await parts(store, base)).filter((part) => split === everything || part.name === split)
  const problems: string[] = []
  const samples: Sample[] = []
  const skipped: SkippedImage[] = []
  for (const part of chosen) {
    const images = (await store.list(part.images)).filter(isImageName)
    const labels = new Set((await store.list(part.labels)).filter((name) => name.endsWith('.txt') && name !== 'classes.txt'))
    const stems = new Set(images.map(stem))
    for (const name of labels) if (!stems.has(stem(name))) problems.push(`${join(part.labels, name)}: has no image in ${part.images}; dropped`)
    const results = await mapInParallel(images, async (name): Promise<{ sample?: Sample; problems: string[]; skipped?: SkippedImage }> => {
      const path = join(part.images, name)
      let extent: Size
      try {
        extent = await measure(options, path)
      } catch (error) {
        if (error instanceof UserError) return { problems: [], skipped: { path, reason: error.message } }
        throw error
      }
      const found: string[] = []
      const labelPath = join(part.labels, `${stem(name)}.txt`)
      const objects = labels.has(`${stem(name)}.txt`) ? parseLabels(await store.readText(labelPath), labelPath, classes, extent) : []
      const id = chosen.length > 1 ? `${part.name}/${stem(name)}` : stem(name)
      return { sample: { id, path, width: extent.width, height: extent.height, truth: buildTruth(objects, extent.width, extent.height, found) }, problems: found }
    })
    samples.push(...results.flatMap((r) => r.sample ?? []))
    problems.push(...results.flatMap((r) => r.problems))
    skipped.push(...results.flatMap((r) => r.skipped ?? []))
  }
  return { format: 'yolo', split, classes, samples, problems, skipped }
}

/** A line is a box (5 numbers) or a polygon (class, then at least 3 points), of which the extent is taken. */
function parseLabels(text: string, path: string, classes: readonly string[], { width, height }: Size): LabelledBox[] {
  return text.split(/\r?\n/).flatMap((line, i): LabelledBox[] => {
    if (line.trim() === '') return []
    const place = `${path}:${i + 1}`
    const values = line.trim().split(/\s+/).map(Number)
    const polygon = values.length >= 7 && values.length % 2 === 1
    if (!values.every(Number.isFinite) || !(values.length === 5 || polygon)) {
      throw new UserError(`${place}: "${line.trim().slice(0, 60)}" is neither "class cx cy w h" nor "class x y x y x y..."; mend the line`)
    }
    const [label, ...rest] = values as [number, ...number[]]
    const name = classes[label]
    if (name === undefined) throw new UserError(`${place}: class ${label} is not among the ${classes.length} classes (0 to ${classes.length - 1}); mend the line or the list of classes`)
    return [{ box: polygon ? extentOf(rest, width, height) : boxOf(rest, width, height), label, place: `${place} (${name})` }]
  })
}

function boxOf([cx, cy, w, h]: number[], width: number, height: number): [number, number, number, number] {
  return [(cx! - w! / 2) * width, (cy! - h! / 2) * height, (cx! + w! / 2) * width, (cy! + h! / 2) * height]
}

function extentOf(points: number[], width: number, height: number): [number, number, number, number] {
  const xs = points.filter((_, i) => i % 2 === 0)
  const ys = points.filter((_, i) => i % 2 === 1)
  return [Math.min(...xs) * width, Math.min(...ys) * height, Math.max(...xs) * width, Math.max(...ys) * height]
}

/** Class names: `names` of data.yaml, or classes.txt (beside or in labels/), one a line. */
async function readClasses(store: Store, base: string): Promise<string[]> {
  for (const name of ['data.yaml', 'data.yml']) {
    const path = join(base, name)
    if (await store.stat(path)) return yamlClasses(await store.readText(path), path)
  }
  for (const name of ['classes.txt', 'labels/classes.txt']) {
    const path = join(base, name)
    if (!(await store.stat(path))) continue
    const lines = (await store.readText(path)).split(/\r?\n/).map((line) => line.trim())
    while (lines.at(-1) === '') lines.pop()
    if (lines.length === 0 || lines.includes('')) throw new UserError(`${path}: must hold one class name a line`)
    return lines
  }
  throw new UserError(`${base || '.'}: a YOLO data set without class names; add classes.txt with one name a line, or data.yaml with names`)
}

function yamlClasses(text: string, path: string): string[] {
  let content: unknown
  try {
    content = parseYaml(text)
  } catch (cause) {
    throw new UserError(`${path}: is no YAML (${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}); mend the file`, { cause })
  }
  const parsed = dataSchema.safeParse(content)
  if (!parsed.success) throw new UserError(`${path}: has no usable names (a list, or a map from 0, 1, ... to names): ${z.prettifyError(parsed.error)}`)
  const { names } = parsed.data
  if (Array.isArray(names)) return names
  const list = Object.keys(names).map((_, i) => names[String(i)])
  if (list.length === 0 || list.includes(undefined)) throw new UserError(`${path}: names must be numbered 0, 1, ... without a gap; it has ${Object.keys(names).join(', ')}`)
  return list as string[]
}
