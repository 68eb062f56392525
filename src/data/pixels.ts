/** @file The pixels of one image as the network gets them: cut out, resized, mirrored, recoloured, normalised. */
import type { Image } from '../detection/annotation.ts'
import { fillColor, mirror, normalize, place, type Preprocess, type Rect } from '../detection/preprocess.ts'
import type { ImageCodec } from './codec.ts'
import { applyPhotometric, type PhotometricDraw } from './photometric.ts'

/** What is done to an image. Plain data, so that a worker may do it. */
export interface PixelJob {
  readonly preprocess: Preprocess
  /** What of the image, in its pixels, fills the network's input; it may exceed the image. */
  readonly rect: Rect
  readonly flip: boolean
  /** Default: colours stay. */
  readonly photometric?: PhotometricDraw
}

/** [3,H,W] of the network's input, in memory of its own; `image` stays as it is. */
export async function renderPixels(image: Image, { preprocess: pre, rect, flip, photometric }: PixelJob, cropResize: ImageCodec['cropResize']): Promise<Float32Array<ArrayBuffer>> {
  const shown = await cropResize(image, rect, pre.width, pre.height, fillColor(pre))
  const { target } = place(rect, image.width, image.height, pre.width, pre.height)
  // Only a copy may be changed: the codec may hand back the image itself.
  const own: Image = (flip || photometric) && shown === image ? { ...shown, data: shown.data.slice() } : shown
  if (flip) mirror(own, target)
  if (photometric) applyPhotometric(own, target, photometric)
  const out = new Float32Array(3 * pre.width * pre.height)
  normalize(own, pre, out)
  return out
}
