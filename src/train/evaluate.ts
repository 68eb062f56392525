/** @file Runs a detector over a split and measures it by COCO's protocol. */
import type { Dataset, Detections, Sample, SkippedImage } from '../detection/annotation.ts'
import { clipBoxes } from '../detection/boxes.ts'
import { decoderOf } from '../detection/card.ts'
import { type Decoder, imageOf } from '../detection/decoders/decoder.ts'
import { toImage } from '../detection/preprocess.ts'
import { cocoInputOf } from '../metrics/coco-input.ts'
import { type CocoSummary, summarizeCoco } from '../metrics/coco-map.ts'
import { type ErrorTypes, errorTypes } from '../metrics/error-types.ts'
import type { MeasuredImage } from '../metrics/detections-file.ts'
import type { Runtime, Session, SessionOptions, Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import type { Batch } from '../data/loader.ts'
import type { Detector } from './detector.ts'
import type { Listener } from './events.ts'
import { type ImageSource, loaderFor } from './source.ts'

export interface Evaluation extends CocoSummary {
  /** Images measured. */
  readonly images: number
  /** Classes measured: those that the data knows, of which `perClass` has them all. */
  readonly measured: readonly number[]
  /** The images measured, each with what was found of those classes. */
  readonly found: readonly MeasuredImage[]
  /** What kinds of mistakes cost how much. */
  readonly errorTypes: ErrorTypes
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
  const decoder = decoderOf(detector.card)
  const file = options.session?.file ?? 'the model'
  if (decoder.oneByOne && typeof batchDim === 'number' && batchDim > 1) throw new UserError(`${file}: has a batch of ${batchDim} built in, but outputs in which images cannot be told apart; export it with a batch of 1`)
  const batch = typeof batchDim === 'number' ? batchDim : decoder.oneByOne ? 1 : (options.batch ?? 4)
  const loader = loaderFor(source, detector.card, { batch, cacheBytes: 0 })
  const session = await options.runtime.load(detector.model, options.session)
  const found: { sample: Sample; detections: Detections }[] = []
  options.listener?.({ type: 'phase', name: 'detect', total: source.dataset.samples.length, unit: 'images' })
  try {
    for await (const data of loader.epoch(0)) {
      const detections = await detectBatch(detector, decoder, session, input?.name ?? 'image', data, batch, typeof batchDim === 'number', file)
      data.samples.forEach((sample, i) => found.push({ sample, detections: detections[i]! }))
      options.listener?.({ type: 'progress', done: found.length, values: {} })
    }
  } finally {
    await session.release()
  }
  options.listener?.({ type: 'end', summary: `${found.length} images` })
  return { found, skipped: distinctImages([...source.dataset.skipped, ...loader.skipped]) }
}

/**
 * COCO's numbers and the error types of a detector on a source whose labels are indices into the detector's classes. Each image's detections are the best of all
 * classes; those of classes that the data does not know are left out then.
 */
export async function evaluate(detector: Detector, source: ImageSource, options: DetectOptions): Promise<Evaluation> {
  const { found: all, skipped } = await detectAll(detector, source, options)
  const measured = source.dataset.present ?? [...detector.card.classes.keys()]
  const found = all.map(({ sample, detections }) => ({ sample, detections: ofClasses(detections, measured) }))
  const input = cocoInputOf(found.map(({ sample, detections }) => ({ truth: sample.truth, detections })), detector.card.classes.length)
  return { images: found.length, measured, found, skipped, ...summarizeCoco(input), errorTypes: errorTypes(input) }
}

function ofClasses({ boxes, scores, labels }: Detections, classes: readonly number[]): Detections {
  const known = new Set(classes)
  const kept = [...labels.keys()].filter((i) => known.has(labels[i]!))
  return {
    boxes: Float32Array.from({ length: 4 * kept.length }, (_, i) => boxes[4 * kept[i >> 2]! + (i & 3)]!),
    scores: Float32Array.from(kept, (i) => scores[i]!),
    labels: Int32Array.from(kept, (i) => labels[i]!),
  }
}

async function detectBatch({ card }: Detector, decoder: Decoder, session: Session, input: string, data: Batch, batch: number, fixed: boolean, file: string): Promise<Detections[]> {
  const n = data.samples.length
  const area = 3 * card.input.width * card.input.height
  // A fixed batch is filled up with what the buffer holds anyway: zeros.
  const rows = fixed ? batch : n
  const images = rows === n ? data.images : Float32Array.from({ length: rows * area }, (_, i) => data.images[i] ?? 0)
  const out = await session.run({ [input]: { dtype: 'float32', dims: [rows, 3, card.input.height, card.input.width], data: images } })
  return data.transforms.map((transform, i) => {
    const found = decodeNamed(decoder, decoder.oneByOne ? out : imageOf(out, decoder.outputs, i), file)
    const { width, height } = data.samples[i]!
    // A letterbox has room beside the image.
    return { ...found, boxes: clipBoxes(toImage(found.boxes, transform), width, height) }
  })
}

function decodeNamed(decoder: Decoder, image: Tensors, file: string): Detections {
  try {
    return decoder.decode(image)
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}`, { cause: error }) : error
  }
}

/** Each image once. */
export function distinctImages(skipped: readonly SkippedImage[]): SkippedImage[] {
  return [...new Map(skipped.map((s) => [s.path, s])).values()]
}

/** A data set narrowed to its first `count` samples. */
export function firstSamples(dataset: Dataset, count: number): Dataset {
  return { ...dataset, samples: dataset.samples.slice(0, count) }
}
