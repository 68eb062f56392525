/** @file The decoders by name: their options as a detector card has them, how to make one, how a model is recognised. */
import { z } from 'zod'
import type { ModelFacts } from '../facts.ts'
import type { Decoder, DecoderContext } from './decoder.ts'
import { fastestdetDecoder, fastestdetOptions, fastestdetPreprocess, recogniseFastestdet } from './fastestdet.ts'
import { nanodetDecoder, nanodetOptions, nanodetPreprocess, recogniseNanodet } from './nanodet.ts'
import { nmsDecoder, nmsOptions, recogniseNms } from './nms.ts'
import type { Hints, Recognise, Verdict } from './recogniser.ts'
import { recogniseRetinanet, retinanetDecoder, retinanetOptions, retinanetPreprocess } from './retinanet.ts'
import { recogniseSsd, ssdDecoder, ssdOptions, ssdPreprocess } from './ssd.ts'
import { recogniseYolov3, yolov3Decoder, yolov3Options, yolov3Preprocess } from './yolov3.ts'
import { recogniseYolov5, yolov5Decoder, yolov5Options, yolov5Preprocess } from './yolov5.ts'
import { recogniseYolov8, yolov8Decoder, yolov8Options, yolov8Preprocess } from './yolov8.ts'
import { recogniseYolox, yoloxDecoder, yoloxOptions, yoloxPreprocess } from './yolox.ts'

export const decoderOptions = z.discriminatedUnion('type', [
  ssdOptions, yolov3Options, yolov5Options, yolov8Options, yoloxOptions, nanodetOptions, fastestdetOptions, retinanetOptions, nmsOptions,
])
export type DecoderOptions = z.infer<typeof decoderOptions>
export type DecoderName = DecoderOptions['type']

interface Kind {
  readonly recognise: Recognise<DecoderOptions>
  /** What its models usually want of their images, in the language of --preprocess; undefined where there is no usual way. */
  readonly preprocess: string | undefined
}

const kinds: Readonly<Record<DecoderName, Kind>> = {
  ssd: { recognise: recogniseSsd, preprocess: ssdPreprocess },
  yolov3: { recognise: recogniseYolov3, preprocess: yolov3Preprocess },
  yolov5: { recognise: recogniseYolov5, preprocess: yolov5Preprocess },
  yolov8: { recognise: recogniseYolov8, preprocess: yolov8Preprocess },
  yolox: { recognise: recogniseYolox, preprocess: yoloxPreprocess },
  nanodet: { recognise: recogniseNanodet, preprocess: nanodetPreprocess },
  fastestdet: { recognise: recogniseFastestdet, preprocess: fastestdetPreprocess },
  retinanet: { recognise: recogniseRetinanet, preprocess: retinanetPreprocess },
  nms: { recognise: recogniseNms, preprocess: undefined },
}

export const decoderNames = Object.keys(kinds) as readonly DecoderName[]

export function createDecoder(options: DecoderOptions, context: DecoderContext): Decoder {
  switch (options.type) {
    case 'ssd': return ssdDecoder(options, context)
    case 'yolov3': return yolov3Decoder(options, context)
    case 'yolov5': return yolov5Decoder(options, context)
    case 'yolov8': return yolov8Decoder(options, context)
    case 'yolox': return yoloxDecoder(options, context)
    case 'nanodet': return nanodetDecoder(options, context)
    case 'fastestdet': return fastestdetDecoder(options, context)
    case 'retinanet': return retinanetDecoder(options, context)
    case 'nms': return nmsDecoder(options, context)
  }
}

/** What the decoder `name` says of a model. */
export function judge(name: DecoderName, facts: ModelFacts, hints: Hints): Verdict<DecoderOptions> {
  return kinds[name].recognise(facts, hints)
}

export function usualPreprocess(name: DecoderName): string | undefined {
  return kinds[name].preprocess
}
