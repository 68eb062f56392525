/** @file Options of export, and which of them go together. */
import { resolve } from 'node:path'
import { UserError } from '../tensor/error.ts'
import { rangeRules } from '../train/calibrate.ts'
import type { CommonOptions } from './command.ts'
import { detectorFields } from './detector-options.ts'
import { choice, flag, flagName, number, type OptionsOf, optionalNumber, required, text } from './fields.ts'

const count = { whole: true, min: 1 } as const

const int8Fields = {
  range: choice(rangeRules, 'ranges of values: minmax, all numbers seen; percentile, without the hundredth of a percent at either end', 'percentile'),
  spare: number('HARM', 'a layer stays in float where its 8 bits alone put the outputs off by more than this share of them (0: none is spared, nothing is measured)', 0.1, { min: 0 }),
  weightBits: number('N', 'bits of a weight, 7 or 8; 7 for x86 processors without VNNI, whose 16-bit sums could run over', 8, { whole: true, min: 7, max: 8 }),
}

const imageFields = {
  split: text('NAME', 'split to measure on (default: test, else val, else all)'),
  limit: optionalNumber('N', 'measure on the first N images only', count),
  calibrationSplit: text('NAME', 'split to calibrate on (default: train, else val, else all)'),
  images: number('N', 'images to calibrate on, drawn by seed', 100, count),
  ...detectorFields,
}

export const exportFields = {
  fp16: flag('weights and computing in float16; inputs and outputs stay float32'),
  int8: flag('weights in int8, values in uint8, with ranges from images of --data'),
  out: required('FILE', 'the exported model'),
  force: flag('replace FILE'),
  float: text('NAMES', 'outputs of nodes that stay in float32, with commas between'),
  data: text('DIR', 'folder of images, with or without labels (VOC, COCO or YOLO), or the word "shapes" for the built-in drawings; must be given for --int8'),
  ...imageFields,
  ...int8Fields,
  beside: text('FILE', 'a further model for the table: the unpruned one'),
  runs: number('N', 'timed runs of each model', 30, count),
  warmup: number('N', 'runs before the clock starts', 5, { whole: true, min: 0 }),
}

export type ExportOptions = OptionsOf<typeof exportFields> & CommonOptions
export type Precision = 'fp16' | 'int8'

/** The precision asked for. Throws UserError where options do not go together. */
export function precisionOf(options: ExportOptions, path: string, given: ReadonlySet<string>): Precision {
  if (options.fp16 === options.int8) throw new UserError(`${options.fp16 ? 'give --fp16 or --int8, not both' : 'give --fp16 or --int8'}: each makes a file of its own`)
  if (options.int8 && options.data === undefined) throw new UserError('--int8 needs images to find the range of every value; give --data with a folder of them, or "shapes"')
  const stray = (fields: object): string | undefined => Object.keys(fields).find((key) => given.has(key))
  const idle = options.data === undefined ? stray(imageFields) : undefined
  if (idle !== undefined) throw new UserError(`--${flagName(idle)} has no meaning without images; give --data, or leave it out`)
  const integer = options.fp16 ? stray(int8Fields) : undefined
  if (integer !== undefined) throw new UserError(`--${flagName(integer)} is an option of --int8; leave it out`)
  for (const [what, file] of [['the model', path], ['--beside', options.beside]] as const) {
    if (file !== undefined && resolve(file) === resolve(options.out)) throw new UserError(`${options.out}: is ${what} itself; choose another --out`)
  }
  return options.fp16 ? 'fp16' : 'int8'
}

/** Names as --float has them. */
export function floatNames({ float }: Pick<ExportOptions, 'float'>): ReadonlySet<string> {
  return new Set(float?.split(',').map((name) => name.trim()).filter((name) => name !== ''))
}
