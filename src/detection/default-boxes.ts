/** @file SSD's default boxes (priors): their sizes by level, and the boxes themselves. */
import { z } from 'zod'

/** How the default boxes of one feature map are made; sizes in pixels of the network's input. */
export const defaultBoxLevel = z.strictObject({
  /** Cells of the map. */
  width: z.int().positive(),
  height: z.int().positive(),
  /** Pixels between cells, horizontal and vertical. */
  stepX: z.number().positive(),
  stepY: z.number().positive(),
  /** s_k and s_{k+1} of the SSD paper, pixels. */
  minSize: z.number().positive(),
  maxSize: z.number().positive(),
  /** Aspect ratios beside 1; each also stands for its inverse. */
  ratios: z.array(z.number().positive()),
})

export type DefaultBoxLevel = z.infer<typeof defaultBoxLevel>

export interface DefaultBoxes {
  /** D */
  readonly count: number
  /** [D,4] centre x, centre y, width, height, pixels of the network's input. */
  readonly centers: Float32Array
  /** [D,4] the same boxes as xyxy; they may reach beyond the input. */
  readonly corners: Float32Array
}

/** Boxes in one cell: two squares, and two for each ratio. */
export function boxesPerCell(level: DefaultBoxLevel): number {
  return 2 + 2 * level.ratios.length
}

/**
 * The boxes of all levels, in the order of SSD's outputs: level, row, column, then within the cell the square s_k, the
 * square sqrt(s_k s_k+1), and for each ratio r the box s_k sqrt(r) x s_k / sqrt(r) and its upright twin. Nothing is clipped.
 */
export function makeDefaultBoxes(levels: readonly DefaultBoxLevel[]): DefaultBoxes {
  const count = levels.reduce((sum, level) => sum + level.width * level.height * boxesPerCell(level), 0)
  const centers = new Float32Array(4 * count)
  const corners = new Float32Array(4 * count)
  let at = 0
  for (const level of levels) {
    const sizes = cellSizes(level)
    for (let row = 0; row < level.height; row++) {
      for (let column = 0; column < level.width; column++) {
        const x = (column + 0.5) * level.stepX
        const y = (row + 0.5) * level.stepY
        for (const [w, h] of sizes) {
          centers.set([x, y, w, h], at)
          corners.set([x - w / 2, y - h / 2, x + w / 2, y + h / 2], at)
          at += 4
        }
      }
    }
  }
  return { count, centers, corners }
}

function cellSizes(level: DefaultBoxLevel): [number, number][] {
  const s = level.minSize
  const between = Math.sqrt(s * level.maxSize)
  const sizes: [number, number][] = [[s, s], [between, between]]
  for (const ratio of level.ratios) {
    const long = s * Math.sqrt(ratio)
    const short = s / Math.sqrt(ratio)
    sizes.push([long, short], [short, long])
  }
  return sizes
}

export interface SsdLevelOptions {
  /** Pixels of the network's input. */
  width: number
  height: number
  /** [width, height] in cells of each feature map, finest first. */
  featureSizes: readonly (readonly [number, number])[]
  /** Aspect ratios beside 1 of each feature map; each also stands for its inverse. */
  ratios: readonly (readonly number[])[]
  /** Which of the SSD paper's settings: 'voc' 30 60 111 .. 315, 'coco' 21 45 99 .. 315, at an input of 300. Default 'voc'. */
  scales?: 'voc' | 'coco'
}

/** First map's size, second map's size, end of the even spread: percent of the input's side, from the SSD authors' code. */
const ssdPercents = { voc: [10, 20, 90], coco: [7, 15, 90] } as const

/**
 * Levels by SSD's rule. Sizes are shares of the input's shorter side. With n maps, the first has its own size and the others rise in
 * whole percents, floor(span / (n - 2)), as the SSD authors' code does: at 300 and six maps it gives SSD300's sizes.
 */
export function ssdLevels(options: SsdLevelOptions): DefaultBoxLevel[] {
  const { width, height, featureSizes, ratios, scales = 'voc' } = options
  if (ratios.length !== featureSizes.length) throw new RangeError(`${featureSizes.length} feature maps have ${ratios.length} lists of ratios; give one list for each map`)
  const side = Math.min(width, height)
  const percents = levelPercents(featureSizes.length, ssdPercents[scales])
  return featureSizes.map(([columns, rows], k) => ({
    width: columns,
    height: rows,
    stepX: width / columns,
    stepY: height / rows,
    minSize: (percents[k]! * side) / 100,
    maxSize: (percents[k + 1]! * side) / 100,
    ratios: [...ratios[k]!],
  }))
}

/** n + 1 sizes in percent. */
function levelPercents(n: number, [first, second, last]: readonly [number, number, number]): number[] {
  if (n === 1) return [second, last]
  const step = n === 2 ? last - second : Math.floor((last - second) / (n - 2))
  return [first, ...Array.from({ length: n }, (_, i) => second + i * step)]
}
