/** @file The images of an export: how its model takes them, those to calibrate on, and those to measure on where they have labels. */
import { everything } from '../data/files.ts'
import { foreignClasses, mapClasses } from '../data/open.ts'
import type { SkippedImage } from '../detection/annotation.ts'
import { ownCard } from '../detection/card.ts'
import { parsePreprocess } from '../detection/preprocess-words.ts'
import type { Model } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import type { Detector } from '../train/detector.ts'
import { firstSamples } from '../train/evaluate.ts'
import { type ImageCard, imageRuns, type ImageSource } from '../train/source.ts'
import type { Context } from './context.ts'
import { cardRequest } from './detector-options.ts'
import type { CalibrationInputs } from './export-model.ts'
import type { ExportOptions } from './export-options.ts'
import { openDetector, type OpenedModel } from './open-model.ts'
import { openData } from './open-source.ts'
import { sessionOptions } from './session.ts'
import { assertTakesImages } from './takes-images.ts'

export interface ImageModel {
  readonly model: Model
  /** What its images go through. */
  readonly card: ImageCard
  /** Where its outputs can be read as boxes. */
  readonly detector?: Detector
}

/** A detector; or, where no decoder reads the outputs but --preprocess says all of the images, a model of images. */
export async function openImageModel({ path, model }: OpenedModel, options: ExportOptions, context: Context): Promise<ImageModel> {
  try {
    const { detector } = await openDetector(path, { request: await cardRequest(options), session: sessionOptions(options, path), note: context.note })
    assertTakesImages(detector.model, detector.card.input, path, 'calibration')
    return { model: detector.model, card: detector.card, detector }
  } catch (error) {
    const card = error instanceof UserError && options.decoder === undefined && !ownCard(model.metadata, path) ? plainCard(model, options) : undefined
    if (!card) throw error
    context.note(`AP is not measured: ${(error as UserError).message}`)
    assertTakesImages(model, card.input, path, 'calibration')
    return { model, card }
  }
}

function plainCard({ graph }: Model, { preprocess }: ExportOptions): ImageCard | undefined {
  if (preprocess === undefined) return undefined
  const { channels, mean, std, resize, pad, size } = parsePreprocess(preprocess, '--preprocess')
  const [, , height, width] = graph.inputs.find((v) => !v.initializer)?.shape ?? []
  const input = size ?? (typeof height === 'number' && typeof width === 'number' ? { width, height } : undefined)
  return input && channels && mean && std && resize ? { input, channels, mean, std, resize, pad } : undefined
}

export interface ExportImages {
  /** `skipped`: images that could not be read, once the inputs have been. */
  readonly calibration: CalibrationInputs & { readonly split: string; readonly images: number; skipped(): readonly SkippedImage[] }
  /** Labelled in the model's classes; undefined where there are no such labels. */
  readonly measured: ImageSource | undefined
}

/** Opens the images of --data. */
export async function openExportImages({ model, card, detector }: ImageModel, options: ExportOptions & { readonly data: string }, context: Context): Promise<ExportImages> {
  const data = await openData({ data: options.data }, context, undefined, true)
  const split = options.calibrationSplit ?? ['train', 'val'].find((name) => data.splits.includes(name)) ?? everything
  const source = await data.open(split)
  const samples = shuffled(source.dataset.samples, createRng(`${options.seed}/calibration`)).slice(0, options.images)
  const drawn = imageRuns({ model, card }, { ...source, dataset: { ...source.dataset, samples } })
  const measured = detector && labelled(await data.open(options.split), detector.card.classes, options, context)
  if (measured?.dataset.split === split) context.note(`measured on split "${split}", which is calibrated on too`)
  const skipped = (): SkippedImage[] => [...source.dataset.skipped, ...drawn.loader.skipped]
  return { calibration: { split, images: samples.length, runs: drawn.runs, inputs: drawn.inputs, skipped }, measured }
}

function labelled(source: ImageSource, classes: readonly string[], { limit, data }: ExportOptions, context: Context): ImageSource | undefined {
  const { dataset } = source
  const [foreign] = dataset.classes.length === 0 ? [] : foreignClasses(dataset, classes)
  if (dataset.classes.length === 0 || foreign !== undefined) {
    context.note(`AP is not measured: ${foreign === undefined ? `${data} has no labels` : `class "${foreign}" of ${data} is unknown to the model`}`)
    return undefined
  }
  const mapped = mapClasses(dataset, classes)
  return { ...source, dataset: limit === undefined ? mapped : firstSamples(mapped, limit) }
}
