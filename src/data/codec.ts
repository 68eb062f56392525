/** @file What the loader needs of a platform's image library. */
import type { Image, Sample } from '../detection/annotation.ts'
import type { Rect } from '../detection/preprocess.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'

export interface ImageCodec {
  /** Encoded bytes -> RGB in stored orientation; throws UserError with the bare reason. */
  decode(bytes: Uint8Array): Promise<Image>
  /** `rect` of the image, which may exceed it, as `width` x `height` pixels; what it does not cover is `fill`. */
  cropResize(image: Image, rect: Rect, width: number, height: number, fill: readonly [number, number, number]): Promise<Image>
}

/** The pixels of a sample; throws UserError where they do not decode, or are not of the size that the annotation says. */
export async function readSample(readImage: (sample: Sample) => Promise<Image>, sample: Sample): Promise<Image> {
  const image = await readImage(sample)
  if (image.width !== sample.width || image.height !== sample.height) {
    throw new UserError(`${sample.path}: is ${image.width}x${image.height}, its annotation says ${sample.width}x${sample.height}; mend one of them`)
  }
  return image
}

/** Reads images of a store by path; errors name the path. */
export function imageReader(store: Store, codec: Pick<ImageCodec, 'decode'>): (sample: { readonly path: string }) => Promise<Image> {
  return async ({ path }) => {
    const bytes = await store.read(path)
    try {
      return await codec.decode(bytes)
    } catch (cause) {
      if (cause instanceof UserError) throw new UserError(`${path}: ${cause.message}`, { cause })
      throw cause
    }
  }
}
