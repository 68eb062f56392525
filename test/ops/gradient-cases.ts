/** @file Cases of gradients: elementwise, reducing, moving and indexing operators, inputs kept off kinks. */
import { f32, floats, i64, scalar, tensor, type Tensor } from '../../src/tensor/tensor.ts'
import { normal, type OpCase, spaced } from '../support/op-case.ts'

const x = (...dims: number[]): Tensor => normal(dims)
const off = (...dims: number[]): Tensor => spaced(dims)
export const positive = (...dims: number[]): Tensor => f32(floats(normal(dims)).map((v) => Math.abs(v) + 0.5), dims)
const ints = (dims: number[], ...values: number[]): Tensor => i64(values, dims)
const bools = (dims: number[], ...values: number[]): Tensor => tensor('bool', dims, Uint8Array.from(values))

export interface GradientCase extends OpCase {
  /** Inputs to differentiate by, among all; default: every float. */
  readonly by?: readonly number[]
  /** Outputs that are contracted; default: all. */
  readonly take?: readonly number[]
}

const smooth = ['Neg', 'Exp', 'Sigmoid', 'Tanh', 'Softplus', 'Mish', 'Gelu', 'Erf', 'Softsign', 'Sin', 'Cos', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Identity', 'Softmax', 'LogSoftmax', 'Dropout']
const kinked = ['Relu', 'LeakyRelu', 'Elu', 'Celu', 'Selu', 'Abs', 'Clip']
const reductions = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp']
const within = (...dims: number[]): Tensor => f32(floats(normal(dims)).map((v) => 0.5 * Math.sin(3 * v)), dims)
const beyond = (...dims: number[]): Tensor => f32(floats(positive(...dims)).map((v) => v + 1), dims)

export const gradientCases: readonly GradientCase[] = [
  ...smooth.map((op) => ({ op, inputs: [x(3, 4)] })),
  ...kinked.map((op) => ({ op, inputs: [off(3, 5)] })),
  ...['Log', 'Sqrt', 'Reciprocal'].map((op) => ({ op, inputs: [positive(3, 4)] })),
  { op: 'LeakyRelu', inputs: [off(3, 5)], attributes: { alpha: 0.3 } },
  { op: 'Elu', inputs: [off(3, 5)], attributes: { alpha: 0.7 } },
  { op: 'Celu', inputs: [off(3, 5)], attributes: { alpha: 0.7 } },
  { op: 'ThresholdedRelu', inputs: [off(3, 5)], attributes: { alpha: 0.55 } },
  { op: 'Shrink', inputs: [off(3, 5)], attributes: { lambd: { float: 0.55 }, bias: { float: 0.2 } } },
  ...['Tan', 'Asin', 'Acos', 'Atanh'].map((op) => ({ op, inputs: [within(4, 5)] })),
  { op: 'Acosh', inputs: [beyond(3, 4)] },
  { op: 'CastLike', inputs: [x(3), f32([1])], by: [0] },
  { op: 'Gelu', inputs: [x(3, 4)], attributes: { approximate: 'tanh' } },
  { op: 'Clip', inputs: [off(4, 10), scalar(-1.05), scalar(2.05)], by: [0] },
  { op: 'Clip', inputs: [off(4, 10), undefined, scalar(1.05)], by: [0] },
  { op: 'HardSigmoid', inputs: [f32([-5, -3.4, -2.7, -1, 0, 0.4, 2.3, 3.4, 6])] },
  { op: 'HardSigmoid', inputs: [f32([-5, -3.4, -2.7, -1, 0, 0.4, 2.7, 3.4, 6])], attributes: { alpha: 1 / 6, beta: 0.5 } },
  { op: 'HardSwish', inputs: [f32([-5, -3.4, -2.7, -1, 0, 0.4, 2.7, 3.4, 6])] },
  { op: 'PRelu', inputs: [off(2, 3, 4, 2), positive(3, 1, 1)] },
  { op: 'Cast', inputs: [x(3)], attributes: { to: 1 } },

  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) => [
    { op, inputs: [x(2, 3, 4), positive(3, 1)] },
    { op, inputs: [x(1, 3), positive(2, 1, 1)] },
    { op, inputs: [x(), positive(2)] },
  ]),
  ...['Max', 'Min'].flatMap((op) => [
    { op, inputs: [off(3, 4), f32([0.05, -0.25, 0.65, 0.35])] },
    { op, inputs: [off(3, 4), f32([0.45, 0.85, -0.25], [3, 1]), scalar(0.15)] },
    { op, inputs: [x(3)] },
  ]),
  { op: 'Sum', inputs: [x(2, 3), x(3), x(2, 1)] },
  { op: 'Mean', inputs: [x(2, 3), x(3)] },
  { op: 'Pow', inputs: [positive(2, 3), positive(3)] },
  { op: 'Where', inputs: [bools([3], 1, 0, 1), x(2, 3), x()] },

  ...reductions.flatMap((op) => [
    // Of many elements, LogSumExp bends too much for a central difference in float32.
    { op, inputs: [op === 'ReduceLogSumExp' ? x(2, 3) : off(2, 3, 4)] },
    { op, inputs: [off(2, 3, 4), ints([2], -1, 0)], attributes: { keepdims: 0 } },
    { op, inputs: [off(2, 3, 4), ints([1], 1)] },
    { op, inputs: [off(2, 1, 4), ints([1], 1)], attributes: { keepdims: 0 } },
  ]),
  ...[[], [1]].map((axes) => ({ op: 'ReduceLogSum', inputs: [positive(2, 3, 4), ints([axes.length], ...axes)] })),
  { op: 'ReduceSum', inputs: [x(2, 3), ints([0])], attributes: { noop_with_empty_axes: 1 } },
  { op: 'Softmax', inputs: [x(2, 3, 4)], attributes: { axis: 1 } },
  { op: 'LogSoftmax', inputs: [x(2, 3, 4)], attributes: { axis: 0 } },

  { op: 'Concat', inputs: [x(2, 3), x(2, 1), x(2, 2)], attributes: { axis: -1 } },
  { op: 'Split', inputs: [x(2, 7), ints([3], 1, 2, 4)], attributes: { axis: 1 }, outputs: 3 },
  { op: 'Split', inputs: [x(2, 7), ints([3], 1, 2, 4)], attributes: { axis: 1 }, outputs: 3, take: [1] },
  { op: 'Reshape', inputs: [x(2, 3, 4), ints([2], 0, -1)] },
  { op: 'Reshape', inputs: [x(1), ints([0])] },
  { op: 'Flatten', inputs: [x(2, 3, 4)] },
  { op: 'Transpose', inputs: [x(2, 3, 4)], attributes: { perm: [2, 0, 1] } },
  { op: 'Transpose', inputs: [x(2, 3, 4)] },
  { op: 'Squeeze', inputs: [x(1, 3, 1), ints([1], -1)] },
  { op: 'Unsqueeze', inputs: [x(2, 3), ints([2], 0, -1)] },
  { op: 'Expand', inputs: [x(3, 1), ints([3], 2, 1, 4)] },
  { op: 'Tile', inputs: [x(2, 1, 3), ints([3], 1, 4, 2)] },
  { op: 'Trilu', inputs: [x(2, 3, 4)] },
  { op: 'Trilu', inputs: [x(3, 4), ints([], 1)], attributes: { upper: 0 } },
  { op: 'DepthToSpace', inputs: [x(1, 12, 2, 3)], attributes: { blocksize: 2 } },
  { op: 'DepthToSpace', inputs: [x(1, 18, 2, 3)], attributes: { blocksize: 3, mode: 'CRD' } },
  { op: 'SpaceToDepth', inputs: [x(2, 3, 4, 6)], attributes: { blocksize: 2 } },

  { op: 'Slice', inputs: [x(4, 6), ints([1], 1), ints([1], 3)] },
  { op: 'Slice', inputs: [x(4, 6), ints([2], -3, 0), ints([2], 1000, -1), ints([2], 1, 0), ints([2], 2, 1)] },
  { op: 'Slice', inputs: [x(4, 6), ints([1], -1), ints([1], -100), ints([1], 1), ints([1], -1)] },
  { op: 'Slice', inputs: [x(4, 7), ints([2], 5, 0), ints([2], 0, 4), ints([2], 1, 0), ints([2], -3, 3)] },
  { op: 'Slice', inputs: [x(4, 6), ints([1], 0), ints([1], 100)] },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 0, 1, 2, 0)] },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 1, -1, 2, 0)] },
  { op: 'Pad', inputs: [x(2, 3), ints([2], 1, 2), undefined, ints([1], -1)] },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 0, 0, 0, 0)] },
  ...['reflect', 'edge', 'wrap'].map((mode) => ({ op: 'Pad', inputs: [x(1, 3, 4), ints([6], 0, 1, 2, 0, 2, 3)], attributes: { mode } })),
  { op: 'Pad', inputs: [x(3, 4), ints([4], 1, -1, 1, 2)], attributes: { mode: 'edge' } },

  { op: 'Gather', inputs: [x(3, 4), ints([2, 2], 0, 2, -1, 2)], attributes: { axis: 1 } },
  { op: 'Gather', inputs: [x(3, 4, 2), ints([4], 3, 1, -4, 2)], attributes: { axis: 1 } },
  { op: 'Gather', inputs: [x(3, 4), ints([2], 3, 1)], attributes: { axis: 1 } },
  { op: 'Gather', inputs: [x(3, 4), ints([2, 2], 3, 1, 0, 2)], attributes: { axis: 1 } },
  { op: 'Gather', inputs: [x(3, 4), ints([], 1)] },
  { op: 'Gather', inputs: [x(3, 4), ints([2], -3, -2)], attributes: { axis: -1 } },
  { op: 'Gather', inputs: [x(3, 4, 2), ints([3], 3, 1, 1)], attributes: { axis: 1 } },
  { op: 'GatherElements', inputs: [x(3, 4), ints([2, 4], 0, 1, 2, 0, 0, 1, 1, -1)] },
  { op: 'ScatterElements', inputs: [x(3, 4), ints([2, 3], 0, 1, 2, 1, 0, -2), x(2, 3)] },
  { op: 'ScatterElements', inputs: [x(3, 4), ints([2, 3], 0, 0, 2, 1, 1, 1), x(2, 3)], attributes: { axis: 1, reduction: 'add' } },
  { op: 'ScatterND', inputs: [x(3, 4), ints([2, 1], 2, 0), x(2, 4)] },
  { op: 'ScatterND', inputs: [x(3, 4), ints([2, 2], 2, 0, 1, 3), x(2)] },
  { op: 'ScatterND', inputs: [x(3, 4), ints([3, 1], 2, 0, 2), x(3, 4)], attributes: { reduction: 'add' } },
  { op: 'CumSum', inputs: [x(2, 4), ints([], 1)] },
  { op: 'CumSum', inputs: [x(3, 4), ints([], 0)], attributes: { exclusive: 1, reverse: 1 } },
  { op: 'ReverseSequence', inputs: [x(4, 3, 2), ints([3], 4, 1, 3)] },
  { op: 'ReverseSequence', inputs: [x(3, 4, 2), ints([3], 2, 4, 3)], attributes: { time_axis: 1, batch_axis: 0 } },
  ...['bij,bjk->bik', 'bij,bjk', 'ij,jk->ki', 'nc,c->n', 'ij,kl->ijkl', 'ij,kl->il'].map((equation) => {
    const length: Record<string, number> = { b: 2, i: 3, j: 4, k: 5, l: 2, n: 3, c: 4 }
    return { op: 'Einsum', inputs: equation.split('->')[0]!.split(',').map((letters, i) => normal([...letters].map((l) => length[l]!), i)), attributes: { equation } }
  }),
  { op: 'Einsum', inputs: [x(2, 3, 4)], attributes: { equation: 'bij->jb' } },
  { op: 'Einsum', inputs: [x(2, 3, 4), x(4, 2)], attributes: { equation: '...j,jk->...k' } },
  { op: 'GatherND', inputs: [x(3, 4, 5), ints([3, 2], 0, 1, 2, 3, 0, 1)] },
  { op: 'TopK', inputs: [off(3, 4), ints([1], 2)], outputs: 2, take: [0] },
  { op: 'TopK', inputs: [off(3, 4), ints([1], 2)], attributes: { axis: 0, largest: 0 }, outputs: 2, take: [0] },
]
