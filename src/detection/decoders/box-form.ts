/** @file Boxes that the graph has decoded already: in which form, and how to read them. */
import { z } from 'zod'
import { type BoxForm, boxFormOf, type ModelFacts } from '../facts.ts'
import type { Settings } from '../words.ts'
import type { DecoderContext } from './decoder.ts'

export const boxForms = ['corners', 'centres'] as const
export const boxUnits = ['pixels', 'unit'] as const

export const boxFormFields = {
  /** x1 y1 x2 y2, or centre x, centre y, width, height. */
  boxesAre: z.enum(boxForms),
  /** Pixels of the input, or shares of its width and height. */
  units: z.enum(boxUnits),
}

/** Writes box numbers a, b, c, d of the given form to `out` as xyxy in pixels of the input. */
export function readBox({ boxesAre, units }: BoxForm, input: DecoderContext['input'], a: number, b: number, c: number, d: number, out: Float32Array): void {
  const [w, h] = units === 'unit' ? [input.width, input.height] : [1, 1]
  const corners = boxesAre === 'corners' ? [a, b, c, d] : [a - c / 2, b - d / 2, a + c / 2, b + d / 2]
  for (let k = 0; k < 4; k++) out[k] = corners[k]! * (k % 2 === 0 ? w : h)
}

/** The form that the settings `boxesAre` and `units` say, the rest as the graph's answers to a probe show; undefined where neither tells. */
export function boxFormFrom(settings: Settings, replies: readonly Float32Array[] | undefined, count: number, at: (i: number, k: number) => number, input: ModelFacts['input']): BoxForm | undefined {
  const given = { boxesAre: settings.word('boxesAre', boxForms), units: settings.word('units', boxUnits) }
  const answers = replies?.[1]
  const shown = answers && boxFormOf(count, (i, k) => answers[at(i, k)]!, input)
  const boxesAre = given.boxesAre ?? shown?.boxesAre
  const units = given.units ?? shown?.units
  return boxesAre && units && { boxesAre, units }
}

export const cannotTellBoxes = 'the graph does not show in which form its boxes are: say boxesAre=corners or boxesAre=centres, and units=pixels or units=unit'

/** "decoded boxes (corners, pixels)" */
export function boxFormText({ boxesAre, units }: BoxForm): string {
  return `decoded boxes (${boxesAre}, ${units === 'unit' ? 'as shares of the input' : 'pixels'})`
}
