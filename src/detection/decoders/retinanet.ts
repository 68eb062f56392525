/** @file RetinaNet (Lin et al. 2017): class scores without a background and deltas for nine anchors a cell, flat or one map a level. */
import { z } from 'zod'
import { cellsOf, natureOf, type OutputFacts, outputText } from '../facts.ts'
import { contentOf, type Decoder, type DecoderContext, sigmoid, suppression, tensorNamed } from './decoder.ts'
import { denseDecoder, writeScores } from './dense.ts'
import { cannotTellScores, type Recognise, scoreFormOf, scoreForms, suppressionFrom } from './recogniser.ts'

const positive = z.array(z.number().positive()).min(1)

export const retinanetOptions = z.strictObject({
  type: z.literal('retinanet'),
  /** Outputs, finest level first: one of all levels [N, anchors, classes], or one a level, [N, anchors, classes] or [N, anchors a cell * classes, H, W]. */
  scores: z.array(z.string()).min(1),
  /** The same with 4 in place of classes: shifts of the centre in anchor sizes, logs of the size ratios. */
  boxes: z.array(z.string()).min(1),
  scoresAre: z.enum(scoreForms),
  /** By level: pixels between cells, and the side of the square anchor. */
  strides: z.array(z.int().positive()).min(1),
  sizes: positive,
  /** Anchors a cell: for each ratio (height / width), each scale. */
  ratios: positive,
  scales: positive,
  /** Where in its cell an anchor's centre lies, in strides: 0 as in torchvision and Detectron, or 0.5. */
  centre: z.number().min(0).max(1),
  /** Factors of the deltas: x, y, width, height. */
  variances: z.tuple([z.number().positive(), z.number().positive(), z.number().positive(), z.number().positive()]),
  ...suppression,
}).refine((o) => o.strides.length === o.sizes.length && o.scores.length === o.boxes.length && [1, o.strides.length].includes(o.scores.length), {
  error: 'needs a size for each stride, and one output of scores and one of boxes in all or for each stride',
})
type RetinanetOptions = z.infer<typeof retinanetOptions>

export const retinanetPreprocess = 'rgb mean=123.675,116.28,103.53 std=58.395,57.12,57.375 letterbox pad=114'

/** The paper's anchors. */
const paper = { strides: [8, 16, 32, 64, 128], sizes: [32, 64, 128, 256, 512], ratios: [0.5, 1, 2], scales: [1, 2 ** (1 / 3), 2 ** (2 / 3)] }

/** Where the numbers of an anchor lie in an output of one image: the first at `at`, the next ones `step` apart. */
interface Part {
  readonly data: Float32Array
  readonly at: (own: number) => number
  readonly step: number
}

export function retinanetDecoder(options: RetinanetOptions, context: DecoderContext): Decoder {
  const { classes, input } = context
  const { centre, variances } = options
  const anchors = anchorsOf(options, input)
  const each = options.ratios.length * options.scales.length
  const levels = options.strides.map((stride) => cellsOf(input, [stride]) * each)
  const lengths = options.scores.length === 1 ? [levels.reduce((a, b) => a + b)] : levels
  const firsts = lengths.map((_, k) => lengths.slice(0, k).reduce((a, b) => a + b, 0))
  const count = lengths.reduce((a, b) => a + b)
  const score = options.scoresAre === 'logits' ? sigmoid : undefined
  const partOf = (image: Parameters<Decoder['decode']>[0], k: number, name: string, width: number): Part => {
    if (tensorNamed(image, name).dims.length === 3) return { data: contentOf(image, name, [lengths[k]!, width]), at: (own) => own * width, step: 1 }
    const [rows, columns] = [Math.ceil(input.height / options.strides[k]!), Math.ceil(input.width / options.strides[k]!)]
    const area = rows * columns
    return { data: contentOf(image, name, [each * width, rows, columns]), at: (own) => (own % each) * width * area + Math.floor(own / each), step: area }
  }
  return denseDecoder({
    ...options, context, outputs: [...options.scores, ...options.boxes],
    read(image) {
      const parts = lengths.map((_, k) => ({ scores: partOf(image, k, options.scores[k]!, classes), boxes: partOf(image, k, options.boxes[k]!, 4) }))
      const levelOf = (i: number): number => firsts.filter((first) => i >= first).length - 1
      const location = (k: number, width: number, { step }: Part) => (e: number): number =>
        firsts[k]! + (step === 1 ? Math.floor(e / width) : (e % step) * each + Math.floor(e / (width * step)))
      return {
        count,
        scores(i, out) {
          const k = levelOf(i)
          const { data, at, step } = parts[k]!.scores
          return writeScores(data, at(i - firsts[k]!), step, out, score)
        },
        box(i, out) {
          const k = levelOf(i)
          const { data, at, step } = parts[k]!.boxes
          const from = at(i - firsts[k]!)
          const delta = (n: 0 | 1 | 2 | 3): number => data[from + n * step]! * variances[n]
          const [x, y, w, h] = anchors.subarray(4 * i, 4 * i + 4) as unknown as [number, number, number, number]
          const [cx, cy, dw, dh] = [x + delta(0) * w, y + delta(1) * h, w * Math.exp(delta(2)), h * Math.exp(delta(3))]
          out.set([cx - dw / 2, cy - dh / 2, cx + dw / 2, cy + dh / 2])
        },
        locationOf: Object.fromEntries(parts.flatMap(({ scores, boxes }, k) => [
          [options.scores[k]!, location(k, classes, scores)],
          [options.boxes[k]!, location(k, 4, boxes)],
        ])),
      }
    },
  })

  /** [anchors,4] centre x, centre y, width, height: level, row, column, ratio, scale. */
  function anchorsOf({ strides, sizes, ratios, scales }: RetinanetOptions, { width, height }: DecoderContext['input']): Float32Array {
    return Float32Array.from(strides.flatMap((stride, level) => {
      const shapes = ratios.flatMap((r) => scales.map((s) => [(sizes[level]! * s) / Math.sqrt(r), sizes[level]! * s * Math.sqrt(r)]))
      const columns = Math.ceil(width / stride)
      return Array.from({ length: columns * Math.ceil(height / stride) }, (_, i) => shapes.flatMap((shape) => [((i % columns) + centre) * stride, (Math.floor(i / columns) + centre) * stride, ...shape])).flat()
    }))
  }
}

export const recogniseRetinanet: Recognise<RetinanetOptions> = (facts, { settings }) => {
  const each = paper.ratios.length * paper.scales.length
  const outputs = facts.outputs.filter((o) => !o.chosen && (o.dims.length === 3 || o.dims.length === 4))
  const wanted = `it reads scores and boxes for ${each} anchors in each cell of strides ${paper.strides.join(', ')}; at ${facts.input.width}x${facts.input.height} there are ${facts.outputs.map(outputText).join(', ')}`
  const pairs = pairsOf(outputs, [paper.strides], facts) ?? pairsOf(outputs, paper.strides.map((s) => [s]), facts)
  if (!pairs) return { not: wanted }
  const widths = new Set(pairs.map((p) => p.width))
  const natures = new Set(pairs.map(({ scores }) => natureOf(scores, scores.dims.length === 3 ? 2 : 1, 0, scores.dims[scores.dims.length === 3 ? 2 : 1]!)))
  const [width] = widths
  const [nature] = natures
  if (widths.size !== 1 || natures.size !== 1 || nature === 'softmax' || nature === 'computed') return { not: wanted }
  const decoded = pairs.find(({ boxes }) => natureOf(boxes, boxes.dims.length === 3 ? 2 : 1, 0, boxes.dims[boxes.dims.length === 3 ? 2 : 1]!) === 'computed')
  if (decoded) return { not: `the boxes of ${outputText(decoded.boxes)} are decoded in the graph already` }
  const scoresAre = scoreFormOf(nature!, settings)
  if (!scoresAre) return { lacks: cannotTellScores }
  const variances = settings.numbers('variances') ?? [1, 1, 1, 1]
  if (variances.length !== 4) return { lacks: 'variances are four numbers, x,y,width,height' }
  const why = `${pairs.map(({ scores, boxes }) => `${outputText(scores)} with ${outputText(boxes)}`).join(', ')} have ${each} anchors in each cell of strides ${paper.strides.join(', ')}, scores ${scoresAre === 'logits' ? 'before' : 'after'} a sigmoid`
  return {
    fits: {
      type: 'retinanet', ...paper,
      scores: pairs.map((p) => p.scores.name),
      boxes: pairs.map((p) => p.boxes.name),
      scoresAre,
      centre: settings.number('centre') ?? 0,
      variances: variances as [number, number, number, number],
      ...suppressionFrom(settings),
    },
    classes: width,
    why,
  }

  /** For each group of strides, its output of scores and that of boxes; undefined unless every output has its place. */
  function pairsOf(all: readonly OutputFacts[], groups: readonly (readonly number[])[], { input }: typeof facts): { scores: OutputFacts; boxes: OutputFacts; width: number }[] | undefined {
    const found = groups.flatMap((strides) => {
      const cells = cellsOf(input, strides)
      const own = all.flatMap((o) => {
        const flat = o.dims.length === 3
        const fits = flat ? o.dims[1] === cells * each : strides.length === 1 && o.dims[2] === Math.ceil(input.height / strides[0]!) && o.dims[3] === Math.ceil(input.width / strides[0]!) && o.dims[1]! % each === 0
        return fits ? [{ output: o, width: flat ? o.dims[2]! : o.dims[1]! / each }] : []
      })
      const boxes = own.filter((o) => o.width === 4)
      const scores = own.filter((o) => o.width !== 4)
      return boxes.length === 1 && scores.length === 1 ? [{ scores: scores[0]!.output, boxes: boxes[0]!.output, width: scores[0]!.width }] : []
    })
    return found.length === groups.length && 2 * found.length === all.length ? found : undefined
  }
}
