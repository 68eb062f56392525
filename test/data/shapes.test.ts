/** @file The synthetic data set: same seed, same bytes; boxes that fit what is drawn. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { shapesDataset } from '../../src/data/shapes.ts'
import { coverage, type Shape } from '../../src/data/shapes-geometry.ts'

const digest = (options: Parameters<typeof shapesDataset>[0]): string => {
  const { dataset, image } = shapesDataset(options)
  const hash = createHash('sha256')
  for (const sample of dataset.samples) {
    hash.update(image(sample).data)
    hash.update(sample.truth.boxes)
    hash.update(sample.truth.labels)
  }
  return hash.digest('hex').slice(0, 16)
}

describe('shapesDataset', () => {
  it('draws the same bytes for the same seed', () => {
    const options = { seed: 3, split: 'val', count: 4 }
    expect(digest(options)).toMatchInlineSnapshot(`"591327d67e13d838"`)
    expect(digest({ ...options, seed: 4 })).not.toBe(digest(options))
    expect(digest({ ...options, split: 'test' })).not.toBe(digest(options))
  })

  it('does not change a sample when more are asked for, nor by the order of drawing', () => {
    const few = shapesDataset({ seed: 1, split: 'train', count: 2 })
    const more = shapesDataset({ seed: 1, split: 'train', count: 5 })
    more.image(more.dataset.samples[4]!)
    expect(more.dataset.samples.slice(0, 2)).toEqual(few.dataset.samples)
    expect(more.image(more.dataset.samples[1]!)).toEqual(few.image(few.dataset.samples[1]!))
  })

  it('has the stated counts, classes and sizes, and every class', () => {
    expect(shapesDataset({ seed: 0, split: 'train', size: 32 }).dataset.samples).toHaveLength(600)
    expect(shapesDataset({ seed: 0, split: 'test', size: 32 }).dataset.samples).toHaveLength(200)
    const { dataset } = shapesDataset({ seed: 0, split: 'val' })
    expect(dataset.samples).toHaveLength(100)
    expect(dataset.classes).toEqual(['disc', 'square', 'triangle', 'star', 'ring'])
    const counts = dataset.classes.map((_, label) => dataset.samples.reduce((sum, s) => sum + s.truth.labels.filter((l) => l === label).length, 0))
    for (const count of counts) expect(count).toBeGreaterThan(30)
    for (const { truth } of dataset.samples) {
      expect(truth.labels.length).toBeGreaterThan(0)
      for (let i = 0; i < truth.labels.length; i++) {
        const [x1, y1, x2, y2] = Array.from(truth.boxes.subarray(i * 4, i * 4 + 4)) as [number, number, number, number]
        expect(x1 >= 0 && y1 >= 0 && x2 <= 160 && y2 <= 160 && x2 > x1 && y2 > y1).toBe(true)
        expect(truth.areas[i]).toBe((x2 - x1) * (y2 - y1))
      }
    }
  })

  it('boxes what is drawn: pixels change inside the box of a lone shape only', () => {
    const { dataset, image } = shapesDataset({ seed: 5, split: 'train', count: 60 })
    const alone = dataset.samples.filter((s) => s.truth.labels.length === 1)
    expect(alone.length).toBeGreaterThan(3)
    // Grain apart, a shape differs in colour from what is around it: the mean over its box differs from that of the frame of 4 pixels around.
    for (const sample of alone) {
      const { data } = image(sample)
      const [x1, y1, x2, y2] = Array.from(sample.truth.boxes) as [number, number, number, number]
      const inside = [0, 0, 0]
      const around = [0, 0, 0]
      let n = 0
      let m = 0
      for (let y = Math.max(0, y1 - 4); y < Math.min(160, y2 + 4); y++) {
        for (let x = Math.max(0, x1 - 4); x < Math.min(160, x2 + 4); x++) {
          const within = x >= x1 && x < x2 && y >= y1 && y < y2
          if (within) n++
          else m++
          for (let c = 0; c < 3; c++) (within ? inside : around)[c]! += data[(y * 160 + x) * 3 + c]!
        }
      }
      const difference = inside.reduce((sum, v, c) => sum + Math.abs(v / n - around[c]! / m), 0)
      expect(difference).toBeGreaterThan(15)
    }
  })

  it('"all" is the splits one after the other', () => {
    const all = shapesDataset({ seed: 0, split: 'all' })
    expect(all.dataset.samples).toHaveLength(900)
    for (const [split, at] of [['train', 0], ['val', 600], ['test', 700]] as const) {
      const part = shapesDataset({ seed: 0, split, count: 2 })
      expect(all.dataset.samples[at]).toEqual(part.dataset.samples[0])
      expect(all.image(all.dataset.samples[at + 1]!)).toEqual(part.image(part.dataset.samples[1]!))
    }
    expect(shapesDataset({ seed: 0, split: 'all', count: 3 }).dataset.samples.map((s) => s.id)).toEqual(['train-0000', 'train-0001', 'train-0002'])
  })

  it('names the splits it has', () => {
    expect(() => shapesDataset({ seed: 0, split: 'dev' })).toThrow('shapes has no split "dev"; it has "train", "val", "test"')
    expect(shapesDataset({ seed: 0, split: 'dev', count: 2 }).dataset.samples).toHaveLength(2)
    expect(() => shapesDataset({ seed: 0, split: 'val', size: 8 })).toThrow(/least is 32/)
    expect(() => shapesDataset({ seed: 0, split: 'val', count: 0 })).toThrow(/at least 1/)
  })
})

describe('coverage', () => {
  const area = (shape: Shape): number => {
    const cover = coverage(shape)
    let sum = 0
    for (let y = 0; y < 100; y++) for (let x = 0; x < 100; x++) sum += cover(x, y)
    return sum
  }
  it('has the areas of geometry', () => {
    const at = { x: 50.3, y: 49.8, side: 60, angle: 0.4 }
    const polygon = (n: number, r: number): number => (n / 2) * r * r * Math.sin((2 * Math.PI) / n)
    expect(area({ ...at, kind: 'disc' })).toBeCloseTo(Math.PI * 900, -1)
    expect(area({ ...at, kind: 'ring' })).toBeCloseTo(Math.PI * 900 * (1 - 0.55 ** 2), -1)
    expect(area({ ...at, kind: 'square' })).toBeCloseTo(polygon(4, 36), -1)
    expect(area({ ...at, kind: 'triangle' })).toBeCloseTo(polygon(3, 36), -1)
    expect(area({ ...at, kind: 'star' })).toBeCloseTo(5 * 34.5 * 15 * Math.sin(Math.PI / 5), -1)
  })
})
