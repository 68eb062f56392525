/** @file Small helpers that the readers of data sets share: paths, folders, image names, bounded parallel work. */
import type { SkippedImage } from '../detection/annotation.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'

export interface Size {
  readonly width: number
  readonly height: number
}

/** Reads the size of an encoded image, stored orientation; throws UserError when it is none. */
export type ImageSize = (bytes: Uint8Array) => Promise<Size>

/** What every reader gets. `base` is the folder whose content gave the format away. */
export interface ReadOptions {
  readonly store: Store
  readonly base: string
  readonly split: string
  readonly imageSize?: ImageSize
}

/** The split that stands for all there is. */
export const everything = 'all'

export function join(...parts: string[]): string {
  return parts.filter((part) => part !== '').join('/').replace(/\/{2,}/g, '/')
}

export function stem(name: string): string {
  const file = name.slice(name.lastIndexOf('/') + 1)
  const dot = file.lastIndexOf('.')
  return dot > 0 ? file.slice(0, dot) : file
}

export async function isFolder(store: Store, path: string): Promise<boolean> {
  return (await store.stat(path))?.isDirectory === true
}

export function isImageName(name: string): boolean {
  return /\.(jpe?g|png|bmp|webp|tiff?|gif|avif)$/i.test(name)
}

/** Size of the image at `path`, for annotations that do not say it. */
export async function measure(options: ReadOptions, path: string): Promise<Size> {
  if (!options.imageSize) throw new TypeError(`the size of ${path} is needed: pass imageSize to openDataset`)
  const bytes = await options.store.read(path)
  try {
    return await options.imageSize(bytes)
  } catch (cause) {
    if (cause instanceof UserError) throw new UserError(`${path}: ${cause.message}`, { cause })
    throw cause
  }
}

/** What is said of a split without a usable image. */
export function noneReadable(split: string, skipped: readonly SkippedImage[]): UserError {
  return new UserError(`none of the ${skipped.length} images of split "${split}" can be read; the first: ${skipped[0]?.reason ?? 'the split is empty'}`)
}

/** Results of `work` in the order of `items`, a few at a time. */
export async function mapInParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>, width = 16): Promise<R[]> {
  const out = new Array<R>(items.length)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++
      out[i] = await work(items[i]!)
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return out
}
