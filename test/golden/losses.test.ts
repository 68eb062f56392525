/** @file Losses and contextual RoIAlign, with their gradients, against torch and torchvision. */
import { describe, expect, it } from 'vitest'
import { crossEntropy, giou, oneHot, smoothL1 } from '../../src/detection/losses.ts'
import { type RoiGrid, roiAlign, writeRoiWeights } from '../../src/detection/roi-align.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { compute } from './compute.ts'
import { golden, type GoldenCase, of, relativeError } from './read.ts'

const lossCase = (name: string): GoldenCase => golden('losses').find((c) => c.name === name)!

describe('torch', () => {
  it('softmax cross-entropy', async () => {
    const c = lossCase('cross-entropy')
    const out = await compute(c, ['logits'], (b, input) => ({ y: b.sum(crossEntropy(b, input('logits'), oneHot(b, b.constant(of(c, 'labels')), 7))) }))
    expect(relativeError(out.y!, of(c, 'loss'))).toBeLessThan(1e-5)
    expect(relativeError(out.dlogits!, of(c, 'dlogits'))).toBeLessThan(2e-5)
  })

  it('smooth L1', async () => {
    const c = lossCase('smooth L1')
    const out = await compute(c, ['x'], (b, input) => ({ y: b.sum(smoothL1(b, input('x'), b.constant(of(c, 'target')))) }))
    expect(relativeError(out.y!, of(c, 'loss'))).toBeLessThan(1e-5)
    expect(relativeError(out.dx!, of(c, 'dx'))).toBeLessThan(2e-5)
  })

  it('GIoU loss', async () => {
    const c = lossCase('giou')
    const out = await compute(c, ['x', 'y'], (b, input) => ({ y: b.sub(b.scalar(1), giou(b, input('x'), input('y'))) }))
    expect(relativeError(out.y!, of(c, 'loss'))).toBeLessThan(1e-5)
    expect(relativeError(out.dx!, of(c, 'dx'))).toBeLessThan(1e-4)
    expect(relativeError(out.dy!, of(c, 'dy'))).toBeLessThan(1e-4)
  })

  it.each(golden('roi-align').map((c) => [c.name, c] as const))('contextual RoIAlign: %s', async (_, c) => {
    const [n, channels, height, width] = of(c, 'feature').dims as [number, number, number, number]
    const total = of(c, 'anchors').dims[0]!
    const r = total / n
    const scale = c.attributes.spatial_scale as number
    const grid: RoiGrid = { width, height, inputWidth: width / scale, inputHeight: height / scale, bins: 7, sampling: 2 }
    const anchors = floats(of(c, 'anchors'))
    const truths = floats(of(c, 'truths'))
    const contexts = anchors.map((v, i) => (i % 4 < 2 ? Math.min(v, truths[i]!) : Math.max(v, truths[i]!)))
    const sets = c.attributes.plain === 1 ? [anchors] : [anchors, contexts]
    const rows = new Float32Array(sets.length * total * 7 * height)
    const columns = new Float32Array(sets.length * total * width * 7)
    for (let i = 0; i < n; i++) sets.forEach((boxes, s) => writeRoiWeights(grid, boxes.slice(4 * i * r, 4 * (i + 1) * r), rows, columns, (i * sets.length + s) * r))
    const out = await compute(c, ['feature'], (b, input) => {
      const pooled = roiAlign(b, input('feature'), b.constant(f32(rows, [n, sets.length * r * 7, height])), b.constant(f32(columns, [n * sets.length * r, width, 7])), r)
      // [N*R*7,C,7] to torchvision's [R,C,7,7].
      return { y: b.transpose(b.reshape(pooled, [total, 7, channels, 7]), [0, 2, 1, 3]) }
    })
    expect(relativeError(out.y!, of(c, 'y'))).toBeLessThan(1e-5)
    expect(relativeError(out.dfeature!, of(c, 'dfeature'))).toBeLessThan(2e-5)
  })
})
