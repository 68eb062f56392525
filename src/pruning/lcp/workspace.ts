/** @file What the parts of LCP share while a detector is pruned: runtime, images, the baseline, the working copy, counts. */
import type { AugmentOptions } from '../../data/augment.ts'
import type { Batch, Loader } from '../../data/loader.ts'
import type { Sample } from '../../detection/annotation.ts'
import type { Model } from '../../ir/graph.ts'
import type { Runtime, SessionOptions, Tensors } from '../../runtime/session.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import type { Detector } from '../../train/detector.ts'
import type { Listener } from '../../train/events.ts'
import { type ImageSource, loaderFor } from '../../train/source.ts'
import { type DetectorTask, imageFeeds } from '../../train/task.ts'
import { createRng, shuffled } from '../../tensor/rng.ts'
import { UserError } from '../../tensor/error.ts'
import type { LcpOptions } from './options.ts'

export interface Workspace {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly options: LcpOptions
  readonly augment: AugmentOptions
  readonly seed: number
  readonly listener?: Listener
  /** The detector as it came: M_b. */
  readonly baseline: Detector
  /** M_b at the working opset. */
  readonly baselineGraph: Model
  readonly train: ImageSource
  /** The detector's own loss, in stage fine-tuning and after the last stage end. */
  readonly task: DetectorTask
  /** Batches without augmentation, for scores. */
  readonly selection: Loader
  /** Augmented batches, for training while pruning. */
  readonly training: Loader
  /** Forward-backward passes over images so far, by purpose. */
  readonly passes: { selection: number; stage: number; update: number }
}

/** Feeds of a joint loss: image and boxes for the auxiliary network, or image and targets of the detector's own loss. */
export function jointFeeds(w: Workspace, aux: AuxTask | undefined): (data: Batch, seed: string) => Promise<Tensors> {
  return async (data, seed) => (aux ? { ...imageFeeds(w.baseline.card, data), ...aux.feeds(data, seed) } : w.task.feeds(data))
}

/** Loaders of a run: the selection images are drawn from those with objects. */
export function createLoaders(baseline: Detector, train: ImageSource, options: LcpOptions, augment: AugmentOptions, seed: number): { selection: Loader; training: Loader } {
  // Objects that the matcher passes over give no positives: an image with no other is left out.
  const matched = ({ truth }: Sample): boolean => truth.labels.some((_, i) => !truth.crowd[i] && !truth.difficult[i])
  const withObjects = train.dataset.samples.filter(matched)
  if (withObjects.length < options.batch) {
    throw new UserError(`split "${train.dataset.split}" has ${withObjects.length} images with objects, a batch needs ${options.batch}; give more labelled images or a smaller --batch`)
  }
  const chosen = shuffled(withObjects, createRng(`${seed}/selection`)).slice(0, options.images)
  const subset: ImageSource = { ...train, dataset: { ...train.dataset, samples: chosen } }
  return {
    selection: loaderFor(subset, baseline.card, { batch: options.batch, seed: `${seed}/selection`, dropLast: true }),
    training: loaderFor({ ...train, dataset: { ...train.dataset, samples: withObjects } }, baseline.card, { batch: options.batch, augment, seed: `${seed}/stages`, shuffle: true, dropLast: true }),
  }
}
