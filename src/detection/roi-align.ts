/**
 * @file RoIAlign (He et al. 2017) in separable, differentiable form, and the contextual RoIAlign of LCP
 * (arXiv 1911.02237): F_O = RoIAlign(F, B) + RoIAlign(F, E(A, B)), E the smallest box around the default box B and the ground truth A.
 *
 * For one box the result is Ay [P,H] . F [C,H,W] . Ax^T [W,P], rows of bilinear weights averaged over the samples of a bin.
 * The weights are computed here from the boxes and fed to the graph, so both directions are batched matrix products.
 */
import { dimsOf, type Value } from '../ir/graph.ts'
import type { Builder } from '../ops/builder.ts'

export interface RoiGrid {
  /** Cells of the feature map. */
  readonly width: number
  readonly height: number
  /** Pixels of the network's input. */
  readonly inputWidth: number
  readonly inputHeight: number
  /** Bins along each side of the result (P). */
  readonly bins: number
  /** Samples along each side of a bin. */
  readonly sampling: number
}

/**
 * Writes the weights of boxes [R,4] xyxy (pixels of the input, half-pixel coordinates): `rows` [R,P,H] and `columns` [R,W,P], starting at
 * place `at` (a box number) of each array.
 */
export function writeRoiWeights(grid: RoiGrid, boxes: Float32Array, rows: Float32Array, columns: Float32Array, at = 0): void {
  const { width, height, bins } = grid
  const column = new Float32Array(bins * width)
  for (let r = 0; r < boxes.length / 4; r++) {
    const [x1, y1, x2, y2] = boxes.subarray(4 * r, 4 * r + 4) as unknown as [number, number, number, number]
    const [sx, sy] = [width / grid.inputWidth, height / grid.inputHeight]
    const row = rows.subarray((at + r) * bins * height, (at + r + 1) * bins * height)
    intervalWeights(y1 * sy - 0.5, y2 * sy - 0.5, grid, height, row)
    intervalWeights(x1 * sx - 0.5, x2 * sx - 0.5, grid, width, column)
    const base = (at + r) * width * bins
    for (let p = 0; p < bins; p++) for (let w = 0; w < width; w++) columns[base + w * bins + p] = column[p * width + w]!
  }
}

/** Bilinear weights [P, length] of the bins of the interval [low, high) in cells. Samples more than a cell outside count as zero, as in ONNX's RoiAlign. */
function intervalWeights(low: number, high: number, grid: RoiGrid, length: number, out: Float32Array): void {
  out.fill(0)
  const bin = (high - low) / grid.bins
  const share = 1 / grid.sampling
  for (let p = 0; p < grid.bins; p++) {
    for (let s = 0; s < grid.sampling; s++) {
      const at = low + bin * (p + (s + 0.5) * share)
      if (at < -1 || at > length) continue
      const clamped = Math.min(Math.max(at, 0), length - 1)
      const cell = Math.min(Math.floor(clamped), length - 1)
      const next = Math.min(cell + 1, length - 1)
      const fraction = clamped - cell
      const base = p * length
      out[base + cell] = out[base + cell]! + share * (1 - fraction)
      out[base + next] = out[base + next]! + share * fraction
    }
  }
}

/**
 * Adds RoIAlign of `feature` [N,C,H,W] with R boxes an image to the graph. `rows` [N,K*R*P,H] and `columns` [N*K*R,W,P] hold the weights
 * of K box sets, set by set within an image; the K results are added up (K = 2: contextual). Result [N*R*P,C,P], that is, axis 0 runs
 * over image, box and bin row: batch normalisation finds channels on axis 1 without a transpose.
 */
export function roiAlign(b: Builder, feature: Value, rows: Value, columns: Value, boxesPerImage: number): Value {
  const [n, c, h, w] = dimsOf(feature) as [number, number, number, number]
  const bins = dimsOf(columns)[2]!
  const sets = dimsOf(rows)[1]! / (boxesPerImage * bins)
  const byRow = b.reshape(b.transpose(feature, [0, 2, 1, 3]), [n, h, c * w])
  const rowed = b.op('MatMul', [rows, byRow])
  const cells = b.op('MatMul', [b.reshape(rowed, [n * sets * boxesPerImage, bins * c, w]), columns])
  if (sets === 1) return b.reshape(cells, [n * boxesPerImage * bins, c, bins])
  const stacked = b.reshape(cells, [n, sets, boxesPerImage * bins * c * bins])
  return b.reshape(b.sum(stacked, [1]), [n * boxesPerImage * bins, c, bins])
}
