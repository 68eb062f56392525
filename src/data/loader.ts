/** @file Batches for training and evaluation: decoded, augmented, normalised, some batches ahead of the caller. */
import type { Dataset, GroundTruth, Image, Sample, SkippedImage } from '../detection/annotation.ts'
import { fillColor, mirror, normalize, transformOf, type BoxTransform, type Preprocess } from '../detection/preprocess.ts'
import { UserError } from '../tensor/error.ts'
import { createRng, shuffled, type Rng } from '../tensor/rng.ts'
import { augmentPresets, sampleGeometry, type AugmentOptions } from './augment.ts'
import { type ImageCodec, readSample } from './codec.ts'
import { noneReadable } from './files.ts'
import { applyPhotometric, samplePhotometric } from './photometric.ts'

export interface LoaderOptions {
  readonly dataset: Dataset
  readonly readImage: (sample: Sample) => Promise<Image>
  readonly cropResize: ImageCodec['cropResize']
  readonly preprocess: Preprocess
  /** Images a batch. */
  readonly batch: number
  /** Default: none. */
  readonly augment?: AugmentOptions
  /** Everything random follows from it, the epoch and the sample's id. Default 0. */
  readonly seed?: number | string
  /** A new order each epoch. Default false: the data set's order. */
  readonly shuffle?: boolean
  /** Batches prepared ahead of the caller. Default 3. */
  readonly prefetch?: number
  /** Leaves out a last batch that is not full. Default false. */
  readonly dropLast?: boolean
  /** Bytes of decoded images to keep for the next epoch. Default 512 MiB. */
  readonly cacheBytes?: number
}

/** B images, B <= the loader's batch. */
export interface Batch {
  /** [B,3,H,W] normalised, in the network's channel order. */
  readonly images: Float32Array
  /** Boxes in pixels of the network's input. */
  readonly truths: readonly GroundTruth[]
  readonly samples: readonly Sample[]
  /** Image pixels to input pixels; `toImage` of detection/preprocess goes back. */
  readonly transforms: readonly BoxTransform[]
}

export interface Loader {
  /** The batches of epoch `n`, the same ones each time it is asked for. Throws UserError when no image can be read. */
  epoch(n: number): AsyncGenerator<Batch, void, undefined>
  /** Batches an epoch, if every image can be read. */
  readonly batches: number
  /** Milliseconds that callers have waited for images, so far. */
  readonly waitedMs: number
  /** Images that could not be used, each once. */
  readonly skipped: readonly SkippedImage[]
}

interface Prepared {
  readonly sample: Sample
  readonly pixels: Float32Array
  readonly truth: GroundTruth
  readonly transform: BoxTransform
}
type Outcome = { readonly prepared: Prepared } | { readonly skipped: string; readonly path: string } | { readonly failure: unknown }

export function createLoader(options: LoaderOptions): Loader {
  const { dataset, preprocess: pre, batch, augment = augmentPresets.none, seed = 0, prefetch = 3, dropLast = false } = options
  if (!(batch >= 1) || !Number.isInteger(batch)) throw new UserError(`a batch of ${batch} images is impossible; give a whole number of at least 1`)
  const root = createRng(seed)
  const readImage = caching(options.readImage, options.cacheBytes ?? 512 * 2 ** 20)
  const unusable = new Map<string, string>()
  const fill = fillColor(pre)
  let waitedMs = 0

  const prepare = async (sample: Sample, rng: Rng): Promise<Prepared> => {
    const image = await readSample(readImage, sample)
    const { rect, placement, flip, truth } = sampleGeometry(sample.truth, image.width, image.height, pre, rng.fork('geometry'), augment)
    const shown = await options.cropResize(image, rect, pre.width, pre.height, fill)
    // Only a copy may be changed: the codec may hand back the cached image itself.
    const own: Image = augment.flip || augment.photometric !== 'none' ? { ...shown, data: shown === image ? shown.data.slice() : shown.data } : shown
    if (flip) mirror(own, placement.target)
    if (augment.photometric !== 'none') applyPhotometric(own, placement.target, samplePhotometric(rng.fork('photometric'), augment.photometric))
    return { sample, pixels: normalize(own, pre), truth, transform: transformOf(placement, flip) }
  }

  const skipped = (): SkippedImage[] => [...unusable].map(([path, reason]) => ({ path, reason }))

  // Never rejects: a caller may leave the epoch while images are on their way.
  const attempt = async (sample: Sample, rng: Rng): Promise<Outcome> => {
    const known = unusable.get(sample.path)
    if (known !== undefined) return { skipped: known, path: sample.path }
    try {
      return { prepared: await prepare(sample, rng) }
    } catch (error) {
      return error instanceof UserError ? { skipped: error.message, path: sample.path } : { failure: error }
    }
  }

  async function* epoch(n: number): AsyncGenerator<Batch, void, undefined> {
    const rng = root.fork(`epoch ${n}`)
    const order = options.shuffle ? shuffled(dataset.samples, rng.fork('order')) : dataset.samples
    const ahead = batch * (1 + Math.max(0, prefetch))
    const pending: Promise<Outcome>[] = []
    let next = 0
    const refill = (inHand: number): void => {
      while (inHand + pending.length < ahead && next < order.length) {
        const sample = order[next++]!
        pending.push(attempt(sample, rng.fork(`sample ${sample.id}`)))
      }
    }
    let yielded = 0
    for (;;) {
      const ready: Prepared[] = []
      refill(0)
      while (ready.length < batch && pending.length > 0) {
        const start = performance.now()
        const outcome = await pending.shift()!
        waitedMs += performance.now() - start
        if ('failure' in outcome) throw outcome.failure
        if ('prepared' in outcome) ready.push(outcome.prepared)
        else unusable.set(outcome.path, outcome.skipped)
        refill(ready.length)
      }
      if (ready.length === 0 && yielded === 0) throw noneReadable(dataset.split, skipped())
      if (ready.length < batch && dropLast) {
        if (yielded === 0) throw new UserError(`split "${dataset.split}" has ${ready.length} usable images, less than a batch of ${batch}; choose a smaller batch`)
        return
      }
      if (ready.length === 0) return
      yielded++
      yield assemble(ready, pre)
    }
  }

  const count = dataset.samples.length / batch
  return {
    epoch,
    batches: dropLast ? Math.floor(count) : Math.ceil(count),
    get waitedMs() {
      return waitedMs
    },
    get skipped() {
      return skipped()
    },
  }
}

function assemble(ready: readonly Prepared[], pre: Preprocess): Batch {
  const area = 3 * pre.width * pre.height
  const images = new Float32Array(ready.length * area)
  ready.forEach((item, i) => images.set(item.pixels, i * area))
  return { images, truths: ready.map((item) => item.truth), samples: ready.map((item) => item.sample), transforms: ready.map((item) => item.transform) }
}

/** Keeps what was read until `limit` bytes are full. Nothing is thrown out for newer images: an epoch needs each once, so old and new are worth the same. */
function caching(readImage: LoaderOptions['readImage'], limit: number): LoaderOptions['readImage'] {
  const kept = new Map<string, Image>()
  let used = 0
  return async (sample) => {
    const known = kept.get(sample.id)
    if (known) return known
    const image = await readImage(sample)
    if (!kept.has(sample.id) && used + image.data.length <= limit) {
      used += image.data.length
      kept.set(sample.id, image)
    }
    return image
  }
}
