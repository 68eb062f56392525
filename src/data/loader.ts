/** @file Batches for training and evaluation, prepared some ahead of the caller: which images in what order, how each is shown, its boxes. */
import type { Dataset, GroundTruth, Image, Sample, SkippedImage } from '../detection/annotation.ts'
import { transformOf, type BoxTransform, type Preprocess } from '../detection/preprocess.ts'
import { UserError } from '../tensor/error.ts'
import { createRng, shuffled, type Rng } from '../tensor/rng.ts'
import { augmentPresets, sampleGeometry, type AugmentOptions } from './augment.ts'
import { caching } from './cache.ts'
import { type ImageCodec, readSample } from './codec.ts'
import { noneReadable } from './files.ts'
import { samplePhotometric } from './photometric.ts'
import { type PixelJob, renderPixels } from './pixels.ts'

export interface LoaderOptions {
  readonly dataset: Dataset
  readonly readImage: (sample: Sample) => Promise<Image>
  readonly cropResize: ImageCodec['cropResize']
  /** Does what `readImage`, `cropResize` and `renderPixels` do, elsewhere: while this thread is busy. Keeps up to `cacheBytes` of decoded images. Default: it is done here. */
  readonly pixels?: (sample: Sample, job: PixelJob, cacheBytes: number) => Promise<Float32Array>
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
  /** The last epoch, where they follow one another: the first images of each are prepared while the last of the one before are used. Default: none is. */
  readonly lastEpoch?: number
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
  /** Milliseconds that callers have waited for batches, so far: for the first that was asked for, and for all others. */
  readonly waitedMs: { readonly first: number; readonly later: number }
  /** Images that could not be used, each once. */
  readonly skipped: readonly SkippedImage[]
}

interface Prepared {
  readonly sample: Sample
  readonly pixels: Float32Array
  readonly truth: GroundTruth
  readonly transform: BoxTransform
}

/** An epoch of which some images are on their way. */
interface Epoch {
  readonly rng: Rng
  readonly order: readonly Sample[]
  readonly pending: Promise<Outcome>[]
  /** Place in `order` of the next image to start on. */
  next: number
}

type Outcome = { readonly prepared: Prepared } | { readonly skipped: string; readonly path: string } | { readonly failure: unknown }

export function createLoader(options: LoaderOptions): Loader {
  const { dataset, preprocess: pre, batch, augment = augmentPresets.none, seed = 0, prefetch = 3, dropLast = false } = options
  if (!(batch >= 1) || !Number.isInteger(batch)) throw new UserError(`a batch of ${batch} images is impossible; give a whole number of at least 1`)
  const root = createRng(seed)
  const unusable = new Map<string, string>()
  const cacheBytes = options.cacheBytes ?? 512 * 2 ** 20
  const readImage = caching(options.readImage, cacheBytes)
  const here = async (sample: Sample, job: PixelJob): Promise<Float32Array> => renderPixels(await readSample(readImage, sample), job, options.cropResize)
  const pixelsOf = options.pixels ?? here
  const begun = new Map<number, Epoch>()
  let first: number | undefined
  let later = 0

  const prepare = async (sample: Sample, rng: Rng): Promise<Prepared> => {
    const { rect, placement, flip, truth } = sampleGeometry(sample.truth, sample.width, sample.height, pre, rng.fork('geometry'), augment)
    const photometric = augment.photometric === 'none' ? undefined : samplePhotometric(rng.fork('photometric'), augment.photometric)
    const pixels = await pixelsOf(sample, { preprocess: pre, rect, flip, photometric }, cacheBytes)
    return { sample, pixels, truth, transform: transformOf(placement, flip) }
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

  const begin = (n: number): Epoch => {
    const rng = root.fork(`epoch ${n}`)
    return { rng, order: options.shuffle ? shuffled(dataset.samples, rng.fork('order')) : dataset.samples, pending: [], next: 0 }
  }
  const follower = (n: number): Epoch | undefined => {
    if (options.lastEpoch === undefined || n >= options.lastEpoch) return undefined
    return begun.get(n + 1) ?? begun.set(n + 1, begin(n + 1)).get(n + 1)
  }

  /** Starts on up to `room` more images of an epoch; gives the room that is left. */
  const startOn = (epoch: Epoch, room: number): number => {
    for (; room > 0 && epoch.next < epoch.order.length; room--) {
      const sample = epoch.order[epoch.next++]!
      epoch.pending.push(attempt(sample, epoch.rng.fork(`sample ${sample.id}`)))
    }
    return room
  }

  async function* epoch(n: number): AsyncGenerator<Batch, void, undefined> {
    const own = begun.get(n) ?? begin(n)
    begun.delete(n)
    const ahead = batch * (1 + Math.max(0, prefetch))
    const refill = (inHand: number): void => {
      const left = startOn(own, ahead - inHand - own.pending.length)
      const next = left > 0 ? follower(n) : undefined
      if (next) startOn(next, left - next.pending.length)
    }
    let yielded = 0
    for (;;) {
      const start = performance.now()
      const ready: Prepared[] = []
      refill(0)
      while (ready.length < batch && own.pending.length > 0) {
        const outcome = await own.pending.shift()!
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
      const made = assemble(ready, pre)
      const waited = performance.now() - start
      if (first === undefined) first = waited
      else later += waited
      yield made
    }
  }

  const count = dataset.samples.length / batch
  return {
    epoch,
    batches: dropLast ? Math.floor(count) : Math.ceil(count),
    get waitedMs() {
      return { first: first ?? 0, later }
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
