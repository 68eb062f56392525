/** @file Cases for shapes and gradients of the convolutions, pools, products, normalisations and resizing: edges and attributes. */
import type { AttributeInit } from '../../src/ir/attributes.ts'
import { f32, floats, i64, type Tensor } from '../../src/tensor/tensor.ts'
import { normal, type OpCase, spaced } from '../support/op-case.ts'

const x = (...dims: number[]): Tensor => normal(dims)
const w = (...dims: number[]): Tensor => normal(dims, 'w')
const positive = (...dims: number[]): Tensor => f32(floats(normal(dims, 'p')).map((v) => Math.abs(v) + 0.5), dims)

const conv = (input: number[], kernel: number[], attributes: Record<string, AttributeInit> = {}, bias = false, opset = 21): OpCase =>
  ({ op: 'Conv', inputs: [x(...input), w(...kernel), ...(bias ? [w(kernel[0]!)] : [])], attributes, opset })
const transposed = (input: number[], kernel: number[], attributes: Record<string, AttributeInit> = {}, bias = 0): OpCase =>
  ({ op: 'ConvTranspose', inputs: [x(...input), w(...kernel), ...(bias ? [w(bias)] : [])], attributes })

export const convCases: readonly OpCase[] = [
  conv([2, 3, 5, 6], [4, 3, 3, 3]),
  conv([2, 3, 5, 6], [4, 3, 3, 3], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, true),
  conv([2, 3, 5, 6], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }, true, 9),
  conv([2, 3, 7, 6], [4, 3, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([2, 3, 8, 7], [4, 3, 3, 2], { pads: [0, 1, 2, 0], strides: [3, 2] }),
  conv([1, 3, 15, 14], [4, 3, 7, 7], { pads: [3, 3, 3, 3], strides: [2, 2] }),
  conv([2, 2, 9, 9], [3, 2, 3, 3], { pads: [2, 2, 2, 2], dilations: [2, 2] }),
  conv([2, 2, 9, 10], [3, 2, 3, 3], { pads: [1, 2, 0, 1], dilations: [2, 3], strides: [2, 1] }),
  conv([2, 2, 11, 10], [3, 2, 3, 3], { dilations: [2, 2], strides: [3, 3] }),
  conv([2, 2, 4, 4], [3, 2, 1, 1], { pads: [1, 1, 1, 1] }),
  conv([2, 12, 5, 5], [6, 12, 1, 1]),
  conv([2, 12, 7, 8], [6, 12, 1, 1], { strides: [2, 2] }),
  conv([2, 64, 2, 2], [32, 64, 1, 1]),
  conv([2, 12, 6, 5], [9, 12, 3, 3], { pads: [1, 1, 1, 1] }),
  conv([1, 12, 13, 12], [9, 12, 3, 3], { pads: [1, 1, 1, 1] }),
  conv([1, 12, 13, 12], [2, 12, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([2, 12, 17, 18], [9, 12, 3, 3], { pads: [1, 1, 1, 1] }, true),
  conv([2, 12, 33, 31], [9, 12, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([2, 12, 5, 7], [16, 12, 3, 3], { auto_pad: 'SAME_UPPER', strides: [2, 2] }),
  conv([2, 3, 5, 7], [4, 3, 2, 4], { auto_pad: 'SAME_LOWER', strides: [1, 2] }),
  conv([2, 3, 6, 7], [4, 3, 1, 1], { auto_pad: 'SAME_UPPER', strides: [2, 3] }),
  conv([2, 3, 5, 7], [4, 3, 3, 3], { auto_pad: 'VALID' }),
  conv([2, 4, 5, 6], [6, 2, 3, 3], { group: 2, pads: [1, 1, 1, 1] }, true),
  conv([2, 6, 7, 6], [6, 2, 3, 3], { group: 3, pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([2, 6, 4, 4], [9, 2, 1, 1], { group: 3 }),
  conv([2, 5, 6, 7], [5, 1, 3, 3], { group: 5, pads: [1, 1, 1, 1] }, true),
  conv([2, 5, 6, 7], [5, 1, 3, 3], { group: 5, pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([2, 5, 8, 8], [5, 1, 5, 3], { group: 5, pads: [2, 0, 2, 0], strides: [3, 2], dilations: [1, 2] }),
  conv([2, 5, 9, 8], [5, 1, 1, 1], { group: 5, strides: [3, 3] }),
  conv([2, 8, 6, 7], [8, 1, 3, 3], { group: 8, pads: [1, 1, 1, 1] }),
  conv([4, 12, 10, 9], [12, 1, 3, 3], { group: 12, pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv([1, 16, 9, 9], [16, 1, 5, 3], { group: 16, pads: [2, 0, 1, 2], strides: [1, 2], dilations: [1, 2] }),
  conv([2, 3, 6, 7], [6, 1, 3, 3], { group: 3, pads: [1, 1, 1, 1] }),
  conv([1, 3, 1, 1], [4, 3, 1, 1], {}, true),
  conv([1, 3, 1, 1], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }),
  conv([2, 3, 9], [4, 3, 3], { pads: [1, 1], strides: [2] }, true),
  conv([2, 12, 9], [4, 12, 3], { pads: [1, 1] }),
  conv([1, 2, 4, 5, 4], [3, 2, 3, 2, 3], { pads: [1, 0, 1, 1, 0, 1], strides: [1, 2, 1] }),
  transposed([2, 3, 4, 5], [3, 4, 3, 3]),
  transposed([2, 3, 4, 5], [3, 4, 2, 2], { strides: [2, 2] }, 4),
  transposed([2, 3, 4, 5], [3, 4, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] }),
  transposed([2, 3, 4, 5], [3, 4, 3, 3], { strides: [2, 3], pads: [0, 1, 1, 0], output_padding: [0, 2], dilations: [2, 1] }),
  transposed([1, 4, 4, 4], [4, 3, 3, 3], { group: 2, strides: [2, 2], pads: [1, 1, 1, 1] }, 6),
  transposed([1, 4, 4, 5], [4, 1, 4, 4], { group: 4, strides: [2, 2], pads: [1, 1, 1, 1] }),
  transposed([1, 2, 4, 5], [2, 3, 3, 3], { strides: [2, 2], output_shape: [8, 10] }),
  transposed([1, 2, 4, 5], [2, 3, 3, 3], { strides: [2, 2], auto_pad: 'SAME_UPPER' }),
  transposed([1, 2, 4, 5], [2, 3, 3, 3], { strides: [2, 2], auto_pad: 'SAME_LOWER' }),
  transposed([2, 3, 6], [3, 4, 3], { strides: [2] }),
]

const pool = (op: string, input: number[], attributes: Record<string, AttributeInit>, opset = 21): OpCase => ({ op, inputs: [spaced(input, op, 0.05)], attributes, opset })

export const poolCases: readonly OpCase[] = [
  ...['MaxPool', 'AveragePool'].flatMap((op) => [
    pool(op, [2, 3, 6, 7], { kernel_shape: [2, 2], strides: [2, 2] }),
    pool(op, [2, 3, 7, 6], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
    pool(op, [2, 3, 7, 6], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }, 11),
    pool(op, [1, 2, 7, 6], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }),
    pool(op, [1, 2, 8, 9], { kernel_shape: [2, 2], strides: [3, 3], ceil_mode: 1 }),
    pool(op, [1, 2, 6, 5], { kernel_shape: [2, 2], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1 }),
    pool(op, [1, 2, 5, 5], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
    pool(op, [1, 2, 9, 9], { kernel_shape: [3, 2], dilations: [2, 3], pads: [1, 0, 0, 1] }),
    pool(op, [1, 2, 5, 6], { kernel_shape: [3, 2], strides: [2, 2], auto_pad: 'SAME_UPPER' }),
    pool(op, [1, 2, 5, 6], { kernel_shape: [2, 3], auto_pad: 'SAME_LOWER' }),
    pool(op, [1, 2, 5, 6], { kernel_shape: [2, 3], strides: [2, 2], auto_pad: 'VALID' }),
    pool(op, [1, 2, 8, 9], { kernel_shape: [5, 5], pads: [2, 2, 2, 2] }),
    pool(op, [2, 1, 9, 10], { kernel_shape: [5, 6], strides: [2, 3], pads: [2, 0, 1, 3], dilations: [2, 1], ceil_mode: 1 }),
    pool(op, [1, 2, 1, 1], { kernel_shape: [1, 1] }),
    pool(op, [1, 2, 7], { kernel_shape: [3], strides: [2] }),
    pool(op, [1, 1, 4, 4, 5], { kernel_shape: [2, 2, 3], strides: [2, 2, 1] }),
  ]),
  pool('AveragePool', [2, 3, 7, 6], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], count_include_pad: 1 }),
  pool('AveragePool', [1, 2, 6, 5], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0], count_include_pad: 1, ceil_mode: 1 }),
  pool('GlobalAveragePool', [2, 3, 4, 5], {}),
  pool('GlobalMaxPool', [2, 3, 4, 5], {}),
  pool('GlobalAveragePool', [2, 3, 4], {}, 9),
  pool('LpPool', [2, 3, 7, 6], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  pool('LpPool', [1, 2, 5, 5], { kernel_shape: [2, 2], p: 3 }),
  pool('LpPool', [1, 2, 5, 6], { kernel_shape: [3, 2], p: 1 }, 11),
  pool('GlobalLpPool', [2, 3, 4, 5], {}),
  pool('GlobalLpPool', [2, 3, 4, 5], { p: 1 }),
  pool('GlobalLpPool', [2, 3, 4], { p: 3 }),
]

const gemm = (a: number[], b: number[], c?: number[], attributes: Record<string, AttributeInit> = {}, opset = 21): OpCase =>
  ({ op: 'Gemm', inputs: [x(...a), w(...b), ...(c ? [normal(c, 'c')] : [])], attributes, opset })
const matmul = (a: number[], b: number[]): OpCase => ({ op: 'MatMul', inputs: [x(...a), w(...b)] })

export const productCases: readonly OpCase[] = [
  gemm([3, 4], [4, 5], [5]),
  gemm([3, 4], [4, 5], [5], {}, 9),
  gemm([3, 4], [5, 4], [3, 1], { transB: 1, alpha: { float: 0.5 }, beta: { float: 2 } }),
  gemm([4, 3], [4, 5], [3, 5], { transA: 1 }),
  gemm([4, 3], [5, 4], [1, 5], { transA: 1, transB: 1, alpha: { float: 1.5 } }),
  gemm([1, 4], [4, 1], []),
  gemm([3, 4], [4, 5]),
  matmul([3, 4], [4, 5]),
  matmul([2, 3, 4], [4, 5]),
  matmul([2, 3, 4], [2, 4, 5]),
  matmul([3, 4], [2, 4, 5]),
  matmul([2, 1, 3, 4], [5, 4, 2]),
  matmul([1, 3, 4], [2, 4, 1]),
  matmul([4], [4, 5]),
  matmul([3, 4], [4]),
  matmul([4], [4]),
  matmul([4], [2, 4, 3]),
  matmul([2, 3, 4], [4]),
]

export const normCases: readonly OpCase[] = [
  { op: 'BatchNormalization', inputs: [x(2, 3, 4, 5), w(3), w(3), x(3), positive(3)] },
  { op: 'BatchNormalization', inputs: [x(2, 3, 4, 5), w(3), w(3), x(3), positive(3)], attributes: { epsilon: 1e-3 }, opset: 9 },
  { op: 'BatchNormalization', inputs: [x(4, 3), w(3), w(3), x(3), positive(3)] },
  { op: 'BatchNormalization', inputs: [x(2, 3, 4, 5), w(3), w(3), x(3), positive(3)], attributes: { training_mode: 1, momentum: { float: 0 } }, outputs: 3 },
  { op: 'BatchNormalization', inputs: [x(3, 2, 6), w(2), w(2), x(2), positive(2)], attributes: { training_mode: 1, epsilon: 0.1 }, outputs: 3 },
  { op: 'BatchNormalization', inputs: [x(8, 3, 1, 1), w(3), w(3), x(3), positive(3)], attributes: { training_mode: 1, momentum: { float: 0 }, epsilon: 0.1 }, outputs: 3 },
  { op: 'InstanceNormalization', inputs: [x(2, 3, 4, 5), w(3), w(3)] },
  { op: 'InstanceNormalization', inputs: [x(2, 3, 5), w(3), w(3)], attributes: { epsilon: 0.01 } },
  { op: 'LayerNormalization', inputs: [x(2, 3, 8), w(8), normal([8], 'b')] },
  { op: 'GroupNormalization', inputs: [x(2, 6, 4, 5), w(6), w(6)], attributes: { num_groups: 2 } },
  { op: 'GroupNormalization', inputs: [x(2, 6, 4), w(6), w(6)], attributes: { num_groups: 6, epsilon: 0.01 } },
  { op: 'GroupNormalization', inputs: [x(2, 6, 4, 5), w(2), w(2)], attributes: { num_groups: 2 }, opset: 18 },
  { op: 'LRN', inputs: [x(2, 6, 4, 5)], attributes: { size: 3, alpha: { float: 0.3 }, beta: { float: 0.75 }, bias: { float: 2 } } },
  { op: 'LRN', inputs: [x(1, 7, 3, 3)], attributes: { size: 5, alpha: { float: 1 } } },
  ...[1, 2].flatMap((p) => [0, -1].map((axis): OpCase => ({ op: 'LpNormalization', inputs: [spaced([3, 4, 2], p)], attributes: { axis, p } }))),
  { op: 'MeanVarianceNormalization', inputs: [x(2, 3, 4, 5)] },
  { op: 'MeanVarianceNormalization', inputs: [x(2, 3, 4, 5)], attributes: { axes: [2, 3] } },
  { op: 'LayerNormalization', inputs: [x(2, 3, 4), w(3, 4), normal([3, 4], 'b')], attributes: { axis: 1, epsilon: 0.01 } },
]

const resize = (input: number[], scales: readonly number[] | undefined, sizes: readonly number[] | undefined, attributes: Record<string, AttributeInit> = {}): OpCase =>
  ({ op: 'Resize', inputs: [x(...input), undefined, scales ? f32(scales) : undefined, ...(sizes ? [i64(sizes)] : [])], attributes, fed: [0] })

export const resizeCases: readonly OpCase[] = [
  resize([1, 2, 3, 4], [1, 1, 2, 2], undefined, { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
  resize([1, 2, 3, 4], [1, 1, 3, 3], undefined),
  resize([1, 2, 3, 4], [1, 1, 2, 3], undefined),
  resize([1, 2, 5, 7], [1, 1, 0.6, 1.7], undefined, { coordinate_transformation_mode: 'asymmetric' }),
  resize([1, 2, 5, 7], undefined, [1, 2, 3, 11], { nearest_mode: 'ceil' }),
  resize([1, 2, 5, 6], undefined, [1, 2, 8, 3], { mode: 'linear' }),
  resize([1, 2, 5, 6], undefined, [1, 2, 8, 9], { mode: 'linear', coordinate_transformation_mode: 'align_corners' }),
  resize([1, 2, 5, 6], [1, 1, 2, 2], undefined, { mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' }),
  resize([1, 2, 5, 6], [2, 2], undefined, { axes: [2, 3] }),
]

/** Shapes alone: forms that have no gradient, or several outputs. */
export const furtherShapes: readonly OpCase[] = [
  { op: 'MaxPool', inputs: [normal([1, 2, 7, 7])], attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }, outputs: 2 },
  { op: 'LayerNormalization', inputs: [normal([2, 3, 4]), normal([4])], outputs: 3 },
  { op: 'Upsample', inputs: [normal([1, 2, 3, 4]), f32([1, 1, 2, 2.5])], attributes: { mode: 'nearest' }, opset: 9, fed: [0] },
  { op: 'Resize', inputs: [normal([1, 2, 3, 30]), f32([1, 1, 2.5, 0.1])], opset: 10, fed: [0] },
  { op: 'Resize', inputs: [normal([1, 2, 3, 4]), f32([]), f32([]), i64([1, 2, 6, 5])], opset: 11, fed: [0] },
  { op: 'Resize', inputs: [normal([1, 2, 3, 4]), f32([]), f32([1, 1, 1.5, 0.5])], opset: 13, fed: [0] },
  { op: 'RoiAlign', inputs: [normal([2, 3, 8, 8]), f32([0, 0, 4, 4, 1, 1, 6, 7, 2, 2, 5, 5], [3, 4]), i64([0, 1, 1])], attributes: { output_height: 7, output_width: 5, sampling_ratio: 2 } },
  { op: 'MaxRoiPool', inputs: [normal([2, 3, 8, 8]), f32([0, 0, 0, 4, 4, 1, 1, 1, 6, 7], [2, 5])], attributes: { pooled_shape: [3, 2] } },
  { op: 'GridSample', inputs: [normal([2, 3, 8, 8]), normal([2, 5, 4, 2])] },
]
