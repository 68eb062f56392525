/** @file Where images come from: a split of a data set with the means to read and resize its images. */
import { createLoader, type Loader, type LoaderOptions } from '../data/loader.ts'
import { type DetectorCard } from '../detection/card.ts'
import { preprocessOf } from '../detection/preprocess.ts'

export type ImageSource = Pick<LoaderOptions, 'dataset' | 'readImage' | 'cropResize'>

/** Batches of `source` as the detector wants them. */
export function loaderFor(source: ImageSource, card: DetectorCard, options: Omit<LoaderOptions, keyof ImageSource | 'preprocess'>): Loader {
  return createLoader({ ...source, preprocess: preprocessOf(card), ...options })
}

/** The images of several sources, whose labels count in the same classes, as one; the first gives the split its name. */
export function joinSources(first: ImageSource, ...others: readonly ImageSource[]): ImageSource {
  if (others.length === 0) return first
  const readers = new Map<string, () => ReturnType<ImageSource['readImage']>>()
  const all = [first, ...others]
  // Two data sets may both have an image "0001".
  const samples = all.flatMap(({ dataset, readImage }, i) => dataset.samples.map((sample) => {
    const id = i === 0 ? sample.id : `${i}/${sample.id}`
    readers.set(id, () => readImage(sample))
    return { ...sample, id }
  }))
  const gather = <K extends 'problems' | 'skipped'>(key: K): ImageSource['dataset'][K][number][] => all.flatMap((s) => [...s.dataset[key]])
  return {
    ...first,
    dataset: { ...first.dataset, samples, problems: gather('problems'), skipped: gather('skipped') },
    readImage: async (sample) => readers.get(sample.id)!(),
  }
}
