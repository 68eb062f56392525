/** @file Sizes at which kernels of accelerators change their ways: tails of vectors of 3 and 4, tiles not filled, channels as cuts leave them. */
import type { Tensor } from '../../src/tensor/tensor.ts'
import { normal, type OpCase } from './op-case.ts'

/** Every choice of one element of each list. */
function combinations<const T extends readonly (readonly unknown[])[]>(...lists: T): { [K in keyof T]: T[K][number] }[] {
  return lists.reduce<unknown[][]>((all, list) => all.flatMap((head) => list.map((x) => [...head, x])), [[]]) as { [K in keyof T]: T[K][number] }[]
}

const x = (...dims: number[]): Tensor => normal(dims, 'sizes')
const positive = (...dims: number[]): Tensor => ({ ...x(...dims), data: (x(...dims).data as Float32Array).map((v) => v * v + 0.1) })
const square = (k: number, more: object = {}): OpCase['attributes'] => ({ kernel_shape: [k, k], pads: Array<number>(4).fill((k - 1) >> 1), ...more })

const channels = [...Array.from({ length: 21 }, (_, i) => i + 1), 24, 27, 30, 33, 36]
const some = [1, 2, 3, 4, 5, 6, 8, 9, 12, 15, 16, 18]
const lengths = [1, 2, 3, 4, 6, 7, 8, 9, 16, 33, 70]

/** By what they are: operators, each with sizes. */
export const sizeCases: Readonly<Record<string, readonly OpCase[]>> = {
  'convolutions': combinations([1, 3], [1, 2], channels, [3, 4, 8, 9, 12]).map(([k, s, c, o]) => ({ op: 'Conv', inputs: [x(2, c, 7, 8), x(o, c, k, k)], attributes: square(k, { strides: [s, s] }) })),
  'dilated convolutions': combinations(some, [3, 4, 6, 8]).map(([c, o]) => ({ op: 'Conv', inputs: [x(2, c, 9, 10), x(o, c, 3, 3)], attributes: { kernel_shape: [3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] } })),
  'convolutions by groups': combinations([2, 3, 4], [1, 2, 3, 4, 6], [1, 2, 3, 4, 8]).map(([g, c, o]) => ({ op: 'Conv', inputs: [x(2, g * c, 9, 10), x(g * o, c, 3, 3)], attributes: square(3, { group: g }) })),
  'depthwise convolutions': combinations(some, [3, 5], [1, 2]).map(([c, k, s]) => ({ op: 'Conv', inputs: [x(2, c, 9, 10), x(c, 1, k, k)], attributes: square(k, { strides: [s, s], group: c }) })),
  'transposed convolutions': combinations(some, some, [1, 2]).map(([c, o, s]) => ({ op: 'ConvTranspose', inputs: [x(2, c, 5, 6), x(c, o, 3, 3)], attributes: square(3, { strides: [s, s], output_padding: [s - 1, s - 1] }) })),
  'transposed convolutions by groups': combinations([2, 3], [1, 2, 3, 4], [1, 2, 3, 4]).map(([g, c, o]) => ({ op: 'ConvTranspose', inputs: [x(2, g * c, 5, 6), x(g * c, o, 3, 3)], attributes: square(3, { strides: [2, 2], output_padding: [1, 1], group: g }) })),
  'products': combinations([1, 3, 4, 9, 33], lengths, lengths).map(([m, k, n]) => ({ op: 'MatMul', inputs: [x(m, k), x(k, n)] })),
  'products by batches': combinations([1, 3, 4, 9], lengths, lengths).map(([m, k, n]) => ({ op: 'MatMul', inputs: [x(3, m, k), x(3, k, n)] })),
  'transposed products': combinations([1, 3, 9, 33], [3, 4, 9, 33], [3, 4, 9, 33], [0, 1], [0, 1]).map(([m, k, n, a, b]) => ({ op: 'Gemm', inputs: [a ? x(k, m) : x(m, k), b ? x(n, k) : x(k, n), x(n)], attributes: { transA: a, transB: b } })),
  'pools': combinations(['MaxPool', 'AveragePool'], [1, 3, 4, 5], [2, 3], [1, 2]).map(([op, c, k, s]) => ({ op, inputs: [x(2, c, 9, 10)], attributes: square(k, { strides: [s, s] }) })),
  'reductions': combinations(['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceSumSquare', 'ReduceL2'], [[3, 700], [700, 3], [2, 3, 33, 35], [4, 5, 6, 7]]).map(([op, dims]) => ({ op, inputs: [x(...dims)], attributes: { keepdims: 0 } })),
  'softmax': combinations(['Softmax', 'LogSoftmax'], [[3, 700], [5, 9], [2, 3, 257], [600, 3]]).map(([op, dims]) => ({ op, inputs: [x(...dims)], attributes: { axis: -1 } })),
  'transpositions': combinations([[2, 3, 5, 7], [4, 33, 17, 8], [2, 9, 16, 16]], [[3, 2, 1, 0], [1, 2, 3, 0], [0, 2, 3, 1], [0, 3, 1, 2], [0, 2, 1, 3]]).map(([dims, perm]) => ({ op: 'Transpose', inputs: [x(...dims)], attributes: { perm } })),
  'joins of many': [2, 3, 9, 12, 20].map((n) => ({ op: 'Concat', inputs: Array.from({ length: n }, () => x(2, 3, 5)), attributes: { axis: 1 } })),
  'broadcasts': combinations(['Add', 'Sub', 'Mul', 'Div'], [[[2, 3, 4, 5], [3, 1, 1]], [[2, 3, 4, 5], [5]], [[4, 1, 7], [1, 6, 1]], [[8, 8], [8, 8]], [[3, 33], [1]], [[1], [5, 7]], [[2, 4, 4], [4, 1]]]).map(([op, [a, b]]) => ({ op, inputs: [x(...a), x(...b)] })),
  'normalisations': some.flatMap((c) => [
    { op: 'BatchNormalization', inputs: [x(2, c, 5, 6), x(c), x(c), x(c), positive(c)] },
    { op: 'InstanceNormalization', inputs: [x(2, c, 9, 10), x(c), x(c)] },
    { op: 'GlobalAveragePool', inputs: [x(2, c, 9, 10)] },
  ]),
}
