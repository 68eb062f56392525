/** @file Labels where there are none: what the unpruned detector itself finds. */
import type { Detections, GroundTruth, Sample } from '../detection/annotation.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from './detector.ts'
import { detectAll, type DetectOptions } from './evaluate.ts'
import type { ImageSource } from './source.ts'

/**
 * `source` with the detections of `detector` scored `threshold` or higher in place of its labels, as indices into the detector's classes; images
 * that cannot be read are left out (and told by `skipped`). Throws UserError where the detector finds nothing at all.
 */
export async function labelByDetector(detector: Detector, source: ImageSource, threshold: number, options: DetectOptions): Promise<ImageSource> {
  const { found, skipped } = await detectAll(detector, source, options)
  const samples: Sample[] = found.map(({ sample, detections }) => ({ ...sample, truth: truthOf(detections, threshold) }))
  if (samples.every((s) => s.truth.labels.length === 0)) {
    throw new UserError(`the detector finds nothing scored ${threshold} or higher in the ${samples.length} images of split "${source.dataset.split}", so they cannot be labelled by it; lower the threshold, or give images of what it detects`)
  }
  return { ...source, dataset: { ...source.dataset, classes: detector.card.classes, present: undefined, samples, skipped } }
}

function truthOf({ boxes, scores, labels }: Detections, threshold: number): GroundTruth {
  const kept = [...scores.keys()].filter((i) => scores[i]! >= threshold)
  const own = Float32Array.from({ length: 4 * kept.length }, (_, i) => boxes[4 * kept[i >> 2]! + (i & 3)]!)
  return {
    boxes: own,
    labels: Int32Array.from(kept, (i) => labels[i]!),
    crowd: new Uint8Array(kept.length),
    difficult: new Uint8Array(kept.length),
    areas: Float32Array.from(kept, (_, k) => (own[4 * k + 2]! - own[4 * k]!) * (own[4 * k + 3]! - own[4 * k + 1]!)),
  }
}
