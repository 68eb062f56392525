/** @file Detection losses in the runtime against plain arithmetic. */
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { giou as plainGiou } from '../../src/detection/boxes.ts'
import { decodeOffsets, giou, multiboxLoss, smoothL1 } from '../../src/detection/losses.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, type Tensor } from '../../src/tensor/tensor.ts'
import { buildAndRun, runModel } from '../support/run.ts'

const rng = createRng('losses')
const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => rng.normal())

/** Boxes [n,4] with sides between 1 and 5. */
function boxes(n: number): Float32Array {
  return Float32Array.from(Array.from({ length: n }, () => {
    const [x, y] = [rng.uniform(0, 5), rng.uniform(0, 5)]
    return [x, y, x + rng.uniform(1, 5), y + rng.uniform(1, 5)]
  }).flat())
}

/** Multibox loss by loops. */
function multiboxByHand(scores: Float32Array, locations: Float32Array, labels: Int32Array, offsets: Float32Array, n: number, d: number, width: number): { classification: number; localization: number } {
  let classification = 0
  let localization = 0
  let positives = 0
  for (let i = 0; i < n; i++) {
    const negatives: number[] = []
    let own = 0
    for (let k = 0; k < d; k++) {
      const at = i * d + k
      const row = scores.subarray(at * width, (at + 1) * width)
      const entropy = Math.log(row.reduce((t, v) => t + Math.exp(v), 0)) - row[labels[at]!]!
      if (labels[at] === 0) negatives.push(entropy)
      else {
        own += 1
        classification += entropy
        for (let j = 0; j < 4; j++) {
          const distance = Math.abs(locations[4 * at + j]! - offsets[4 * at + j]!)
          localization += distance < 1 ? 0.5 * distance ** 2 : distance - 0.5
        }
      }
    }
    positives += own
    negatives.sort((a, b) => b - a)
    for (const v of negatives.slice(0, 3 * own)) classification += v
  }
  return { classification: classification / Math.max(1, positives), localization: localization / Math.max(1, positives) }
}

describe('multiboxLoss', () => {
  it.each([
    ['several positives', [0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]],
    ['an image without positives', [0, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['more negatives wanted than there are', [1, 2, 3, 1, 1, 1, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 0, 0, 0]],
  ])('equals loops over the boxes: %s', async (_, marks) => {
    const [n, d, width] = [2, 10, 4]
    const [scores, locations, offsets] = [normals(n * d * width), normals(n * d * 4), normals(n * d * 4)]
    const labels = Int32Array.from(marks)
    const out = await buildAndRun((b) => {
      const { classification, localization } = multiboxLoss(b, {
        scores: b.constant(f32(scores, [n, d, width])), boxes: b.constant(f32(locations, [n, d, 4])), labels: b.constant({ dtype: 'int32', dims: [n, d], data: labels }), offsets: b.constant(f32(offsets, [n, d, 4])),
      })
      b.output(classification, 'c')
      b.output(localization, 'l')
    })
    const want = multiboxByHand(scores, locations, labels, offsets, n, d, width)
    expect(floats(out.c!)[0]).toBeCloseTo(want.classification, 4)
    expect(floats(out.l!)[0]).toBeCloseTo(want.localization, 4)
  })

  it('has the right gradients by scores and boxes', async () => {
    const [n, d, width] = [2, 12, 3]
    const labels: Tensor = { dtype: 'int32', dims: [n, d], data: Int32Array.from({ length: n * d }, (_, i) => (i % 5 === 0 ? 1 + (i % 2) : 0)) }
    const offsets = f32(normals(n * d * 4), [n, d, 4])
    const { worst } = await checkGradient({
      build: (b, [scores, boxesIn]) => {
        const l = multiboxLoss(b, { scores: scores!, boxes: boxesIn!, labels: b.constant(labels), offsets: b.constant(offsets) })
        return b.add(l.classification, l.localization)
      },
      inputs: [f32(normals(n * d * width), [n, d, width]), f32(normals(n * d * 4), [n, d, 4])],
      run: runModel, rng: createRng(1), step: 1e-3,
    })
    expect(worst).toBeLessThan(1e-2)
  })
})

describe('smoothL1, giou, decodeOffsets', () => {
  it('smooth L1 on either side of 1', async () => {
    const out = await buildAndRun((b) => b.output(smoothL1(b, b.floats([0, 0.5, 1, 3, -2]), b.floats([0, 0, 0, 0, 0])), 'y'))
    expect([...floats(out.y!)]).toEqual([0, 0.125, 0.5, 2.5, 1.5])
  })

  it('GIoU equals the one on typed arrays', async () => {
    const [x, y] = [boxes(20), boxes(20)]
    const out = await buildAndRun((b) => b.output(giou(b, b.constant(f32(x, [20, 4])), b.constant(f32(y, [20, 4]))), 'y'))
    floats(out.y!).forEach((v, i) => expect(v).toBeCloseTo(plainGiou(x, i, y, i), 5))
  })

  it('GIoU of decoded offsets has the right gradient', async () => {
    const truths = f32(boxes(8), [8, 4])
    const centers = f32(Float32Array.from(Array.from({ length: 8 }, () => [4, 4, 3, 3]).flat()), [8, 4])
    const { worst } = await checkGradient({
      build: (b, [offsets]) => giou(b, decodeOffsets(b, offsets!, b.constant(centers), [0.1, 0.2]), b.constant(truths)),
      inputs: [f32(normals(32), [8, 4])], run: runModel, rng: createRng(2),
    })
    expect(worst).toBeLessThan(1e-3)
  })
})
