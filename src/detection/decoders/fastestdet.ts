/** @file FastestDet: one map [N, 5 + classes, H, W] of a single scale: objectness, four box numbers, classes after a softmax. */
import { z } from 'zod'
import { natureOf, outputText } from '../facts.ts'
import { contentOf, type Decoder, type DecoderContext, sigmoid, suppression, tensorNamed } from './decoder.ts'
import { denseDecoder } from './dense.ts'
import { type Recognise, singleOutput, suppressionFrom } from './recogniser.ts'

export const fastestdetOptions = z.strictObject({
  type: z.literal('fastestdet'),
  /** [N, 5 + classes, H, W] */
  output: z.string(),
  ...suppression,
})
type FastestdetOptions = z.infer<typeof fastestdetOptions>

export const fastestdetPreprocess = 'bgr /255 stretch'

/** Exponents of objectness and class in the score, from the authors' code. */
const objectPower = 0.6
const classPower = 0.4

/** Centre (tanh + cell) / cells, size sigmoid, as shares of the input; score objectness^0.6 * class^0.4. */
export function fastestdetDecoder(options: FastestdetOptions, context: DecoderContext): Decoder {
  const { classes, input } = context
  return denseDecoder({
    ...options, context, outputs: [options.output],
    read(image) {
      const [, , rows = 0, columns = 0] = tensorNamed(image, options.output).dims
      const data = contentOf(image, options.output, [5 + classes, rows, columns])
      const count = rows * columns
      return {
        count,
        scores(i, out, least) {
          const object = data[i]! ** objectPower
          if (object < least) return -Infinity
          let highest = -Infinity
          for (let c = 0; c < classes; c++) {
            out[c] = object * data[(5 + c) * count + i]! ** classPower
            highest = Math.max(highest, out[c]!)
          }
          return highest
        },
        box(i, out) {
          const number = (k: number): number => data[(1 + k) * count + i]!
          const x = ((Math.tanh(number(0)) + (i % columns)) * input.width) / columns
          const y = ((Math.tanh(number(1)) + Math.floor(i / columns)) * input.height) / rows
          const w = sigmoid(number(2)) * input.width
          const h = sigmoid(number(3)) * input.height
          out.set([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        },
        locationOf: { [options.output]: (e) => e % count },
      }
    },
  })
}

export const recogniseFastestdet: Recognise<FastestdetOptions> = (facts, hints) => {
  const output = singleOutput(facts, hints, 4)
  if (typeof output === 'string') return { not: output }
  const width = output.dims[1]!
  const natures = width < 6 ? [] : [natureOf(output, 1, 0, 1), natureOf(output, 1, 1, 5), natureOf(output, 1, 5, width)]
  const known = natures.join() === 'sigmoid,raw,softmax'
  if (!known && !(hints.named && natures.join() === 'unknown,unknown,unknown')) return { not: `it reads a map of objectness after a sigmoid, four box numbers as a layer gives them, and classes after a softmax, which ${outputText(output)} is not` }
  const why = `${outputText(output)} is one map of objectness after a sigmoid, four box numbers as a layer gives them, and ${width - 5} classes after a softmax`
  return { fits: { type: 'fastestdet', output: output.name, ...suppressionFrom(hints.settings) }, classes: width - 5, why }
}
