/** @file Runs a detector over a split and measures it by COCO's protocol. */
import type { Dataset, Detections, Sample, SkippedImage } from '../detection/annotation.ts'
import { decodeSsd } from '../detection/decoders/ssd.ts'
import { toImage } from '../detection/preprocess.ts'
import { type CocoSummary, evaluateCoco } from '../metrics/coco-map.ts'
import type { Runtime, Session, SessionOptions } from '../runtime/session.ts'
import { floats } from '../tensor/tensor.ts'
import type { Batch } from '../data/loader.ts'
import type { Detector } from './detector.ts'
import type { Listener } from './events.ts'
import { type ImageSource, loaderFor } from './source.ts'

export interface Evaluation extends CocoSummary {
  /** Images measured. */
  readonly images: number
  /** Images that could not be read, by path and reason. */
  readonly skipped: readonly SkippedImage[]
}

export interface DetectOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Images a run, where the model's batch is free; default 4. */
  readonly batch?: number
  readonly listener?: Listener
}

/** Detections of every readable image of a source, boxes in pixels of the original image. */
export async function detectAll(
  detector: Detector, source: ImageSource, options: DetectOptions,
): Promise<{ found: { sample: Sample; detections: Detections }[]; skipped: Evaluation['skipped'] }> {
  const input = detector.model.graph.inputs.find((v) => !v.initializer)
  const batchDim = input?.shape?.[0]
  const batch = typeof batchDim === 'number' ? batchDim : (options.batch ?? 4)
  const loader = loaderFor(source, detector.card, { batch, cacheBytes: 0 })
  const session = await options.runtime.load(detector.model, options.session)
  const found: { sample: Sample; detections: Detections }[] = []
  options.listener?.({ type: 'phase', name: 'detect', total: source.dataset.samples.length, unit: 'images' })
  try {
    for await (const data of loader.epoch(0)) {
      const detections = await detectBatch(detector, session, input?.name ?? 'image', data, batch, typeof batchDim === 'number')
      data.samples.forEach((sample, i) => found.push({ sample, detections: detections[i]! }))
      options.listener?.({ type: 'progress', done: found.length, values: {} })
    }
  } finally {
    await session.release()
  }
  options.listener?.({ type: 'end', summary: `${found.length} images` })
  return { found, skipped: distinctImages([...source.dataset.skipped, ...loader.skipped]) }
}

/** COCO's numbers of a detector on a source whose labels are indices into the detector's classes. */
export async function evaluate(detector: Detector, source: ImageSource, options: DetectOptions): Promise<Evaluation> {
  const { found, skipped } = await detectAll(detector, source, options)
  const summary = evaluateCoco(found.map(({ sample, detections }) => ({ truth: sample.truth, detections })), detector.card.classes.length)
  return { images: found.length, skipped, ...summary }
}

async function detectBatch(detector: Detector, session: Session, input: string, data: Batch, batch: number, fixed: boolean): Promise<Detections[]> {
  const { card, defaults } = detector
  const n = data.samples.length
  const area = 3 * card.input.width * card.input.height
  // A fixed batch is filled up with what the buffer holds anyway: zeros.
  const rows = fixed ? batch : n
  const images = rows === n ? data.images : Float32Array.from({ length: rows * area }, (_, i) => data.images[i] ?? 0)
  const out = await session.run({ [input]: { dtype: 'float32', dims: [rows, 3, card.input.height, card.input.width], data: images } })
  const scores = floats(out[card.decoder.scores]!)
  const boxes = floats(out[card.decoder.boxes]!)
  const width = 1 + card.classes.length
  const d = defaults.count
  return data.transforms.map((transform, i) => {
    const found = decodeSsd(scores.subarray(i * d * width, (i + 1) * d * width), boxes.subarray(i * d * 4, (i + 1) * d * 4), defaults, card)
    return { ...found, boxes: toImage(found.boxes, transform) }
  })
}

/** Each image once. */
export function distinctImages(skipped: readonly SkippedImage[]): SkippedImage[] {
  return [...new Map(skipped.map((s) => [s.path, s])).values()]
}

/** A data set narrowed to its first `count` samples. */
export function firstSamples(dataset: Dataset, count: number): Dataset {
  return { ...dataset, samples: dataset.samples.slice(0, count) }
}
