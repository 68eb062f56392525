/** @file Default boxes: SSD300's sizes and count, and the order of the boxes. */
import { describe, expect, it } from 'vitest'
import { boxesPerCell, makeDefaultBoxes, ssdLevels } from '../../src/detection/default-boxes.ts'

const featureSizes = [38, 19, 10, 5, 3, 1].map((n) => [n, n] as const)
const ratios = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]

describe('ssdLevels', () => {
  it('gives SSD300: 8,732 boxes, sizes of VOC and of COCO', () => {
    const levels = ssdLevels({ width: 300, height: 300, featureSizes, ratios })
    expect(levels.map(boxesPerCell)).toEqual([4, 6, 6, 6, 4, 4])
    expect(makeDefaultBoxes(levels).count).toBe(8732)
    expect(levels.map((l) => l.minSize)).toEqual([30, 60, 111, 162, 213, 264])
    expect(levels.map((l) => l.maxSize)).toEqual([60, 111, 162, 213, 264, 315])
    const coco = ssdLevels({ width: 300, height: 300, featureSizes, ratios, scales: 'coco' })
    expect(coco.map((l) => l.minSize)).toEqual([21, 45, 99, 153, 207, 261])
    expect(coco.at(-1)!.maxSize).toBe(315)
  })

  it('scales with the input, by its shorter side; steps fill the input', () => {
    const levels = ssdLevels({ width: 600, height: 450, featureSizes: featureSizes.map(([w, h]) => [2 * w, h]), ratios })
    expect(levels.map((l) => l.minSize)).toEqual([45, 90, 166.5, 243, 319.5, 396])
    expect(levels[1]).toMatchObject({ width: 38, height: 19, stepX: 600 / 38, stepY: 450 / 19 })
  })

  it('spreads other numbers of maps evenly', () => {
    const sizes = (n: number): number[] => {
      const levels = ssdLevels({ width: 100, height: 100, featureSizes: featureSizes.slice(0, n), ratios: ratios.slice(0, n) })
      return [...levels.map((l) => l.minSize), levels.at(-1)!.maxSize]
    }
    expect(sizes(5)).toEqual([10, 20, 43, 66, 89, 112])
    expect(sizes(3)).toEqual([10, 20, 90, 160])
    expect(sizes(2)).toEqual([10, 20, 90])
    expect(sizes(1)).toEqual([20, 90])
    expect(() => ssdLevels({ width: 9, height: 9, featureSizes, ratios: [[2]] })).toThrow('one list for each map')
  })
})

describe('makeDefaultBoxes', () => {
  it('orders by level, row, column, box', () => {
    const boxes = makeDefaultBoxes([
      { width: 2, height: 3, stepX: 50, stepY: 40, minSize: 16, maxSize: 25, ratios: [4] },
      { width: 1, height: 1, stepX: 100, stepY: 120, minSize: 9, maxSize: 16, ratios: [] },
    ])
    expect(boxes.count).toBe(2 * 3 * 4 + 2)
    const center = (d: number): number[] => [...boxes.centers.subarray(4 * d, 4 * d + 4)]
    expect([0, 1, 2, 3].map(center)).toEqual([[25, 20, 16, 16], [25, 20, 20, 20], [25, 20, 32, 8], [25, 20, 8, 32]])
    expect(center(4)).toEqual([75, 20, 16, 16])
    expect(center(8)).toEqual([25, 60, 16, 16])
    expect(center(24)).toEqual([50, 60, 9, 9])
    expect([...boxes.corners.subarray(8, 12)]).toEqual([9, 16, 41, 24])
  })
})
