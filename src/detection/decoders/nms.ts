/** @file Models whose graph ends in non-maximum suppression: outputs are tables of finished detections, and their columns say what is where. */
import { z } from 'zod'
import type { Tensors } from '../../runtime/session.ts'
import { UserError } from '../../tensor/error.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Detections } from '../annotation.ts'
import { type OutputFacts, outputText } from '../facts.ts'
import { boxUnits } from './box-form.ts'
import { type Decoder, type DecoderContext, suppressionDefaults, tensorNamed, thresholds } from './decoder.ts'
import type { Recognise } from './recogniser.ts'

const columnNames = ['x1', 'y1', 'x2', 'y2', 'score', 'label', 'image'] as const
type Column = (typeof columnNames)[number]
const needed: readonly Column[] = ['x1', 'y1', 'x2', 'y2', 'score', 'label']

const table = z.strictObject({
  output: z.string(),
  /** What each number of a row is; a table of one column may lack the last axis. "image" is not read. */
  columns: z.array(z.enum(columnNames)).min(1),
})

export const nmsOptions = z.strictObject({
  type: z.literal('nms'),
  /** Together they have each of x1, y1, x2, y2, score, label once; row i of every table is detection i. */
  tables: z.array(table).min(1),
  /** Output with the number of rows that count; default: all. */
  count: z.string().optional(),
  /** Whether the first axis of the tables counts images; else the model runs on one image at a time. */
  batched: z.boolean(),
  /** Pixels of the input, or shares of its width and height. */
  units: z.enum(boxUnits),
  /** Label of the first class: 1 where 0 is background. */
  firstLabel: z.int().min(0),
  ...thresholds,
}).refine((o) => needed.every((c) => o.tables.flatMap((t) => t.columns).filter((own) => own === c).length === 1), { error: `tables must have each of the columns ${needed.join(', ')} once` })
type NmsOptions = z.infer<typeof nmsOptions>

/** A column of one image's rows. */
interface ColumnData {
  readonly rows: number
  readonly at: (row: number) => number
}

export function nmsDecoder(options: NmsOptions, context: DecoderContext): Decoder {
  const { tables, count, batched } = options
  return {
    outputs: [...tables.map((t) => t.output), ...(count === undefined ? [] : [count])],
    oneByOne: !batched,
    decode: (image) => pickDetections(columnsOf(image, options), rowsOf(image, options), options, context),
    confidence(outputs) {
      const scores = tables.find((t) => t.columns.includes('score'))!
      const source = tensorNamed(outputs, scores.output)
      const at = scores.columns.indexOf('score')
      const rows = Array.from({ length: source.data.length / scores.columns.length }, (_, i) => Number(source.data[i * scores.columns.length + at]))
      const own = (t: NmsOptions['tables'][number]) => Float32Array.from({ length: tensorNamed(outputs, t.output).data.length }, (_, e) => Math.min(1, Math.max(0, rows[Math.floor(e / t.columns.length)] ?? 0)))
      return Object.fromEntries([...tables.map((t) => [t.output, own(t)] as const), ...(count === undefined ? [] : [[count, new Float32Array(tensorNamed(outputs, count).data.length)] as const])])
    },
  }
}

function columnsOf(image: Tensors, { tables }: NmsOptions): ReadonlyMap<Column, ColumnData> {
  return new Map(tables.flatMap(({ output, columns }) => {
    const t = tensorNamed(image, output)
    const width = columns.length
    if (width > 1 && t.dims.at(-1) !== width) throw new UserError(`output "${output}" is [${t.dims.join(',')}], the detector card gives it the ${width} columns ${columns.join(', ')}: the card does not belong to this model`)
    return columns.map((name, k): [Column, ColumnData] => [name, { rows: t.data.length / width, at: (row) => Number(t.data[row * width + k]) }])
  }))
}

function rowsOf(image: Tensors, { tables, count }: NmsOptions): number {
  const lengths = tables.map(({ output, columns }) => tensorNamed(image, output).data.length / columns.length)
  const rows = Math.min(...lengths)
  if (Math.max(...lengths) !== rows) throw new UserError(`the outputs ${tables.map((t) => `"${t.output}"`).join(', ')} have ${lengths.join(', ')} rows, the same number was wanted: the detector card does not belong to this model`)
  const said: Tensor | undefined = count === undefined ? undefined : tensorNamed(image, count)
  return said ? Math.min(rows, Number(said.data[0])) : rows
}

/** Rows scored high enough, with a class and a box within the input; best first. */
function pickDetections(columns: ReadonlyMap<Column, ColumnData>, rows: number, { units, firstLabel, scoreThreshold, maxDetections }: NmsOptions, { input, classes }: DecoderContext): Detections {
  const read = (name: Column, row: number): number => columns.get(name)!.at(row)
  const found: { score: number; label: number; box: number[] }[] = []
  for (let row = 0; row < rows; row++) {
    const score = read('score', row)
    const label = Math.round(read('label', row)) - firstLabel
    // Empty rows and background have labels below the first.
    if (!(score >= scoreThreshold) || !(label >= 0)) continue
    if (label >= classes) throw new UserError(`the model gives the label ${label + firstLabel}, the detector card names ${classes} classes from ${firstLabel} on; give --classes with all of them, or another firstLabel`)
    const box = (['x1', 'y1', 'x2', 'y2'] as const).map((name, k) => {
      const side = k % 2 === 0 ? input.width : input.height
      return Math.min(Math.max(read(name, row) * (units === 'unit' ? side : 1), 0), side)
    })
    if (box[2]! > box[0]! && box[3]! > box[1]!) found.push({ score, label, box })
  }
  const best = found.sort((a, b) => b.score - a.score).slice(0, maxDetections)
  return { boxes: Float32Array.from(best.flatMap((d) => d.box)), scores: Float32Array.from(best, (d) => d.score), labels: Int32Array.from(best, (d) => d.label) }
}

/** Single tables whose shape alone is used by exporters in one way. */
const usual: readonly { readonly rank: number; readonly columns: readonly Column[]; readonly units: NmsOptions['units'] }[] = [
  // [N,D,6]: YOLO exports with NMS, YOLOv10, RT-DETR
  { rank: 3, columns: ['x1', 'y1', 'x2', 'y2', 'score', 'label'], units: 'pixels' },
  // [D,7]: YOLOv7's end2end export
  { rank: 2, columns: ['image', 'x1', 'y1', 'x2', 'y2', 'label', 'score'], units: 'pixels' },
  // [1,1,D,7]: DetectionOutput of Caffe and OpenVINO
  { rank: 4, columns: ['image', 'label', 'score', 'x1', 'y1', 'x2', 'y2'], units: 'unit' },
]

export const recogniseNms: Recognise<NmsOptions> = (facts, { settings, named }) => {
  const all = facts.outputs.map(outputText).join(', ')
  const asked = settings.text('tables')
  if (!named && !facts.outputs.some((o) => o.chosen)) return { not: `nothing in the graph chooses among detections before ${all}` }
  const layout = asked === undefined ? layoutOf(facts.outputs) : { tables: tablesFrom(asked), units: 'pixels' as const }
  if (!layout) return { lacks: `it is not plain which of ${all} is what: say tables=NAME:x1,y1,x2,y2,score,label, or tables=NAME:x1,y1,x2,y2;NAME:score;NAME:label with all that there are` }
  const outputs = layout.tables.map((t) => facts.outputs.find((o) => o.name === t.output))
  if (outputs.includes(undefined)) return { not: `there is no output "${layout.tables[outputs.indexOf(undefined)]!.output}", but ${all}` }
  const batched = outputs.every((o, i) => o!.dims.length === (layout.tables[i]!.columns.length > 1 ? 3 : 2) || (layout.tables[i]!.columns.length === 1 && o!.dims.length === 3 && o!.dims[2] === 1))
  const options = nmsOptions.safeParse({
    type: 'nms',
    tables: layout.tables,
    ...((settings.text('count') ?? layout.count) !== undefined && { count: settings.text('count') ?? layout.count }),
    batched,
    units: settings.word('units', boxUnits) ?? layout.units,
    firstLabel: settings.number('firstLabel') ?? layout.firstLabel ?? 0,
    scoreThreshold: settings.number('scoreThreshold') ?? suppressionDefaults.scoreThreshold,
    maxDetections: settings.number('maxDetections') ?? suppressionDefaults.maxDetections,
  })
  if (!options.success) return { lacks: z.prettifyError(options.error) }
  const { tables, units, firstLabel } = options.data
  const why = `the graph chooses detections itself; ${tables.map((t) => `"${t.output}" is ${t.columns.join(' ')}`).join(', ')}, ${units === 'unit' ? 'boxes as shares of the input' : 'boxes in pixels'}, labels from ${firstLabel}`
  return { fits: options.data, why }
}

interface Layout {
  readonly tables: readonly { readonly output: string; readonly columns: readonly Column[] }[]
  readonly count?: string
  readonly units: NmsOptions['units']
  readonly firstLabel?: number
}

/** What the outputs are, where their names and shapes are of a kind that is used in one way only. */
function layoutOf(outputs: readonly OutputFacts[]): Layout | undefined {
  const [only] = outputs
  if (only && outputs.length === 1) {
    const known = usual.find((u) => u.rank === only.dims.length && u.columns.length === only.dims.at(-1))
    return known && { tables: [{ output: only.name, columns: known.columns }], units: known.units }
  }
  const named = (pattern: RegExp): OutputFacts | undefined => {
    const found = outputs.filter((o) => pattern.test(o.name))
    return found.length === 1 ? found[0] : undefined
  }
  // TensorFlow's object detection: y before x, shares of the input, classes from 1.
  const tensorflow = outputs.every((o) => /^(detection_(boxes|scores|classes)|num_detections)(:0)?$/.test(o.name))
  const boxes = named(/box|dets/i)
  const labels = named(/label|class|cls/i)
  const count = named(/num|count/i)
  const scores = named(/score|conf/i)
  const width = boxes?.dims.at(-1)
  const rest = [boxes, labels, count, scores].filter((o) => o !== undefined)
  if (!boxes || !labels || new Set(rest).size !== outputs.length || rest.length !== outputs.length) return undefined
  const order: readonly Column[] = tensorflow ? ['y1', 'x1', 'y2', 'x2'] : ['x1', 'y1', 'x2', 'y2']
  const others = { ...(count && { count: count.name }), units: tensorflow ? ('unit' as const) : ('pixels' as const), firstLabel: tensorflow ? 1 : 0 }
  // mmdetection puts the score behind the box.
  if (!scores) return width === 5 ? { ...others, tables: [{ output: boxes.name, columns: [...order, 'score'] }, { output: labels.name, columns: ['label'] }] } : undefined
  return width === 4 ? { ...others, tables: [{ output: boxes.name, columns: order }, { output: scores.name, columns: ['score'] }, { output: labels.name, columns: ['label'] }] } : undefined
}

/** "dets:x1,y1,x2,y2,score;labels:label"; names may have colons of their own. */
function tablesFrom(text: string): Layout['tables'] {
  return text.split(';').map((part) => {
    const at = part.lastIndexOf(':')
    const columns = part.slice(at + 1).split(',')
    const wrong = columns.find((c) => !columnNames.some((known) => known === c))
    if (at <= 0 || wrong !== undefined) throw new UserError(`--decoder: tables "${part}" must be NAME:COLUMNS with the columns ${columnNames.join(', ')}, commas between`)
    return { output: part.slice(0, at), columns: columns as Column[] }
  })
}
