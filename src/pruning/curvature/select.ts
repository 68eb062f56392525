/** @file The curvature of a detector's layers on training images, and the channels that backward elimination leaves. */
import type { SkippedImage } from '../../detection/annotation.ts'
import type { Runtime, SessionOptions } from '../../runtime/session.ts'
import { createRng, shuffled } from '../../tensor/rng.ts'
import type { Detector } from '../../train/detector.ts'
import type { OutputReading } from '../../train/distill.ts'
import type { Listener } from '../../train/events.ts'
import { type ImageSource, loaderFor } from '../../train/source.ts'
import type { ChannelGroup } from '../groups.ts'
import { type Curvature, measureCurvature } from './measure.ts'

export interface MeterOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** How many images are looked at, and how many at a time. Labels are not read. */
  readonly images: number
  readonly batch: number
  readonly seed: number
  /** Counts the forward-backward passes over images. */
  readonly passes: { selection: number }
  readonly listener?: Listener
}

export interface CurvatureMeter {
  /** Measured when it is first asked for; `reading` as in measureCurvature. */
  of(reading: OutputReading | undefined): Promise<Curvature>
  /** Images that could not be read so far. */
  skipped(): readonly SkippedImage[]
}

/** Of the layers that read `groups`, on images of `train` drawn by seed. */
export function createMeter(detector: Detector, groups: readonly ChannelGroup[], train: ImageSource, options: MeterOptions): CurvatureMeter {
  const { images: count, batch, seed } = options
  const samples = shuffled(train.dataset.samples, createRng(`${seed}/curvature-images`)).slice(0, count)
  const images = loaderFor({ ...train, dataset: { ...train.dataset, samples } }, detector.card, { batch, dropLast: true, cacheBytes: 0 })
  const known = new Map<OutputReading | undefined, Promise<Curvature>>()
  return {
    of(reading) {
      const found = known.get(reading) ?? measureCurvature(detector, groups, { ...options, reading, images })
      known.set(reading, found)
      return found
    },
    skipped: () => images.skipped,
  }
}
