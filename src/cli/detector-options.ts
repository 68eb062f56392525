/** @file Options of commands that open a detector: what its file does not say itself. */
import { cocoClasses } from '../detection/class-names.ts'
import { decoderNames } from '../detection/decoders/registry.ts'
import { preprocessHelp } from '../detection/preprocess-words.ts'
import type { CardRequest } from '../detection/recognise.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { type OptionsOf, text } from './fields.ts'

export const detectorFields = {
  decoder: text('NAME', `how outputs become boxes: ${decoderNames.join(', ')}, with settings behind it as in "yolox scoreThreshold=0.1" (default: the detector card's, else as recognised)`),
  preprocess: text('WORDS', `what images go through: ${preprocessHelp} (default: the detector card's, else the decoder's usual way)`),
  classes: text('NAMES', 'names of the classes in the order of the outputs: with commas between, a file with one a line, or the word "coco" (default: the detector card\'s, else COCO\'s where there are 80)'),
}

/** Reads the names where --classes names a file. Throws UserError where there are none. */
export async function cardRequest({ decoder, preprocess, classes }: OptionsOf<typeof detectorFields>): Promise<CardRequest> {
  return { decoder, preprocess, classes: classes === undefined ? undefined : await classNames(classes) }
}

/** What looks like a path is one: a typing error in it must not become a class. */
const looksLikeFile = /[/\\]|\.(txt|names|csv|json|yaml|yml)$/i

async function classNames(value: string): Promise<readonly string[]> {
  if (value === 'coco') return cocoClasses
  const isFile = looksLikeFile.test(value) || (await nodeStore().stat(value)) !== undefined
  const names = (isFile ? (await nodeStore().readText(value)).split(/\r?\n/) : value.split(',')).map((name) => name.trim())
  while (isFile && names.at(-1) === '') names.pop()
  if (names.length === 0 || names.includes('')) throw new UserError(isFile ? `${value}: must hold one class name a line` : `--classes "${value}" has an empty name; give names with commas between`)
  return names
}
