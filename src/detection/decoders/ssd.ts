/** @file SSD: class scores with a background and boxes for every default box, as the layers give them or decoded in the graph. */
import { z } from 'zod'
import { UserError } from '../../tensor/error.ts'
import { decodeBox, ssdVariances } from '../box-coder.ts'
import { makeDefaultBoxes } from '../default-boxes.ts'
import { natureOf, outputText } from '../facts.ts'
import { boxFormFrom, boxForms, boxFormText, boxUnits, cannotTellBoxes, readBox } from './box-form.ts'
import { contentOf, type Decoder, type DecoderContext, suppression } from './decoder.ts'
import { denseDecoder } from './dense.ts'
import { cannotTellScores, type Recognise, suppressionFrom } from './recogniser.ts'

export const ssdOptions = z.strictObject({
  type: z.literal('ssd'),
  /** Outputs: class scores [N, boxes, 1 + classes] (0 is background) and boxes [N, boxes, 4]. */
  scores: z.string(),
  boxes: z.string(),
  /** Default: logits; "probabilities" went through a softmax in the graph. */
  scoresAre: z.enum(['logits', 'probabilities']).optional(),
  /** Default: offsets from the card's default boxes; else they are decoded in the graph. */
  boxesAre: z.enum(['offsets', ...boxForms]).optional(),
  /** Of decoded boxes; default: pixels. */
  units: z.enum(boxUnits).optional(),
  /** Variances of the SSD box coding: centre and size. */
  variances: z.tuple([z.number().positive(), z.number().positive()]).optional(),
  ...suppression,
})
export type SsdOptions = z.infer<typeof ssdOptions>

/** As Liu et al.'s ports to PyTorch have it, and the small face detectors after them. */
export const ssdPreprocess = 'rgb mean=127,127,127 std=128,128,128 stretch'

export function ssdDecoder(options: SsdOptions, context: DecoderContext): Decoder {
  const { classes, input } = context
  const width = 1 + classes
  const { boxesAre = 'offsets', units = 'pixels', scoresAre = 'logits', variances = ssdVariances } = options
  if (boxesAre === 'offsets' && !context.defaultBoxes) throw new UserError('the detector card has no default boxes, which an SSD whose boxes are offsets needs: add defaultBoxes to the card')
  const defaults = boxesAre === 'offsets' ? makeDefaultBoxes(context.defaultBoxes!) : undefined
  return denseDecoder({
    ...options, context, outputs: [options.scores, options.boxes],
    read(image) {
      const count = defaults?.count ?? image[options.boxes]?.dims[1] ?? 0
      const scores = contentOf(image, options.scores, [count, width])
      const boxes = contentOf(image, options.boxes, [count, 4])
      return {
        count,
        scores: scoresAre === 'logits' ? (d, out, least) => softmaxScores(scores, d * width, out, least) : (d, out) => {
          let highest = -Infinity
          for (let c = 0; c < classes; c++) {
            out[c] = scores[d * width + 1 + c]!
            highest = Math.max(highest, out[c]!)
          }
          return highest
        },
        box(d, out) {
          if (defaults) decodeBox(boxes, defaults, d, variances, out, 0)
          else readBox({ boxesAre: boxesAre as 'corners' | 'centres', units }, input, boxes[4 * d]!, boxes[4 * d + 1]!, boxes[4 * d + 2]!, boxes[4 * d + 3]!, out)
        },
        locationOf: { [options.scores]: (e) => Math.floor(e / width), [options.boxes]: (e) => e >> 2 },
      }
    },
  })
}

/** Softmax over the row at `row`, background first; the classes' shares into `out`. Returns the highest of them. */
function softmaxScores(logits: Float32Array, row: number, out: Float64Array, least: number): number {
  let highest = logits[row + 1]!
  for (let c = 2; c <= out.length; c++) if (logits[row + c]! > highest) highest = logits[row + c]!
  // A class's share is at most sigmoid(logit - background's logit): most boxes are settled by that, without exponentials.
  if (highest - logits[row]! < Math.log(least / (1 - least)) - 1e-6) return -Infinity
  const peak = Math.max(highest, logits[row]!)
  let sum = Math.exp(logits[row]! - peak)
  for (let c = 0; c < out.length; c++) sum += out[c] = Math.exp(logits[row + 1 + c]! - peak)
  for (let c = 0; c < out.length; c++) out[c]! /= sum
  return Math.exp(highest - peak) / sum
}

export const recogniseSsd: Recognise<SsdOptions> = (facts, { settings, named }) => {
  const given = { scoresAre: settings.word('scoresAre', ['logits', 'probabilities']), scores: settings.text('scores'), boxes: settings.text('boxes') }
  const flat = facts.outputs.filter((o) => o.dims.length === 3 && !o.chosen)
  const pairs = flat.flatMap((scores) => flat.map((boxes) => ({ scores, boxes }))).filter(({ scores, boxes }) =>
    scores !== boxes && scores.dims[1] === boxes.dims[1] && boxes.dims[2] === 4 && scores.dims[2]! >= 2
    && (given.scores ?? scores.name) === scores.name && (given.boxes ?? boxes.name) === boxes.name
    // Three classes make two outputs of width four: then the softmax tells which is which.
    && (scores.dims[2] !== 4 || given.scores !== undefined || natureOf(scores, 2, 0, 4) === 'softmax'))
  const [pair] = pairs
  if (!pair || pairs.length > 1) return { not: `it reads scores [N,boxes,1 + classes] and boxes [N,boxes,4]; there are ${facts.outputs.map(outputText).join(', ')}` }
  const { scores, boxes } = pair
  const [, count, width] = scores.dims as [number, number, number]
  const nature = natureOf(scores, 2, 0, width)
  if (nature === 'sigmoid') return { not: `its scores go through a softmax, those of ${outputText(scores)} through a sigmoid` }
  const scoresAre = given.scoresAre ?? (nature === 'softmax' ? 'probabilities' : nature === 'raw' ? 'logits' : undefined)
  if (nature !== 'softmax' && !named && scoresAre !== 'logits') return { not: `the graph does not show a softmax over ${outputText(scores)}` }
  if (!scoresAre) return { lacks: cannotTellScores }
  const common = { type: 'ssd' as const, scores: scores.name, boxes: boxes.name, scoresAre, ...suppressionFrom(settings) }
  if (natureOf(boxes, 2, 0, 4) === 'raw') return { lacks: `${outputText(boxes)} are offsets from default boxes, which no file tells: write a detector card with defaultBoxes` }
  const form = boxFormFrom(settings, boxes.replies, count, (i, k) => 4 * i + k, facts.input)
  if (!form) return { lacks: cannotTellBoxes }
  const why = `${outputText(scores)} are ${scoresAre === 'probabilities' ? 'shares of a softmax' : 'logits'} with a background, ${outputText(boxes)} are ${boxFormText(form)}`
  return { fits: { ...common, ...form }, classes: width - 1, why }
}
