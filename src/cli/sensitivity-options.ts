/** @file Options of inspect that mean nothing without --sensitivity. */
import type { CommonOptions } from './command.ts'
import { detectorFields } from './detector-options.ts'
import { flag, number, type OptionsOf, text } from './fields.ts'

export const sensitivityFields = {
  data: text('DIR', 'sensitivity: folder of images, with or without labels, or the word "shapes" for the built-in drawings'),
  split: text('NAME', 'sensitivity: split to take images from (default: val, else train, else all)'),
  images: number('N', 'sensitivity: images, drawn by seed', 64, { whole: true, min: 1 }),
  ap: flag('sensitivity: also measure the AP of every cut; needs labels and takes as long again, or longer'),
  ...detectorFields,
  out: text('RUN', 'sensitivity: folder for sensitivity.json, a picture (sensitivity.svg), run.json and log.txt'),
  force: flag('replace a run that is in the folder already'),
}

export type SensitivityOptions = OptionsOf<typeof sensitivityFields> & CommonOptions
