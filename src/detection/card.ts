/** @file Detector card: what a model file says of itself (ONNX metadata `espalier.detector`), so that commands need no options. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'

/** Key of the card in ONNX `metadata_props`. */
export const cardKey = 'espalier.detector'

/** How the default boxes of one feature map are made; sizes in pixels of the network's input. */
const defaultBoxLevel = z.strictObject({
  /** Cells of the map. */
  width: z.int().positive(),
  height: z.int().positive(),
  /** Pixels between cells, horizontal and vertical. */
  stepX: z.number().positive(),
  stepY: z.number().positive(),
  /** s_k and s_{k+1} of the SSD paper, pixels. */
  minSize: z.number().positive(),
  maxSize: z.number().positive(),
  /** Aspect ratios beside 1; each also stands for its inverse. */
  ratios: z.array(z.number().positive()),
})

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
  resize: z.enum(['stretch', 'letterbox']),
  classes: z.array(z.string()).min(1),
  decoder: z.strictObject({
    type: z.literal('ssd'),
    /** Outputs: class logits [N, boxes, 1 + classes] (0 is background) and box offsets [N, boxes, 4]. */
    scores: z.string(),
    boxes: z.string(),
    /** Variances of the SSD box coding: centre and size. */
    variances: z.tuple([z.number().positive(), z.number().positive()]),
    /** Detections below this score are dropped before NMS. */
    scoreThreshold: z.number().min(0).max(1),
    nmsIou: z.number().min(0).max(1),
    maxDetections: z.int().positive(),
  }),
  defaultBoxes: z.array(defaultBoxLevel).min(1),
  /** Values at the ends of stages of the trunk, input to output: where LCP's auxiliary networks are attached. */
  stageEnds: z.array(z.string()).default([]),
})

export type DetectorCard = z.infer<typeof cardSchema>
export type DefaultBoxLevel = z.infer<typeof defaultBoxLevel>

/** Reads the card from a model's metadata; throws UserError where it is missing or wrong, naming `file`. */
export function readCard(metadata: ReadonlyMap<string, string>, file: string): DetectorCard {
  const text = metadata.get(cardKey)
  if (text === undefined) throw new UserError(`${file}: has no detector card (metadata "${cardKey}"); only models written by espalier carry one so far`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${file}: its detector card (metadata "${cardKey}") is no JSON`, { cause })
  }
  const parsed = cardSchema.safeParse(json)
  if (!parsed.success) throw new UserError(`${file}: its detector card is wrong: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}

export function writeCard(metadata: Map<string, string>, card: DetectorCard): void {
  metadata.set(cardKey, JSON.stringify(cardSchema.parse(card)))
}
