/** @file YOLOv3 and its small kin: one map a scale, [N, anchors * (5 + classes), H, W], as the last convolutions give them. */
import { z } from 'zod'
import { UserError } from '../../tensor/error.ts'
import { natureOf, outputText } from '../facts.ts'
import { numbersFrom } from '../words.ts'
import { contentOf, type Decoder, type DecoderContext, sigmoid, suppression, tensorNamed } from './decoder.ts'
import { denseDecoder } from './dense.ts'
import { type HeadNote, type Recognise, suppressionFrom } from './recogniser.ts'

const head = z.strictObject({
  output: z.string(),
  /** Width and height of each anchor, pixels of the input. */
  anchors: z.array(z.tuple([z.number().positive(), z.number().positive()])).min(1),
  /** Stretch of the centre's sigmoid around its middle (scale_x_y); default 1. */
  scaleXY: z.number().positive().optional(),
})

export const yolov3Options = z.strictObject({ type: z.literal('yolov3'), heads: z.array(head).min(1), ...suppression })
type Yolov3Options = z.infer<typeof yolov3Options>

export const yolov3Preprocess = 'rgb /255 stretch'

/** One head's map of one image, and where its locations begin among those of all heads. */
interface HeadMap {
  readonly data: Float32Array
  readonly anchors: readonly (readonly [number, number])[]
  readonly scale: number
  readonly rows: number
  readonly columns: number
  readonly first: number
  readonly count: number
}

/** Centre (sigmoid + cell) * stride, size exp * anchor, score sigmoid(objectness) * sigmoid(class). Locations: head, anchor, row, column. */
export function yolov3Decoder(options: Yolov3Options, context: DecoderContext): Decoder {
  const { classes, input } = context
  const each = 5 + classes
  return denseDecoder({
    ...options, context, outputs: options.heads.map((h) => h.output),
    read(image) {
      let first = 0
      const maps = options.heads.map(({ output, anchors, scaleXY = 1 }): HeadMap => {
        const [, , rows = 0, columns = 0] = tensorNamed(image, output).dims
        const map = { data: contentOf(image, output, [anchors.length * each, rows, columns]), anchors, scale: scaleXY, rows, columns, first, count: anchors.length * rows * columns }
        first += map.count
        return map
      })
      /** The map of location i, its anchor and cell, and where its numbers begin; they are a map's area apart. */
      const placeOf = (i: number) => {
        const map = maps.find((m) => i < m.first + m.count)!
        const area = map.rows * map.columns
        const anchor = Math.floor((i - map.first) / area)
        const cell = (i - map.first) % area
        return { map, area, anchor, cell, at: anchor * each * area + cell }
      }
      return {
        count: first,
        scores(i, out, least) {
          const { map: { data }, area, at } = placeOf(i)
          const object = sigmoid(data[at + 4 * area]!)
          if (object < least) return -Infinity
          let highest = -Infinity
          for (let c = 0; c < classes; c++) {
            out[c] = object * sigmoid(data[at + (5 + c) * area]!)
            highest = Math.max(highest, out[c]!)
          }
          return highest
        },
        box(i, out) {
          const { map: { data, scale, rows, columns, anchors }, area, anchor, cell, at } = placeOf(i)
          const shift = (k: number): number => sigmoid(data[at + k * area]!) * scale - (scale - 1) / 2
          const x = ((shift(0) + (cell % columns)) * input.width) / columns
          const y = ((shift(1) + Math.floor(cell / columns)) * input.height) / rows
          const w = Math.exp(data[at + 2 * area]!) * anchors[anchor]![0]
          const h = Math.exp(data[at + 3 * area]!) * anchors[anchor]![1]
          out.set([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        },
        locationOf: Object.fromEntries(options.heads.map(({ output }, k) => {
          const { first: begin, rows, columns } = maps[k]!
          const area = rows * columns
          return [output, (e: number) => begin + Math.floor(e / (each * area)) * area + (e % area)]
        })),
      }
    },
  })
}

export const recogniseYolov3: Recognise<Yolov3Options> = (facts, { settings, heads, classes }) => {
  const maps = facts.outputs.filter((o) => o.dims.length === 4 && !o.chosen)
  if (maps.length === 0 || maps.length !== facts.outputs.length) return { not: `it reads maps [N,anchors * (5 + classes),H,W] alone; there are ${facts.outputs.map(outputText).join(', ')}` }
  const made = maps.find((o) => !['raw', 'unknown'].includes(natureOf(o, 1, 0, o.dims[1]!)))
  if (made) return { not: `${outputText(made)} is no map as a layer gives it` }
  const shown = maps.map(outputText).join(', ')
  const anchors = settings.text('anchors')
  const notes = anchors === undefined ? heads : headsFrom(anchors, maps.map((o) => o.name))
  if (!notes) return { lacks: `${shown} look like YOLOv3 heads, whose anchors no file tells: say anchors=w,h,w,h;w,h,w,h with pixels of the input, a group for each of ${maps.map((o) => `"${o.name}"`).join(', ')}, or put a .json with heads beside the model` }
  const widths = notes.map((h) => {
    const map = maps.find((o) => o.name === h.output)
    if (!map) throw new UserError(`the head "${h.output}" that the description names is none of the outputs ${shown}; mend it`)
    return { h, width: map.dims[1]! / h.anchors.length }
  })
  const each = widths[0]!.width
  if (notes.length !== maps.length || !widths.every(({ width }) => width === each) || !Number.isInteger(each) || each < 6) {
    return { lacks: `${shown} are not ${notes.map((h) => h.anchors.length).join(' and ')} anchors of 5 + classes channels each: give other anchors${classes === undefined ? '' : ' or --classes'}` }
  }
  const why = `${shown} are maps as the layers give them, ${notes.map((h) => h.anchors.length).join(' and ')} anchors of 5 + ${each - 5} channels each`
  const scaleXY = settings.number('scaleXY')
  return { fits: { type: 'yolov3', heads: notes.map((h) => headOptions(h, scaleXY)), ...suppressionFrom(settings) }, classes: each - 5, why }
}

function headOptions({ output, anchors, scaleXY }: HeadNote, asked: number | undefined): Yolov3Options['heads'][number] {
  const scale = asked ?? scaleXY
  return { output, anchors: anchors.map(([w, h]) => [w, h]), ...(scale !== undefined && scale !== 1 && { scaleXY: scale }) }
}

/** "10,14,23,27;81,82,135,169": a group of anchors for each output. */
function headsFrom(text: string, outputs: readonly string[]): HeadNote[] {
  const groups = text.split(';').map((group) => numbersFrom(group, '--decoder: anchors'))
  if (groups.length !== outputs.length || groups.some((g) => g.length % 2 !== 0 || g.some((v) => v <= 0))) throw new UserError(`--decoder: anchors must be ${outputs.length} groups of positive widths and heights with ; between, one for each of ${outputs.join(', ')}, not "${text}"`)
  return groups.map((g, i) => ({ output: outputs[i]!, anchors: Array.from({ length: g.length / 2 }, (_, k) => [g[2 * k]!, g[2 * k + 1]!] as const) }))
}
