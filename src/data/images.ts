/** @file Folders of images without labels: for training by a teacher. */
import type { Dataset, Sample, SkippedImage } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { everything, isFolder, isImageName, join, mapInParallel, measure, type ReadOptions, stem } from './files.ts'
import { buildTruth } from './truth.ts'

/** Whether images lie in the folder or one folder below. */
export async function isImages(store: Store, base: string): Promise<boolean> {
  return (await imagePaths(store, base)).length > 0
}

/** Every image in the folder and one folder below, nothing labelled; one split, "all". */
export async function readImages(options: ReadOptions): Promise<Dataset> {
  const { store, base } = options
  const skipped: SkippedImage[] = []
  const samples = await mapInParallel(await imagePaths(store, base), async (path): Promise<Sample | undefined> => {
    try {
      const { width, height } = await measure(options, path)
      const folder = path.slice(base.length).replace(/^\//, '').replace(/[^/]+$/, '')
      return { id: `${folder}${stem(path)}`, path, width, height, truth: buildTruth([], width, height, []) }
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      skipped.push({ path, reason: error.message })
      return undefined
    }
  })
  return { format: 'images', split: everything, classes: [], samples: samples.filter((s) => s !== undefined), problems: [], skipped: skipped.sort((a, b) => (a.path < b.path ? -1 : 1)) }
}

async function imagePaths(store: Store, base: string): Promise<string[]> {
  if (!(await isFolder(store, base))) return []
  const paths: string[] = []
  for (const name of await store.list(base)) {
    const path = join(base, name)
    if (isImageName(name)) paths.push(path)
    else if (!name.startsWith('.') && (await isFolder(store, path))) paths.push(...(await store.list(path)).filter(isImageName).map((inner) => join(path, inner)))
  }
  return paths
}
