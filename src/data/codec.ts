/** @file What the loader needs of a platform's image library. */
import type { Image } from '../detection/annotation.ts'
import type { Rect } from '../detection/preprocess.ts'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'

export interface ImageCodec {
  /** Encoded bytes -> RGB in stored orientation; throws UserError with the bare reason. */
  decode(bytes: Uint8Array): Promise<Image>
  /** `rect` of the image, which may exceed it, as `width` x `height` pixels; what it does not cover is `fill`. */
  cropResize(image: Image, rect: Rect, width: number, height: number, fill: readonly [number, number, number]): Promise<Image>
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
