/** @file Detector card: what a model file says of itself (ONNX metadata `espalier.detector`), so that commands need no options. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import type { Decoder } from './decoders/decoder.ts'
import { createDecoder, decoderOptions } from './decoders/registry.ts'
import { defaultBoxLevel } from './default-boxes.ts'
import { resizeRules } from './preprocess.ts'

/** Key of the card in ONNX `metadata_props`. */
export const cardKey = 'espalier.detector'

const cardSchema = z.strictObject({
  version: z.literal(1),
  /** Name in detection/models, or "unknown". */
  architecture: z.string(),
  input: z.strictObject({ width: z.int().positive(), height: z.int().positive() }),
  /** Channel order that the network wants. */
  channels: z.enum(['RGB', 'BGR']),
  /** Per channel in the network's order: (pixel 0..255 - mean) / std. */
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  resize: z.enum(resizeRules),
  /** Grey around letterboxed images, 0..255; default 114. */
  pad: z.int().min(0).max(255).optional(),
  classes: z.array(z.string()).min(1),
  /** How outputs become boxes, by `type`. */
  decoder: decoderOptions,
  /** Only of SSDs whose outputs are offsets from them. */
  defaultBoxes: z.array(defaultBoxLevel).min(1).optional(),
  /** Values at the ends of stages of the trunk, input to output: where LCP's auxiliary networks are attached. */
  stageEnds: z.array(z.string()).optional(),
}).refine(({ decoder, defaultBoxes }) => decoder.type !== 'ssd' || (decoder.boxesAre ?? 'offsets') !== 'offsets' || defaultBoxes !== undefined, {
  path: ['defaultBoxes'], error: 'an SSD whose boxes are offsets needs its default boxes',
})

export type DetectorCard = z.infer<typeof cardSchema>

/** Reads the card from a model's metadata; throws UserError where it is missing or wrong, naming `file`. */
export function readCard(metadata: ReadonlyMap<string, string>, file: string): DetectorCard {
  const text = metadata.get(cardKey)
  if (text === undefined) throw new UserError(`${file}: has no detector card (metadata "${cardKey}"); write one with "espalier card"`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${file}: its detector card (metadata "${cardKey}") is no JSON`, { cause })
  }
  return checkCard(json, file)
}

/** The card of a model that has one; throws UserError where it is wrong. */
export function ownCard(metadata: ReadonlyMap<string, string>, file: string): DetectorCard | undefined {
  return metadata.has(cardKey) ? readCard(metadata, file) : undefined
}

/** The card itself, checked; throws UserError naming the model's `file`. */
export function checkCard(card: unknown, file: string): DetectorCard {
  const parsed = cardSchema.safeParse(card)
  if (!parsed.success) throw new UserError(`${file}: its detector card is wrong: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}

/** The decoder that the card asks for. */
export function decoderOf(card: DetectorCard): Decoder {
  return createDecoder(card.decoder, { input: card.input, classes: card.classes.length, defaultBoxes: card.defaultBoxes })
}

export function writeCard(metadata: Map<string, string>, card: DetectorCard): void {
  metadata.set(cardKey, JSON.stringify(cardSchema.parse(card)))
}
