/** @file YOLOv5 and what is exported like it (v6, v7, YOLOX with decoding): one output [N, boxes, 5 + classes] of decoded boxes. */
import { z } from 'zod'
import { natureOf, outputText, stridesFor } from '../facts.ts'
import { boxFormFields, boxFormFrom, boxFormText, cannotTellBoxes, readBox } from './box-form.ts'
import { contentOf, type Decoder, type DecoderContext, suppression } from './decoder.ts'
import { denseDecoder } from './dense.ts'
import { type Recognise, singleOutput, suppressionFrom } from './recogniser.ts'

export const yolov5Options = z.strictObject({
  type: z.literal('yolov5'),
  /** [N, boxes, 5 + classes]: four box numbers; objectness and classes, 0 to 1. */
  output: z.string(),
  ...boxFormFields,
  ...suppression,
})
type Yolov5Options = z.infer<typeof yolov5Options>

export const yolov5Preprocess = 'rgb /255 letterbox=centre pad=114'

/** Score objectness * class. */
export function yolov5Decoder(options: Yolov5Options, context: DecoderContext): Decoder {
  const width = 5 + context.classes
  return denseDecoder({
    ...options, context, outputs: [options.output],
    read(image) {
      const count = image[options.output]?.dims[1] ?? 0
      const data = contentOf(image, options.output, [count, width])
      return {
        count,
        scores(i, out, least) {
          const row = i * width
          const object = data[row + 4]!
          if (object < least) return -Infinity
          let highest = -Infinity
          for (let c = 0; c < out.length; c++) {
            out[c] = object * data[row + 5 + c]!
            highest = Math.max(highest, out[c]!)
          }
          return highest
        },
        box: (i, out) => readBox(options, context.input, data[i * width]!, data[i * width + 1]!, data[i * width + 2]!, data[i * width + 3]!, out),
        locationOf: { [options.output]: (e) => Math.floor(e / width) },
      }
    },
  })
}

export const recogniseYolov5: Recognise<Yolov5Options> = (facts, hints) => {
  const output = singleOutput(facts, hints, 3)
  if (typeof output === 'string') return { not: output }
  const [, count, width] = output.dims as [number, number, number]
  const three = stridesFor(facts.input, count, 3)
  const strides = three ?? stridesFor(facts.input, count)
  if (width < 6 || (!strides && !hints.named)) return { not: `it reads [N,boxes,5 + classes] with three boxes, or one, in each cell of strides 8, 16, 32, which ${outputText(output)} at ${facts.input.width}x${facts.input.height} is not` }
  if (natureOf(output, 2, 0, 4) === 'raw') return { not: `the boxes of ${outputText(output)} are not decoded in the graph` }
  const scores = natureOf(output, 2, 4, width)
  if (scores !== 'sigmoid' && scores !== 'unknown') return { not: `the scores of ${outputText(output)} have not gone through a sigmoid each` }
  const form = boxFormFrom(hints.settings, output.replies, count, (i, k) => i * width + k, facts.input)
  if (!form) return { lacks: cannotTellBoxes }
  const rows = strides ? ` has ${three ? 'three rows' : 'a row'} for each cell of strides ${strides.join(', ')},` : ' has'
  const why = `${outputText(output)}${rows} ${boxFormText(form)} and scores after a sigmoid`
  return { fits: { type: 'yolov5', output: output.name, ...form, ...suppressionFrom(hints.settings) }, classes: width - 5, why }
}
