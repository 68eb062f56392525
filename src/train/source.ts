/** @file Where images come from: a split of a data set with the means to read and resize its images. */
import { createLoader, type Loader, type LoaderOptions } from '../data/loader.ts'
import { type DetectorCard } from '../detection/card.ts'
import { preprocessOf } from '../detection/preprocess.ts'

export type ImageSource = Pick<LoaderOptions, 'dataset' | 'readImage' | 'cropResize'>

/** Batches of `source` as the detector wants them. */
export function loaderFor(source: ImageSource, card: DetectorCard, options: Omit<LoaderOptions, keyof ImageSource | 'preprocess'>): Loader {
  return createLoader({ ...source, preprocess: preprocessOf(card), ...options })
}
