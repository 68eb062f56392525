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
import type { Judge } from './joint-loss.ts'
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

/** What L_a is at a stage whose auxiliary network is `aux`: without one, after the last stage end, the detector's own loss; nothing, where the method has no auxiliary networks. */
export function judgeOf(w: Workspace, aux: AuxTask | undefined): Judge {
  if (aux) return { aux }
  return w.options.aux ? { task: w.task } : undefined
}

/** Feeds of a joint loss: image and boxes for the auxiliary network, or image and targets of the detector's own loss, or the image alone. */
export function jointFeeds(w: Workspace, judge: Judge): (data: Batch, seed: string) => Promise<Tensors> {
  return async (data, seed) => {
    if (judge && 'task' in judge) return judge.task.feeds(data)
    return { ...imageFeeds(w.baseline.card, data), ...judge?.aux.feeds(data, seed) }
  }
}

/** Images with an object that is matched; crowds and difficult ones, which the matcher passes over, give no positives. Throws UserError for less than a batch. */
export function imagesWithObjects({ dataset }: ImageSource, batch: number): readonly Sample[] {
  const found = dataset.samples.filter(({ truth }) => truth.labels.some((_, i) => !truth.crowd[i] && !truth.difficult[i]))
  if (found.length < batch) throw new UserError(`split "${dataset.split}" has ${found.length} images with objects, a batch needs ${batch}; give more labelled images or a smaller --batch`)
  return found
}

/** Loaders of a run: the selection images are drawn from those with objects. */
export function createLoaders(baseline: Detector, train: ImageSource, options: LcpOptions, augment: AugmentOptions, seed: number): { selection: Loader; training: Loader } {
  const withObjects = imagesWithObjects(train, options.batch)
  const chosen = shuffled(withObjects, createRng(`${seed}/selection`)).slice(0, options.images)
  const subset: ImageSource = { ...train, dataset: { ...train.dataset, samples: chosen } }
  return {
    selection: loaderFor(subset, baseline.card, { batch: options.batch, seed: `${seed}/selection`, dropLast: true }),
    training: loaderFor({ ...train, dataset: { ...train.dataset, samples: withObjects } }, baseline.card, { batch: options.batch, augment, seed: `${seed}/stages`, shuffle: true, dropLast: true }),
  }
}
