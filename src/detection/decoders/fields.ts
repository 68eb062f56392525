/** @file How a teacher's raw outputs are compared with its student's: which entries are scores, which are boxes, and in what form. */
import { UserError } from '../../tensor/error.ts'
import type { FieldKind, OutputField } from '../distill-loss.ts'
import type { DecoderContext } from './decoder.ts'
import type { DecoderOptions } from './registry.ts'

/** One unit of a decoded box, in pixels and as a share of the input: about a cell of the finest map. */
const unitOf = { pixels: 8, unit: 0.025 } as const

/** One unit of RetinaNet's deltas, as a share of an anchor's side: that of SSD's offsets, whose variance is 0.1. */
const retinanetUnit = 0.1

export interface FieldsContext extends Pick<DecoderContext, 'classes'> {
  /** Number of axes of an output; only asked where a decoder reads outputs of several forms. */
  readonly rankOf?: (output: string) => number | undefined
}

/** The fields of all outputs that the decoder reads. Throws UserError where the outputs are choices of the graph's (NMS) and say nothing entry by entry. */
export function outputFields(options: DecoderOptions, { classes, rankOf }: FieldsContext): OutputField[] {
  switch (options.type) {
    case 'ssd': {
      const { scores, boxes, scoresAre = 'logits', boxesAre = 'offsets', units = 'pixels' } = options
      return [
        { output: scores, axis: 2, from: 0, to: 1 + classes, kind: scoresAre === 'logits' ? 'softmax' : 'probability', purpose: 'class' },
        { output: boxes, axis: 2, from: 0, to: 4, kind: 'regression', scale: boxesAre === 'offsets' ? 1 : unitOf[units], purpose: 'box' },
      ]
    }
    case 'yolov3':
      return options.heads.flatMap(({ output, anchors }) => anchors.flatMap((_, a) => {
        const first = a * (5 + classes)
        const field = (from: number, to: number, kind: FieldKind, purpose: OutputField['purpose']): OutputField => ({ output, axis: 1, from: first + from, to: first + to, kind, locations: anchors.length, purpose })
        return [field(0, 2, 'logit', 'box'), field(2, 4, 'regression', 'box'), field(4, 5, 'logit', 'class'), { ...field(5, 5 + classes, 'logit', 'class'), conditional: true }]
      }))
    case 'yolov5':
      return objectRows(options.output, classes, 'probability', unitOf[options.units])
    case 'yolov8':
      return [
        { output: options.output, axis: 1, from: 0, to: 4, kind: 'regression', scale: unitOf[options.units], purpose: 'box' },
        { output: options.output, axis: 1, from: 4, to: 4 + classes, kind: 'probability', purpose: 'class' },
      ]
    case 'yolox':
      return objectRows(options.output, classes, scoreKind(options.scoresAre), 1)
    case 'nanodet':
      return options.levels.flatMap(({ scores, boxes }): OutputField[] => [
        { output: scores, axis: 2, from: 0, to: classes, kind: scoreKind(options.scoresAre), purpose: 'class' },
        { output: boxes, axis: 2, from: 0, to: 4 * options.bins, kind: 'softmax', bins: options.bins, purpose: 'box' },
      ])
    case 'fastestdet':
      return [
        { output: options.output, axis: 1, from: 0, to: 1, kind: 'probability', purpose: 'class' },
        { output: options.output, axis: 1, from: 1, to: 5, kind: 'regression', purpose: 'box' },
        { output: options.output, axis: 1, from: 5, to: 5 + classes, kind: 'probability', purpose: 'class', conditional: true },
      ]
    case 'retinanet': {
      const { scores, boxes, ratios, scales, variances: [x] } = options
      const whole = (output: string, width: number): Pick<OutputField, 'output' | 'axis' | 'from' | 'to' | 'locations'> => ({ output, from: 0, ...anchorsOf(output, rankOf?.(output), width, ratios.length * scales.length) })
      return [
        ...scores.map((output): OutputField => ({ ...whole(output, classes), kind: scoreKind(options.scoresAre), purpose: 'class' })),
        ...boxes.map((output): OutputField => ({ ...whole(output, 4), kind: 'regression', scale: retinanetUnit / x, purpose: 'box' })),
      ]
    }
    case 'nms':
      throw new UserError('a detector of kind "nms" cannot teach: its outputs are chosen by NMS in the graph; export it without NMS')
  }
}

/** Rows of four box numbers, objectness, and the classes of an object. */
function objectRows(output: string, classes: number, kind: FieldKind, scale: number): OutputField[] {
  return [
    { output, axis: 2, from: 0, to: 4, kind: 'regression', scale, purpose: 'box' },
    { output, axis: 2, from: 4, to: 5, kind, purpose: 'class' },
    { output, axis: 2, from: 5, to: 5 + classes, kind, purpose: 'class', conditional: true },
  ]
}

/** Where an output has the `width` numbers of its anchors: in rows [N,anchors,width], or in a map [N,each * width,H,W]. */
function anchorsOf(output: string, rank: number | undefined, width: number, each: number): { axis: number; to: number; locations: number } {
  if (rank === 3) return { axis: 2, to: width, locations: 1 }
  if (rank === 4) return { axis: 1, to: each * width, locations: each }
  throw new UserError(`output "${output}" has ${rank === undefined ? 'an unknown number of' : rank} axes, anchors are read from 3 or 4; give another --decoder, or export the model with the shapes of its outputs`)
}

function scoreKind(scoresAre: 'logits' | 'probabilities'): FieldKind {
  return scoresAre === 'logits' ? 'logit' : 'probability'
}
