/** @file Decoders of dense outputs: the same numbers at every location, class scores and a box; thresholds and NMS are common to them. */
import type { Tensors } from '../../runtime/session.ts'
import type { Detections } from '../annotation.ts'
import { nmsPerClass } from '../nms.ts'
import { type Decoder, type DecoderContext, imageOf, type Suppression, tensorNamed } from './decoder.ts'

/** Best boxes of a class that go into NMS, as in the common SSD code. */
const candidatesPerClass = 400

/** The outputs of one image, as locations: cells, or anchors in cells. */
export interface Locations {
  readonly count: number
  /** Writes the classes' scores at location `i` to `out`; returns the highest. Where it is below `least`, `out` need not be written. */
  scores(i: number, out: Float64Array, least: number): number
  /** Writes the box at location `i` to `out`: xyxy, pixels of the input. */
  box(i: number, out: Float32Array): void
  /** By output name: the location that entry `e` of that output belongs to. */
  readonly locationOf: Readonly<Record<string, (e: number) => number>>
}

export interface DenseOptions extends Suppression {
  readonly outputs: readonly string[]
  readonly context: DecoderContext
  /** Reads the outputs of one image; throws UserError where they have other dims. */
  readonly read: (image: Tensors) => Locations
}

export function denseDecoder(options: DenseOptions): Decoder {
  const { outputs: names, read, context } = options
  return {
    outputs: names,
    oneByOne: false,
    decode: (image) => decodeDense(read(image), options),
    confidence(outputs) {
      const out = Object.fromEntries(names.map((name) => [name, new Float32Array(tensorNamed(outputs, name).data.length)]))
      const images = tensorNamed(outputs, names[0]!).dims[0]!
      const scores = new Float64Array(context.classes)
      for (let n = 0; n < images; n++) {
        const { count, scores: score, locationOf } = read(imageOf(outputs, names, n))
        const highest = Float32Array.from({ length: count }, (_, i) => score(i, scores, 0))
        for (const name of names) {
          const size = out[name]!.length / images
          const own = out[name]!.subarray(n * size, (n + 1) * size)
          const location = locationOf[name]!
          for (let e = 0; e < size; e++) own[e] = highest[location(e)]!
        }
      }
      return out
    },
  }
}

/** Scores below the threshold are dropped, then boxes that lie outside the input or are no numbers; NMS class by class; the best stay. */
function decodeDense(locations: Locations, { scoreThreshold, nmsIou, maxDetections, context: { input, classes } }: DenseOptions): Detections {
  const boxes: number[] = []
  const boxOf: number[] = []
  const scores: number[] = []
  const labels: number[] = []
  const box = new Float32Array(4)
  const own = new Float64Array(classes)
  for (let i = 0; i < locations.count; i++) {
    // Also false for scores that are not numbers.
    if (!(locations.scores(i, own, scoreThreshold) >= scoreThreshold)) continue
    locations.box(i, box)
    for (let k = 0; k < 4; k++) box[k] = Math.min(Math.max(box[k]!, 0), k % 2 === 0 ? input.width : input.height)
    if (!(box[2]! > box[0]! && box[3]! > box[1]!)) continue
    const place = boxes.length / 4
    boxes.push(box[0]!, box[1]!, box[2]!, box[3]!)
    for (let c = 0; c < classes; c++) {
      if (!(own[c]! >= scoreThreshold)) continue
      boxOf.push(place)
      scores.push(own[c]!)
      labels.push(c)
    }
  }
  const all = Float32Array.from(boxes)
  const kept = nmsPerClass({ boxes: all, boxOf, scores, labels }, { iou: nmsIou, candidatesPerClass, maxDetections })
  return {
    boxes: Float32Array.from({ length: 4 * kept.length }, (_, i) => all[4 * boxOf[kept[i >> 2]!]! + (i & 3)]!),
    scores: Float32Array.from(kept, (n) => scores[n]!),
    labels: Int32Array.from(kept, (n) => labels[n]!),
  }
}

/** Writes `from[at + c * step]` (by `f`, default as it is) for every class; returns the highest. */
export function writeScores(from: Float32Array, at: number, step: number, out: Float64Array, f: (x: number) => number = (x) => x): number {
  let highest = -Infinity
  for (let c = 0; c < out.length; c++) {
    const score = f(from[at + c * step]!)
    out[c] = score
    if (score > highest || Number.isNaN(score)) highest = score
  }
  return highest
}

/** Cells of square grids that cover the input, finest first, row by row: how anchor-free heads lay out their locations. */
export interface Grid {
  readonly count: number
  /** Column, row and stride (pixels) of each cell. */
  readonly x: Float32Array
  readonly y: Float32Array
  readonly stride: Float32Array
}

export function gridOf(input: DecoderContext['input'], strides: readonly number[]): Grid {
  const cells = strides.flatMap((stride) => {
    const columns = Math.ceil(input.width / stride)
    return Array.from({ length: columns * Math.ceil(input.height / stride) }, (_, i) => [i % columns, Math.floor(i / columns), stride] as const)
  })
  const column = (k: 0 | 1 | 2): Float32Array => Float32Array.from(cells, (cell) => cell[k])
  return { count: cells.length, x: column(0), y: column(1), stride: column(2) }
}
