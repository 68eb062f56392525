/** @file YOLOX (Ge et al. 2021): one output [N, cells, 5 + classes], boxes still relative to their cells. */
import { z } from 'zod'
import { natureOf, outputText, stridesFor } from '../facts.ts'
import { contentOf, type Decoder, type DecoderContext, sigmoid, suppression } from './decoder.ts'
import { denseDecoder, gridOf } from './dense.ts'
import { cannotTellScores, type Recognise, scoreFormOf, scoreForms, singleOutput, suppressionFrom } from './recogniser.ts'

export const yoloxOptions = z.strictObject({
  type: z.literal('yolox'),
  /** [N, cells, 5 + classes]: x, y, log width, log height in strides; objectness; classes. */
  output: z.string(),
  strides: z.array(z.int().positive()).min(1),
  scoresAre: z.enum(scoreForms),
  ...suppression,
})
type YoloxOptions = z.infer<typeof yoloxOptions>

export const yoloxPreprocess = 'bgr 0..255 letterbox pad=114'

/** Centre (d + cell) * stride, size exp(d) * stride, score objectness * class. */
export function yoloxDecoder(options: YoloxOptions, context: DecoderContext): Decoder {
  const grid = gridOf(context.input, options.strides)
  const width = 5 + context.classes
  const score = options.scoresAre === 'logits' ? sigmoid : (x: number): number => x
  return denseDecoder({
    ...options, context, outputs: [options.output],
    read(image) {
      const data = contentOf(image, options.output, [grid.count, width])
      return {
        count: grid.count,
        scores(i, out, least) {
          const row = i * width
          const object = score(data[row + 4]!)
          if (object < least) return -Infinity
          let highest = -Infinity
          for (let c = 0; c < out.length; c++) {
            out[c] = object * score(data[row + 5 + c]!)
            highest = Math.max(highest, out[c]!)
          }
          return highest
        },
        box(i, out) {
          const row = i * width
          const stride = grid.stride[i]!
          const x = (data[row]! + grid.x[i]!) * stride
          const y = (data[row + 1]! + grid.y[i]!) * stride
          const w = Math.exp(data[row + 2]!) * stride
          const h = Math.exp(data[row + 3]!) * stride
          out.set([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        },
        locationOf: { [options.output]: (e) => Math.floor(e / width) },
      }
    },
  })
}

export const recogniseYolox: Recognise<YoloxOptions> = (facts, hints) => {
  const { settings } = hints
  const output = singleOutput(facts, hints, 3)
  if (typeof output === 'string') return { not: output }
  const [, count, width] = output.dims as [number, number, number]
  const strides = settings.numbers('strides') ?? stridesFor(facts.input, count)
  if (!strides || width < 6) return { not: `it reads [N,cells,5 + classes] with the cells of strides 8, 16, 32, which ${outputText(output)} at ${facts.input.width}x${facts.input.height} is not` }
  const boxes = natureOf(output, 2, 0, 4)
  if (boxes === 'computed') return { not: `the boxes of ${outputText(output)} are decoded in the graph already` }
  const scores = natureOf(output, 2, 4, width)
  if (scores === 'computed' || scores === 'softmax') return { not: `the scores of ${outputText(output)} are neither logits nor sigmoids` }
  const scoresAre = scoreFormOf(scores, settings)
  if (!scoresAre) return { lacks: cannotTellScores }
  const why = `${outputText(output)} has a row for each cell of strides ${strides.join(', ')}, box numbers as the layers give them, scores ${scoresAre === 'logits' ? 'before' : 'after'} a sigmoid`
  return { fits: { type: 'yolox', output: output.name, strides: [...strides], scoresAre, ...suppressionFrom(settings) }, classes: width - 5, why }
}
