/** @file NanoDet and other heads of generalized focal loss (Li et al. 2020): classes and distance distributions, one pair of outputs a stride. */
import { z } from 'zod'
import { cellsOf, natureOf, type OutputFacts, outputText } from '../facts.ts'
import { contentOf, type Decoder, type DecoderContext, sigmoid, suppression } from './decoder.ts'
import { denseDecoder, gridOf, writeScores } from './dense.ts'
import { cannotTellScores, type Recognise, scoreFormOf, scoreForms, suppressionFrom } from './recogniser.ts'

const level = z.strictObject({
  stride: z.int().positive(),
  /** [N, cells, classes] */
  scores: z.string(),
  /** [N, cells, 4 * bins]: logits of the distances to the left, top, right and bottom edge. */
  boxes: z.string(),
})

export const nanodetOptions = z.strictObject({
  type: z.literal('nanodet'),
  levels: z.array(level).min(1),
  /** Bins of a distance: 0, 1, ... bins - 1 strides. */
  bins: z.int().min(2),
  scoresAre: z.enum(scoreForms),
  /** Where in its cell a location lies, in strides: 0.5 (the middle), or 0 as NanoDet-Plus has it. */
  centre: z.number().min(0).max(1),
  ...suppression,
})
type NanodetOptions = z.infer<typeof nanodetOptions>

export const nanodetPreprocess = 'bgr mean=103.53,116.28,123.675 std=57.375,57.12,58.395 stretch'

/** Edges lie at the location minus or plus the expected distance times the stride. */
export function nanodetDecoder(options: NanodetOptions, context: DecoderContext): Decoder {
  const { levels, bins, centre } = options
  const { classes, input } = context
  const score = options.scoresAre === 'logits' ? sigmoid : undefined
  let total = 0
  const parts = levels.map(({ stride, scores, boxes }) => {
    const grid = gridOf(input, [stride])
    const first = total
    total += grid.count
    return { scores, boxes, grid, first }
  })
  return denseDecoder({
    ...options, context, outputs: levels.flatMap((l) => [l.scores, l.boxes]),
    read(image) {
      const maps = parts.map((part) => ({ ...part, classes: contentOf(image, part.scores, [part.grid.count, classes]), distances: contentOf(image, part.boxes, [part.grid.count, 4 * bins]) }))
      const mapOf = (i: number) => maps.find((m) => i < m.first + m.grid.count)!
      return {
        count: total,
        scores(i, out) {
          const map = mapOf(i)
          return writeScores(map.classes, (i - map.first) * classes, 1, out, score)
        },
        box(i, out) {
          const { grid, first, distances } = mapOf(i)
          const cell = i - first
          const stride = grid.stride[cell]!
          const x = (grid.x[cell]! + centre) * stride
          const y = (grid.y[cell]! + centre) * stride
          const distance = (side: number): number => expectation(distances, (cell * 4 + side) * bins, bins) * stride
          out.set([x - distance(0), y - distance(1), x + distance(2), y + distance(3)])
        },
        locationOf: Object.fromEntries(parts.flatMap(({ scores, boxes, first }) => [
          [scores, (e: number) => first + Math.floor(e / classes)],
          [boxes, (e: number) => first + Math.floor(e / (4 * bins))],
        ])),
      }
    },
  })
}

/** The mean bin under a softmax over `bins` logits from `at` on. */
function expectation(logits: Float32Array, at: number, bins: number): number {
  let peak = -Infinity
  for (let k = 0; k < bins; k++) peak = Math.max(peak, logits[at + k]!)
  let sum = 0
  let weighted = 0
  for (let k = 0; k < bins; k++) {
    const e = Math.exp(logits[at + k]! - peak)
    sum += e
    weighted += k * e
  }
  return weighted / sum
}

export const recogniseNanodet: Recognise<NanodetOptions> = (facts, { settings, classes }) => {
  const all = facts.outputs.map(outputText).join(', ')
  const flat = facts.outputs.filter((o) => o.dims.length === 3 && !o.chosen)
  const levels = [8, 16, 32, 64, 128].flatMap((stride) => {
    const pair = flat.filter((o) => o.dims[1] === cellsOf(facts.input, [stride]))
    return pair.length === 0 ? [] : [{ stride, pair }]
  })
  if (levels.length < 2 || levels.some((l) => l.pair.length !== 2) || 2 * levels.length !== facts.outputs.length) {
    return { not: `it reads [N,cells,classes] and [N,cells,4 * bins] for each of the strides 8, 16, 32, and nothing else; at ${facts.input.width}x${facts.input.height} there are ${all}` }
  }
  const widths = [...new Set(flat.map((o) => o.dims[2]!))]
  const scoreWidth = scoreWidthOf(levels.map((l) => l.pair), classes)
  if (widths.length !== 2 || scoreWidth === undefined) return { lacks: `of each pair in ${all} one must be classes and one distances, and neither the graph nor the number of classes shows which: give --classes` }
  const bins = widths.find((w) => w !== scoreWidth)! / 4
  if (!Number.isInteger(bins) || bins < 2) return { not: `it reads distances of 4 * bins numbers, which none of ${all} has` }
  const scores = levels.map(({ pair }) => pair.find((o) => o.dims[2] === scoreWidth)!)
  const natures = new Set(scores.map((o) => natureOf(o, 2, 0, scoreWidth)))
  const [nature] = natures
  const scoresAre = scoreFormOf(natures.size === 1 ? nature! : 'computed', settings)
  if (!scoresAre) return { lacks: cannotTellScores }
  const why = `for each of the strides ${levels.map((l) => l.stride).join(', ')} there are ${scoreWidth} classes, scores ${scoresAre === 'logits' ? 'before' : 'after'} a sigmoid, and four distances of ${bins} bins`
  return {
    fits: {
      type: 'nanodet',
      levels: levels.map(({ stride, pair }, i) => ({ stride, scores: scores[i]!.name, boxes: pair.find((o) => o !== scores[i])!.name })),
      bins,
      scoresAre,
      centre: settings.number('centre') ?? 0.5,
      ...suppressionFrom(settings),
    },
    classes: scoreWidth,
    why,
  }
}

/** The width of class outputs: that of those after a sigmoid, else the number of classes that the user named. */
function scoreWidthOf(pairs: readonly (readonly OutputFacts[])[], classes: number | undefined): number | undefined {
  const widths = new Set(pairs.map((pair) => {
    const logistic = pair.filter((o) => natureOf(o, 2, 0, o.dims[2]!) === 'sigmoid')
    return logistic.length === 1 ? logistic[0]!.dims[2] : pair.filter((o) => o.dims[2] === classes).length === 1 ? classes : undefined
  }))
  return widths.size === 1 ? [...widths][0] : undefined
}
