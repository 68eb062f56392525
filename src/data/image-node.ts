/** @file Images in Node, by sharp: decoded, shrunk and encoded on its own threads. */
import sharp, { type Sharp } from 'sharp'
import type { Detections, Image } from '../detection/annotation.ts'
import { place, type Rect } from '../detection/preprocess.ts'
import { UserError } from '../tensor/error.ts'
import type { ImageCodec } from './codec.ts'
import { drawBoxes } from './draw.ts'
import type { Size } from './files.ts'
import { resample } from './resample.ts'

// Broken files are errors, mere warnings of a decoder are not: public data sets are full of them. Colour profiles
// are left alone, as in the libraries that detectors are trained with.
const reading = { failOn: 'error', ignoreIcc: true } as const

/** Pixels of the encoded image as stored: annotations count from there, whatever its EXIF orientation says. */
export async function imageSize(bytes: Uint8Array): Promise<Size> {
  const { width, height } = await guarded(() => sharp(bytes, reading).metadata())
  return { width, height }
}

/** Any format sharp reads -> RGB: grey is spread, alpha dropped, CMYK and 16 bits converted. The EXIF orientation is not applied. */
export async function decodeImage(bytes: Uint8Array): Promise<Image> {
  const { data, info } = await guarded(() => sharp(bytes, reading).toColourspace('srgb').removeAlpha().raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true }))
  if (info.channels !== 3) throw new UserError(`decodes to ${info.channels} channels, not to RGB; convert the file`)
  return { width: info.width, height: info.height, data: bytesOf(data) }
}

/** The whole image stretched to `width` x `height`: bilinear, antialiased when shrinking. */
export async function resizeImage(image: Image | Uint8Array, width: number, height: number): Promise<Image> {
  const whole = image instanceof Uint8Array ? await decodeImage(image) : image
  return cropResize(whole, { x: 0, y: 0, width: whole.width, height: whole.height }, width, height, [0, 0, 0])
}

/** The part `rect` of the image, which may exceed it, as `width` x `height`; uncovered pixels are `fill`. Pixels go where `place` says. */
export async function cropResize(image: Image, rect: Rect, width: number, height: number, fill: readonly [number, number, number]): Promise<Image> {
  const { source, target } = place(rect, image.width, image.height, width, height)
  const full = target.width === width && target.height === height
  // libvips shifts by up to half a pixel when it enlarges, so that is done here; shrinking agrees with PIL's and torch's antialiased bilinear.
  const enlarges = target.width > source.width || target.height > source.height
  const input = enlarges ? resample(image, source, target.width, target.height) : image
  if (enlarges && full) return input
  let pipeline = rawImage(input)
  if (!enlarges) {
    pipeline = pipeline
      .extract({ left: source.x, top: source.y, width: source.width, height: source.height })
      .resize(target.width, target.height, { fit: 'fill', kernel: 'linear' })
  }
  if (!full) {
    const [r, g, b] = fill
    pipeline = pipeline.extend({
      left: target.x,
      top: target.y,
      right: width - target.x - target.width,
      bottom: height - target.y - target.height,
      background: { r, g, b },
    })
  }
  return { width, height, data: bytesOf(await pipeline.raw().toBuffer()) }
}

/** The image with its detections drawn, as JPEG (default) or PNG bytes. */
export async function drawDetections(image: Image, detections: Detections, classes: readonly string[], format: 'jpeg' | 'png' = 'jpeg'): Promise<Uint8Array> {
  return encodeImage(drawBoxes(image, detections, classes), format)
}

export async function encodeImage(image: Image, format: 'jpeg' | 'png' = 'jpeg'): Promise<Uint8Array> {
  const raw = rawImage(image)
  return bytesOf(await (format === 'png' ? raw.png() : raw.jpeg({ quality: 92 })).toBuffer())
}

export const nodeCodec: ImageCodec = { decode: decodeImage, cropResize }

function rawImage(image: Image): Sharp {
  return sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
}

function bytesOf(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

/** sharp's errors as a user's: the first line, without the library's names. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const line = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]!
    const reason = line.replace(/^Input (buffer|bit array) /i, '').replace(/^has corrupt header: ?/i, '').replace(/\bvips\w*: /gi, '').trim()
    // Some decoders have no word for what is cut short.
    const why = reason === '' || /unknown error/i.test(reason) ? 'truncated or damaged' : reason
    throw new UserError(`is no readable image (${why}); replace or remove the file`, { cause })
  }
}
