/** @file YOLOv8, v9, v11: one output [N, 4 + classes, boxes] of decoded boxes without objectness. */
import { z } from 'zod'
import { natureOf, outputText, stridesFor } from '../facts.ts'
import { boxFormFields, boxFormFrom, boxFormText, cannotTellBoxes, readBox } from './box-form.ts'
import { contentOf, type Decoder, type DecoderContext, suppression } from './decoder.ts'
import { denseDecoder, writeScores } from './dense.ts'
import { type Recognise, singleOutput, suppressionFrom } from './recogniser.ts'

export const yolov8Options = z.strictObject({
  type: z.literal('yolov8'),
  /** [N, 4 + classes, boxes]: four box numbers; classes, 0 to 1. */
  output: z.string(),
  ...boxFormFields,
  ...suppression,
})
type Yolov8Options = z.infer<typeof yolov8Options>

export const yolov8Preprocess = 'rgb /255 letterbox=centre pad=114'

export function yolov8Decoder(options: Yolov8Options, context: DecoderContext): Decoder {
  return denseDecoder({
    ...options, context, outputs: [options.output],
    read(image) {
      const count = image[options.output]?.dims[2] ?? 0
      const data = contentOf(image, options.output, [4 + context.classes, count])
      return {
        count,
        scores: (i, out) => writeScores(data, 4 * count + i, count, out),
        box: (i, out) => readBox(options, context.input, data[i]!, data[count + i]!, data[2 * count + i]!, data[3 * count + i]!, out),
        locationOf: { [options.output]: (e) => e % count },
      }
    },
  })
}

export const recogniseYolov8: Recognise<Yolov8Options> = (facts, hints) => {
  const output = singleOutput(facts, hints, 3)
  if (typeof output === 'string') return { not: output }
  const [, width, count] = output.dims as [number, number, number]
  const strides = stridesFor(facts.input, count)
  if (width < 5 || (!strides && !hints.named)) return { not: `it reads [N,4 + classes,boxes] with a box in each cell of strides 8, 16, 32, which ${outputText(output)} at ${facts.input.width}x${facts.input.height} is not` }
  if (natureOf(output, 1, 0, 4) === 'raw') return { not: `the boxes of ${outputText(output)} are not decoded in the graph` }
  const scores = natureOf(output, 1, 4, width)
  if (scores !== 'sigmoid' && scores !== 'unknown') return { not: `the scores of ${outputText(output)} have not gone through a sigmoid each` }
  const form = boxFormFrom(hints.settings, output.replies, count, (i, k) => k * count + i, facts.input)
  if (!form) return { lacks: cannotTellBoxes }
  const columns = strides ? ` has a column for each cell of strides ${strides.join(', ')},` : ' has'
  const why = `${outputText(output)}${columns} ${boxFormText(form)} and scores after a sigmoid`
  return { fits: { type: 'yolov8', output: output.name, ...form, ...suppressionFrom(hints.settings) }, classes: width - 4, why }
}
