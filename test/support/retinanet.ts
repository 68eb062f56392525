/** @file RetinaNet's outputs in both forms: rows of all levels, and a map a level. */
import { f32, type Tensor } from '../../src/tensor/tensor.ts'

/** Sides of the square maps of levels, and anchors in each cell. */
export interface Layout {
  readonly sides: readonly number[]
  readonly each: number
}

/** Rows [1,anchors,width] as a map a level, [1,each * width,side,side], named `name` and the number of the level. */
export function mapsOf(rows: Tensor, name: string, { sides, each }: Layout): Record<string, Tensor> {
  const width = rows.dims[2]!
  const areas = sides.map((side) => side * side)
  return Object.fromEntries(sides.map((side, level) => {
    const first = each * areas.slice(0, level).reduce((a, b) => a + b, 0)
    const area = areas[level]!
    const data = Float32Array.from({ length: each * width * area }, (_, e) => {
      const [channel, cell] = [Math.floor(e / area), e % area]
      return rows.data[(first + cell * each + Math.floor(channel / width)) * width + (channel % width)] as number
    })
    return [`${name}${level}`, f32(data, [1, each * width, side, side])]
  }))
}
