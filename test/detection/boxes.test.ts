/** @file Arithmetic on boxes: hand-worked cases and properties. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boxArea, clipBoxes, enclosingBox, giou, iou, iouMatrix } from '../../src/detection/boxes.ts'

const of = (...values: number[]): Float32Array => Float32Array.from(values)
const anyBox = fc.tuple(fc.integer({ min: -50, max: 300 }), fc.integer({ min: -50, max: 300 }), fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 200 }))
  .map(([x, y, w, h]) => of(x, y, x + w, y + h))

describe('iou and giou', () => {
  it('overlapping: 1 shared of 7, the box around them is 9', () => {
    const a = of(0, 0, 2, 2)
    const b = of(1, 1, 3, 3)
    expect(iou(a, 0, b, 0)).toBeCloseTo(1 / 7, 12)
    expect(giou(a, 0, b, 0)).toBeCloseTo(1 / 7 - 2 / 9, 12)
    expect([...enclosingBox(a, 0, b, 0)]).toEqual([0, 0, 3, 3])
  })

  it('apart: 2 of 5 covered', () => {
    const boxes = of(0, 0, 1, 1, 4, 0, 5, 1)
    expect(iou(boxes, 0, boxes, 1)).toBe(0)
    expect(giou(boxes, 0, boxes, 1)).toBeCloseTo(-3 / 5, 12)
  })

  it('inside, equal, touching, empty', () => {
    const boxes = of(0, 0, 10, 10, 0, 0, 5, 5, 10, 0, 20, 10, 3, 3, 3, 3)
    expect(iou(boxes, 0, boxes, 1)).toBe(0.25)
    expect(giou(boxes, 0, boxes, 1)).toBe(0.25)
    expect(giou(boxes, 0, boxes, 0)).toBe(1)
    expect(iou(boxes, 0, boxes, 2)).toBe(0)
    expect(giou(boxes, 3, boxes, 3)).toBe(0)
    expect(boxArea(boxes, 3)).toBe(0)
  })

  it('properties: symmetric, giou <= iou, iou in 0..1, giou in -1..1', () => {
    fc.assert(fc.property(anyBox, anyBox, (a, b) => {
      const i = iou(a, 0, b, 0)
      const g = giou(a, 0, b, 0)
      expect(iou(b, 0, a, 0)).toBe(i)
      expect(giou(b, 0, a, 0)).toBe(g)
      expect(g).toBeLessThanOrEqual(i)
      expect(i).toBeGreaterThanOrEqual(0)
      expect(i).toBeLessThanOrEqual(1)
      expect(g).toBeGreaterThanOrEqual(-1)
    }))
  })

  it('the matrix has a row for each box of the first', () => {
    const matrix = iouMatrix(of(0, 0, 2, 2, 0, 0, 1, 1), of(0, 0, 2, 2, 1, 1, 3, 3, 0, 0, 2, 1))
    expect([...matrix]).toEqual([1, Math.fround(1 / 7), 0.5, 0.25, 0, 0.5])
  })
})

describe('clipBoxes', () => {
  it('moves edges into the image and leaves the input alone', () => {
    const boxes = of(-5, 2, 30, 40, 60, 60, 70, 70)
    expect([...clipBoxes(boxes, 20, 50)]).toEqual([0, 2, 20, 40, 20, 50, 20, 50])
    expect(boxes[0]).toBe(-5)
  })
})
