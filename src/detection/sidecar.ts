/** @file The description that may lie beside a model, MODEL.json: what its graph cannot say, anchors above all. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import type { HeadNote } from './decoders/recogniser.ts'

const sidecarSchema = z.strictObject({
  /** Side of the square input, pixels. */
  input: z.int().positive().optional(),
  heads: z.array(z.strictObject({
    output: z.string(),
    anchors: z.array(z.tuple([z.number().positive(), z.number().positive()])).min(1),
    classes: z.int().positive().optional(),
    scale_x_y: z.number().positive().optional(),
  })).min(1).optional(),
  /** In the language of --preprocess. */
  preprocess: z.string().optional(),
  /** In the language of --decoder. */
  decoder: z.string().optional(),
  classes: z.array(z.string()).min(1).optional(),
})

export interface Sidecar {
  readonly file: string
  readonly input?: number
  readonly heads?: readonly HeadNote[]
  readonly preprocess?: string
  readonly decoder?: string
  readonly classes?: readonly string[]
}

/** Reads a description; throws UserError naming `file` where it is none. */
export function parseSidecar(text: string, file: string): Sidecar {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${file}: lies beside the model but is no JSON; mend, move or rename it`, { cause })
  }
  const parsed = sidecarSchema.safeParse(json)
  if (!parsed.success) throw new UserError(`${file}: lies beside the model but does not describe a detector (${z.prettifyError(parsed.error)}); mend, move or rename it`)
  const { heads, ...rest } = parsed.data
  return { ...rest, file, ...(heads && { heads: heads.map((h): HeadNote => ({ output: h.output, anchors: h.anchors, ...(h.scale_x_y !== undefined && { scaleXY: h.scale_x_y }) })) }) }
}
