/** @file Where images come from: a split of a data set with the means to read and resize its images. */
import { createLoader, type Loader, type LoaderOptions } from '../data/loader.ts'
import type { Sample } from '../detection/annotation.ts'
import { preprocessOf } from '../detection/preprocess.ts'
import type { Tensors } from '../runtime/session.ts'
import type { Detector } from './detector.ts'

export type ImageSource = Pick<LoaderOptions, 'dataset' | 'readImage' | 'cropResize' | 'pixels'>

/** What a detector card says of the images. */
export type ImageCard = Parameters<typeof preprocessOf>[0]

/** Batches of `source` as the detector wants them. */
export function loaderFor(source: ImageSource, card: ImageCard, options: Omit<LoaderOptions, keyof ImageSource | 'preprocess'>): Loader {
  return createLoader({ ...source, preprocess: preprocessOf(card), ...options })
}

/** Images a run where the model leaves its batch free. */
const freeBatch = 4

/** Inputs of the detector's model, whose one input takes images: a set for each batch of the source's first images, as they are; `runs` of them. */
export function imageRuns({ model, card }: Pick<Detector, 'model'> & { readonly card: ImageCard }, source: ImageSource): { readonly loader: Loader; readonly batch: number; readonly runs: number; inputs(): AsyncGenerator<Tensors> } {
  const image = model.graph.inputs.find((v) => !v.initializer)!
  const fixed = image.shape?.[0]
  const batch = typeof fixed === 'number' ? fixed : freeBatch
  const loader = loaderFor(source, card, { batch, dropLast: typeof fixed === 'number' && fixed > 1, cacheBytes: 0 })
  async function* inputs(): AsyncGenerator<Tensors> {
    for await (const { images, samples } of loader.epoch(0)) yield { [image.name]: { dtype: 'float32', dims: [samples.length, 3, card.input.height, card.input.width], data: images } }
  }
  return { loader, batch, runs: loader.batches, inputs }
}

/** The images of several sources, whose labels count in the same classes, as one; the first gives the split its name. */
export function joinSources(first: ImageSource, ...others: readonly ImageSource[]): ImageSource {
  if (others.length === 0) return first
  const origins = new Map<string, { source: ImageSource; sample: Sample }>()
  const all = [first, ...others]
  // Two data sets may both have an image "0001".
  const samples = all.flatMap((source, i) => source.dataset.samples.map((sample) => {
    const id = i === 0 ? sample.id : `${i}/${sample.id}`
    origins.set(id, { source, sample })
    return { ...sample, id }
  }))
  const gather = <K extends 'problems' | 'skipped'>(key: K): ImageSource['dataset'][K][number][] => all.flatMap((s) => [...s.dataset[key]])
  return {
    ...first,
    dataset: { ...first.dataset, samples, problems: gather('problems'), skipped: gather('skipped') },
    readImage: async ({ id }) => origins.get(id)!.source.readImage(origins.get(id)!.sample),
    pixels: all.every((source) => source.pixels) ? async ({ id }, ...rest) => origins.get(id)!.source.pixels!(origins.get(id)!.sample, ...rest) : undefined,
  }
}
