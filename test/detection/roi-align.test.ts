/** @file Separable RoIAlign against ONNX's own operator, and its gradient. */
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { roiAlign, type RoiGrid, writeRoiWeights } from '../../src/detection/roi-align.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { buildAndRun, runModel } from '../support/run.ts'

const [n, c, h, w, r, p] = [2, 3, 9, 7, 5, 7] as const
const grid: RoiGrid = { width: w, height: h, inputWidth: 70, inputHeight: 90, bins: p, sampling: 2 }

function boxesAt(seed: number): Float32Array {
  const rng = createRng(seed)
  const boxes = new Float32Array(4 * n * r)
  for (let i = 0; i < n * r; i++) {
    // Some boxes reach beyond the image on either side.
    const [x, y] = [rng.uniform(-30, 60), rng.uniform(-30, 80)]
    boxes.set([x, y, x + rng.uniform(1, 60), y + rng.uniform(1, 60)], 4 * i)
  }
  return boxes
}

function randomTensor(dims: readonly number[], seed: number): Tensor {
  const rng = createRng(seed)
  return f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()), dims)
}

/** Weights of K box sets, set by set within an image. */
function weightsOf(sets: readonly Float32Array[]): { rows: Tensor; columns: Tensor } {
  const k = sets.length
  const rows = new Float32Array(n * k * r * p * h)
  const columns = new Float32Array(n * k * r * w * p)
  for (let i = 0; i < n; i++) sets.forEach((boxes, s) => writeRoiWeights(grid, boxes.subarray(4 * i * r, 4 * (i + 1) * r), rows, columns, (i * k + s) * r))
  return { rows: f32(rows, [n, k * r * p, h]), columns: f32(columns, [n * k * r, w, p]) }
}

async function onnxRoiAlign(feature: Tensor, boxes: Float32Array): Promise<Float32Array> {
  const out = await buildAndRun((b) => {
    const x = b.input('x', 'float32', feature.dims)
    const rois = b.constant(f32(boxes, [n * r, 4]))
    const index = b.ints(Array.from({ length: n * r }, (_, i) => Math.floor(i / r)))
    b.output(b.op('RoiAlign', [x, rois, index], { coordinate_transformation_mode: 'half_pixel', mode: 'avg', output_height: p, output_width: p, sampling_ratio: 2, spatial_scale: { float: 0.1 } }), 'y')
  }, { x: feature })
  return floats(out.y!)
}

/** [N*R*P,C,P] to ONNX's [N*R,C,P,P]. */
function toOnnxOrder(ours: Float32Array): Float32Array {
  const out = new Float32Array(ours.length)
  for (let box = 0; box < n * r; box++) for (let y = 0; y < p; y++) for (let k = 0; k < c; k++) for (let x = 0; x < p; x++) out[((box * c + k) * p + y) * p + x] = ours[((box * p + y) * c + k) * p + x]!
  return out
}

async function ours(feature: Tensor, sets: readonly Float32Array[]): Promise<Float32Array> {
  const { rows, columns } = weightsOf(sets)
  const out = await buildAndRun((b) => {
    const x = b.input('x', 'float32', feature.dims)
    b.output(roiAlign(b, x, b.input('rows', 'float32', rows.dims), b.input('columns', 'float32', columns.dims), r), 'y')
  }, { x: feature, rows, columns })
  return toOnnxOrder(floats(out.y!))
}

describe('roiAlign', () => {
  it("equals ONNX's RoiAlign, boxes beyond the image too", async () => {
    const feature = randomTensor([n, c, h, w], 1)
    const boxes = boxesAt(2)
    const got = await ours(feature, [boxes])
    const want = await onnxRoiAlign(feature, boxes)
    expect(Math.max(...got.map((v, i) => Math.abs(v - want[i]!)))).toBeLessThan(2e-6)
    expect(Math.max(...want.map(Math.abs))).toBeGreaterThan(0.5)
  })

  it('adds up two box sets: the contextual form', async () => {
    const feature = randomTensor([n, c, h, w], 3)
    const [boxes, contexts] = [boxesAt(4), boxesAt(5)]
    const got = await ours(feature, [boxes, contexts])
    const one = await onnxRoiAlign(feature, boxes)
    const two = await onnxRoiAlign(feature, contexts)
    expect(Math.max(...got.map((v, i) => Math.abs(v - one[i]! - two[i]!)))).toBeLessThan(4e-6)
  })

  it('has the right gradient by the feature map', async () => {
    const { rows, columns } = weightsOf([boxesAt(6), boxesAt(7)])
    const { worst } = await checkGradient({
      build: (b, [x]) => roiAlign(b, x!, b.constant(rows), b.constant(columns), r),
      inputs: [randomTensor([n, c, h, w], 8)],
      run: runModel,
      rng: createRng(9),
    })
    expect(worst).toBeLessThan(1e-3)
  })
})
