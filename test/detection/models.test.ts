/** @file The detectors that are made from nothing: default boxes, sizes, parameters, seeds. */
import { describe, expect, it } from 'vitest'
import { readCard } from '../../src/detection/card.ts'
import { makeDefaultBoxes } from '../../src/detection/default-boxes.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { verify } from '../../src/ir/verify.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { runModel } from '../support/run.ts'

const classes = ['a', 'b', 'c']

describe('buildDetector', () => {
  it.each([
    // Cells of the maps times boxes a cell: 38 38 19 19 10 10 5 5 3 3 1 with 4 6 6 6 4 4.
    ['ssd300-resnet50', 8732, 13.35],
    ['ssd300-vgg16', 8732, 24.01],
    // 38 19 10 5 3 with 4 6 6 4 4.
    ['ssd300-resnet18', 4 * 38 ** 2 + 6 * 19 ** 2 + 6 * 10 ** 2 + 4 * 5 ** 2 + 4 * 3 ** 2, 12.39],
    ['ssd-small', 4 * (20 ** 2 + 10 ** 2 + 5 ** 2 + 3 ** 2), 0.38],
  ])('%s has its default boxes and its size', (name, boxes, millions) => {
    const model = buildDetector(name, { classes, seed: 0 })
    verify(model.graph)
    const card = readCard(model.metadata, name)
    expect(makeDefaultBoxes(card.defaultBoxes!).count).toBe(boxes)
    expect(modelCost(model).params / 1e6).toBeCloseTo(millions, 2)
    expect(card.classes).toEqual(classes)
  })

  it('computes outputs of the shapes that its card promises', async () => {
    const model = buildDetector('ssd-small', { classes, seed: 0, size: 96 })
    const card = readCard(model.metadata, 'small')
    const count = makeDefaultBoxes(card.defaultBoxes!).count
    const out = await runModel(model, { image: f32(new Float32Array(2 * 3 * 96 * 96), [2, 3, 96, 96]) })
    expect(out.scores!.dims).toEqual([2, count, 4])
    expect(out.boxes!.dims).toEqual([2, count, 4])
  })

  it('draws its weights from the seed', () => {
    const weights = (seed: number): unknown => buildDetector('ssd-small', { classes, seed }).graph.initializers.map((v) => v.initializer!.data)
    expect(weights(1)).toEqual(weights(1))
    expect(weights(1)).not.toEqual(weights(2))
  })

  it('refuses an unknown name and an input too small for its maps', () => {
    expect(() => buildDetector('ssd-huge', { classes, seed: 0 })).toThrow(/"ssd-huge" is not known; known are ssd300-resnet50/)
    expect(() => buildDetector('ssd300-vgg16', { classes, seed: 0, size: 128 })).toThrow(/128 pixels is too small for ssd300-vgg16/)
  })
})
