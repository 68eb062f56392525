/** @file Channel links: removing an index with all that is tied to it equals zeroing it, op by op; what must stay whole says why. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { Builder } from '../../src/ops/builder.ts'
import { f32, floats, i64, scalar, tensor, type Tensor, toNumbers } from '../../src/tensor/tensor.ts'
import { cutIndex } from '../support/cut.ts'
import { buildCase, describeCase, normal, type OpCase } from '../support/op-case.ts'

const x = (...dims: number[]): Tensor => normal(dims)
const positive = (...dims: number[]): Tensor => f32(floats(normal(dims)).map((v) => Math.abs(v) + 0.5), dims)
const ints = (dims: number[], ...values: number[]): Tensor => i64(values, dims)
const bools = (dims: number[], ...values: number[]): Tensor => tensor('bool', dims, Uint8Array.from(values))
const big = tensor('int64', [1], BigInt64Array.of(2n ** 63n - 1n))
const low = tensor('int64', [1], BigInt64Array.of(-(2n ** 63n)))

interface CutCase extends OpCase {
  /** Axis of input 0 and index on it that are removed. */
  readonly cut: readonly [axis: number, index: number]
  /** Dims of the first output afterwards. */
  readonly left?: readonly number[]
}

const cases: readonly CutCase[] = [
  { op: 'Add', inputs: [x(2, 4, 3), x(4, 1)], cut: [1, 2], left: [2, 3, 3] },
  { op: 'Mul', inputs: [x(2, 4, 3, 3), x(2, 4, 1, 1)], cut: [1, 0] },
  { op: 'Mul', inputs: [x(1, 4, 3), scalar(2)], cut: [1, 3] },
  { op: 'Sub', inputs: [x(4), x(2, 4)], cut: [0, 1], left: [2, 3] },
  { op: 'Sum', inputs: [x(2, 4), x(4), x(2, 1)], cut: [1, 1] },
  { op: 'Sigmoid', inputs: [x(2, 4)], cut: [1, 1] },
  { op: 'Clip', inputs: [x(2, 4), scalar(0), scalar(6)], cut: [1, 1] },
  { op: 'PRelu', inputs: [x(2, 3, 2, 2), x(3, 1, 1)], fed: [0], cut: [1, 1] },
  { op: 'Cast', inputs: [x(2, 4)], attributes: { to: 6 }, cut: [1, 0] },
  { op: 'Dropout', inputs: [x(2, 4)], outputs: 2, cut: [1, 0] },
  { op: 'Greater', inputs: [x(2, 4), x(4)], cut: [1, 3] },
  { op: 'Where', inputs: [bools([4], 1, 0, 1, 0), x(2, 4), scalar(1)], fed: [0, 1], cut: [0, 1] },

  ...['Celu', 'ThresholdedRelu', 'Shrink', 'Softsign', 'Tan', 'Sinh'].map((op): CutCase => ({ op, inputs: [x(2, 4)], cut: [1, 1], left: [2, 3] })),
  { op: 'CastLike', inputs: [x(2, 4), x(3)], cut: [1, 0], left: [2, 3] },
  { op: 'LayerNormalization', inputs: [x(2, 4, 3), x(3)], cut: [1, 0], left: [2, 3, 3] },
  { op: 'LpNormalization', inputs: [x(2, 4, 3)], attributes: { axis: 1, p: 1 }, cut: [1, 0], left: [2, 3, 3] },
  { op: 'GroupNormalization', inputs: [x(2, 6, 3), x(6), x(6)], attributes: { num_groups: 3 }, cut: [1, 3], left: [2, 4, 3] },
  { op: 'Hardmax', inputs: [x(2, 4, 3)], cut: [1, 2], left: [2, 3, 3] },
  { op: 'Trilu', inputs: [x(2, 4, 3)], cut: [0, 1], left: [1, 4, 3] },
  { op: 'ReverseSequence', inputs: [x(4, 3, 2), ints([3], 4, 1, 3)], cut: [2, 0], left: [4, 3, 1] },
  { op: 'Einsum', inputs: [x(2, 4), x(4, 3)], attributes: { equation: 'ij,jk->ki' }, cut: [1, 2], left: [3, 2] },
  { op: 'Einsum', inputs: [x(2, 4), x(4, 3)], attributes: { equation: 'ij,jk->ki' }, cut: [0, 1], left: [3, 1] },
  { op: 'Einsum', inputs: [x(2, 5, 3), x(3, 4)], attributes: { equation: '...i,ij->...j' }, cut: [1, 1], left: [2, 4, 4] },
  { op: 'ReduceLogSum', inputs: [positive(2, 4, 3), ints([1], 1)], cut: [1, 0], left: [2, 1, 3] },
  { op: 'ReduceSum', inputs: [x(2, 4, 3), ints([1], 1)], cut: [1, 2], left: [2, 1, 3] },
  { op: 'ReduceSum', inputs: [x(2, 4, 3), ints([1], 1)], attributes: { keepdims: 0 }, cut: [2, 1], left: [2, 2] },
  ...['ReduceL1', 'ReduceL2', 'ReduceSumSquare'].map((op): CutCase => ({ op, inputs: [x(2, 4, 3), ints([1], 1)], attributes: { keepdims: 0 }, cut: [1, 0], left: [2, 3] })),
  ...['ReduceMean', 'ReduceMax', 'ReduceLogSumExp', 'ReduceProd'].map((op): CutCase => ({ op, inputs: [x(2, 4, 3, 3), ints([2], -1, -2)], attributes: { keepdims: 0 }, cut: [1, 0], left: [2, 3] })),
  { op: 'ArgMax', inputs: [x(2, 4, 3)], attributes: { axis: -1 }, cut: [1, 2] },
  { op: 'Softmax', inputs: [x(2, 4, 3)], cut: [1, 2] },
  { op: 'LogSoftmax', inputs: [x(2, 4, 3)], opset: 11, attributes: { axis: 2 }, cut: [1, 2] },

  { op: 'Concat', inputs: [x(2, 3), x(2, 4)], attributes: { axis: -1 }, cut: [1, 2], left: [2, 6] },
  { op: 'Concat', inputs: [x(2, 3), x(2, 3)], attributes: { axis: 0 }, cut: [1, 1], left: [4, 2] },
  { op: 'Split', inputs: [x(2, 7), ints([3], 1, 2, 4)], attributes: { axis: 1 }, outputs: 3, cut: [1, 2] },
  { op: 'Split', inputs: [x(2, 6)], attributes: { axis: 1, num_outputs: 2 }, outputs: 2, cut: [1, 4] },
  { op: 'Split', inputs: [x(2, 6)], opset: 13, attributes: { axis: 1 }, outputs: 2, cut: [1, 4] },
  { op: 'Split', inputs: [x(2, 6)], opset: 11, attributes: { axis: 1 }, outputs: 2, cut: [1, 0] },
  { op: 'Split', inputs: [x(2, 6)], opset: 11, attributes: { axis: 1, split: [2, 4] }, outputs: 2, cut: [1, 5] },
  { op: 'Split', inputs: [x(2, 6)], attributes: { axis: 0, num_outputs: 2 }, outputs: 2, cut: [1, 4], left: [1, 5] },
  { op: 'Transpose', inputs: [x(2, 3, 4)], attributes: { perm: [0, 2, 1] }, cut: [1, 1], left: [2, 4, 2] },
  { op: 'Transpose', inputs: [x(2, 3, 4)], cut: [1, 1] },
  { op: 'Squeeze', inputs: [x(2, 3, 1, 1), ints([2], 2, -1)], cut: [1, 0], left: [2, 2] },
  { op: 'Squeeze', inputs: [x(1, 3, 1)], cut: [1, 0], left: [2] },
  { op: 'Unsqueeze', inputs: [x(2, 3), ints([2], 0, -1)], cut: [1, 2], left: [1, 2, 2, 1] },
  { op: 'Expand', inputs: [x(2, 3, 1, 1), ints([4], 2, 3, 4, 4)], cut: [1, 2], left: [2, 2, 4, 4] },
  { op: 'Expand', inputs: [x(3, 1), ints([3], 2, 1, 4)], cut: [0, 2], left: [2, 2, 4] },
  { op: 'Tile', inputs: [x(2, 3), ints([2], 2, 1)], cut: [1, 1], left: [4, 2] },
  { op: 'Tile', inputs: [x(2, 3), ints([2], 1, 3)], cut: [1, 1], left: [2, 6] },
  { op: 'DepthToSpace', inputs: [x(1, 12, 2, 2)], attributes: { blocksize: 2 }, cut: [1, 4], left: [1, 2, 4, 4] },
  { op: 'DepthToSpace', inputs: [x(1, 12, 2, 2)], attributes: { blocksize: 2, mode: 'CRD' }, cut: [1, 4], left: [1, 2, 4, 4] },
  { op: 'SpaceToDepth', inputs: [x(1, 3, 4, 4)], attributes: { blocksize: 2 }, cut: [1, 1], left: [1, 8, 2, 2] },

  { op: 'Reshape', inputs: [x(2, 3, 2, 2), ints([3], 2, 3, 4)], cut: [1, 1], left: [2, 2, 4] },
  { op: 'Reshape', inputs: [x(2, 3, 2, 2), ints([3], 0, 0, -1)], cut: [1, 1], left: [2, 2, 4] },
  { op: 'Reshape', inputs: [x(2, 3, 1, 1), ints([2], 2, 3)], cut: [1, 0], left: [2, 2] },
  { op: 'Reshape', inputs: [x(2, 3, 2, 2), ints([2], 2, 12)], cut: [1, 1], left: [2, 8] },
  { op: 'Reshape', inputs: [x(1, 3, 2, 2), ints([1], -1)], cut: [1, 1], left: [8] },
  { op: 'Reshape', inputs: [x(2, 12), ints([4], 2, 3, 2, 2)], cut: [1, 5], left: [2, 2, 2, 2] },
  { op: 'Reshape', inputs: [x(2, 6, 2, 2), ints([5], 2, 3, 2, 2, 2)], cut: [1, 5], left: [2, 2, 2, 2, 2] },
  { op: 'Reshape', inputs: [x(2, 6, 2, 2), ints([3], 0, 3, -1)], cut: [1, 0], left: [2, 2, 8] },
  { op: 'Reshape', inputs: [x(2, 3, 8), ints([4], 2, 6, 2, 2)], cut: [1, 2], left: [2, 4, 2, 2] },
  { op: 'Reshape', inputs: [x(2, 4, 3), ints([3], 8, 1, 3)], cut: [2, 2], left: [8, 1, 2] },
  { op: 'Flatten', inputs: [x(2, 3, 2, 2)], cut: [1, 1], left: [2, 8] },
  { op: 'Flatten', inputs: [x(2, 3, 1)], attributes: { axis: 2 }, cut: [0, 1], left: [3, 1] },

  { op: 'Slice', inputs: [x(2, 6), ints([1], 1), ints([1], 4), ints([1], 1)], cut: [1, 2], left: [2, 2] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 1), ints([1], 4), ints([1], 1)], cut: [1, 0], left: [2, 3] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], -2), big, ints([1], 1)], cut: [1, 1], left: [2, 2] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 0), big, ints([1], 1)], cut: [1, 1], left: [2, 5] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 1), ints([1], 4), ints([1], 1)], cut: [0, 1], left: [1, 3] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], -1), low, ints([1], 1), ints([1], -1)], cut: [1, 1], left: [2, 5] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 4), ints([1], 1), ints([1], 1), ints([1], -1)], cut: [1, 3], left: [2, 2] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 4), ints([1], 1), ints([1], 1), ints([1], -1)], cut: [1, 1], left: [2, 3] },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 4), ints([1], 1), ints([1], 1), ints([1], -1)], cut: [1, 4], left: [2, 2] },
  { op: 'Slice', inputs: [x(2, 6), ints([2], 0, 2), ints([2], 1, 5), ints([2], 0, 1), ints([2], 1, 1)], cut: [1, 0], left: [1, 3] },
  { op: 'Slice', inputs: [x(2, 6)], opset: 9, attributes: { starts: [0, 2], ends: [9, 2 ** 31] }, cut: [1, 4], left: [2, 3] },
  { op: 'Pad', inputs: [x(2, 3, 4), ints([6], 0, 0, 1, 0, 0, 2)], cut: [1, 1], left: [2, 2, 7] },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 0, 1, 0, 2)], cut: [1, 0], left: [2, 5] },
  { op: 'Pad', inputs: [x(2, 3)], opset: 10, attributes: { pads: [0, 1, 0, 2], value: { float: 3 } }, cut: [1, 2], left: [2, 5] },
  { op: 'Pad', inputs: [x(2, 3, 4), ints([2], 1, 1), scalar(3), ints([1], -1)], cut: [1, 1], left: [2, 2, 6] },

  ...['nearest', 'linear'].flatMap((mode): CutCase[] => [
    { op: 'Upsample', inputs: [x(1, 4, 2, 3)], opset: 7, attributes: { mode, scales: { floats: [1, 1, 2, 2] } }, cut: [1, 1], left: [1, 3, 4, 6] },
    { op: 'Upsample', inputs: [x(1, 4, 2, 3), f32([1, 1, 2, 2])], opset: 9, fed: [0], attributes: { mode }, cut: [1, 1], left: [1, 3, 4, 6] },
    { op: 'Resize', inputs: [x(1, 4, 2, 3), f32([1, 1, 2, 2])], opset: 10, fed: [0], attributes: { mode }, cut: [1, 1], left: [1, 3, 4, 6] },
    { op: 'Resize', inputs: [x(1, 4, 2, 3), f32([]), f32([]), ints([4], 1, 4, 5, 6)], opset: 11, fed: [0], attributes: { mode }, cut: [1, 1], left: [1, 3, 5, 6] },
    { op: 'Resize', inputs: [x(1, 4, 2, 3), undefined, undefined, ints([2], 5, 6)], fed: [0], attributes: { mode, axes: [2, 3] }, cut: [1, 1], left: [1, 3, 5, 6] },
  ]),
  { op: 'Gather', inputs: [x(2, 4), ints([3], 3, 0, -1)], attributes: { axis: 1 }, cut: [1, 3], left: [2, 1] },
  { op: 'Gather', inputs: [x(2, 4), ints([3], 3, 0, 2)], attributes: { axis: 1 }, cut: [1, 1], left: [2, 3] },
  { op: 'Gather', inputs: [x(2, 4), tensor('int32', [2], Int32Array.of(2, 1))], attributes: { axis: 1 }, cut: [1, 1], left: [2, 1] },
  { op: 'Gather', inputs: [x(2, 4, 3), ints([2, 2], 3, 0, 2, 1)], attributes: { axis: 1 }, cut: [2, 1], left: [2, 2, 2, 2] },
  { op: 'Gather', inputs: [x(2, 4), ints([], 1)], cut: [1, 0], left: [3] },
  { op: 'TopK', inputs: [x(2, 4, 5), ints([1], 2)], outputs: 2, cut: [1, 0], left: [2, 3, 2] },
  { op: 'CumSum', inputs: [x(2, 4), ints([], 0)], cut: [1, 0] },
]

/** Equal but for the order in which sums are rounded. */
function expectEqual(cut: readonly Tensor[], zero: readonly Tensor[]): void {
  expect(cut.map((t) => ({ dtype: t.dtype, dims: [...t.dims] }))).toEqual(zero.map((t) => ({ dtype: t.dtype, dims: [...t.dims] })))
  cut.forEach((t, i) => toNumbers(t).forEach((v, k) => expect(v).toBeCloseTo(toNumbers(zero[i]!)[k]!, 5)))
}

describe('removing equals zeroing', () => {
  it.each(cases.map((c) => [`${describeCase(c)} cut ${c.cut.join(':')}`, c] as const))('%s', async (_, c) => {
    const { model, feeds } = buildCase(c)
    const first = c.inputs.findIndex((t, i) => t && feeds[`x${i}`])
    const { cut, zero, inferred } = await cutIndex(model, feeds, `x${first}`, ...c.cut)
    expectEqual(cut, zero)
    expect(inferred).toEqual(cut.map((t) => [...t.dims]))
    if (c.left) expect(cut[0]!.dims).toEqual(c.left)
  })

  it('channel shuffle: any channel of any group', async () => {
    const { model, feeds } = chain((b) => {
      const v = b.input('x', 'float32', [2, 6, 2, 2])
      const parts = b.transpose(b.op('Reshape', [v, b.ints([2, 2, 3, 2, 2])]), [0, 2, 1, 3, 4])
      b.output(b.op('Reshape', [parts, b.ints([2, 6, 2, 2])]))
    }, { x: x(2, 6, 2, 2) })
    const { cut, zero, patched } = await cutIndex(model, feeds, 'x', 1, 1)
    expectEqual(cut, zero)
    expect(cut[0]!.dims).toEqual([2, 5, 2, 2])
    verify(patched.graph)
    expect(patched.graph.nodes.map((n) => n.opType)).toEqual(['Gather'])
  })

  it('channel shuffle by pairs: every other channel goes to one branch', async () => {
    const { model, feeds } = chain((b) => {
      const v = b.input('x', 'float32', [1, 8, 2, 2])
      const pairs = b.transpose(b.op('Reshape', [v, b.ints([4, 2, 4])]), [1, 0, 2])
      const branches = b.op('Reshape', [pairs, b.ints([2, -1, 4, 2, 2])])
      for (const i of [0, 1]) b.output(b.op('Gather', [branches, b.constant(i64([i], []))]))
    }, { x: x(1, 8, 2, 2) })
    const { cut, zero } = await cutIndex(model, feeds, 'x', 1, 5)
    expectEqual(cut, zero)
    expect(cut.map((t) => t.dims)).toEqual([[1, 4, 2, 2], [1, 3, 2, 2]])
  })

  it('a symbolic batch, written into the target by the graph', async () => {
    const { model, feeds } = chain((b) => {
      const v = b.input('x', 'float32', ['N', 6, 2])
      const batch = b.op('Unsqueeze', [b.op('Gather', [b.op('Shape', [v]), b.constant(i64([0], []))]), b.ints([0])])
      const y = b.op('Reshape', [v, b.op('Concat', [batch, b.ints([12])], { axis: 0 })])
      expect(y.shape).toEqual(['N', 12])
      b.output(y)
    }, { x: x(3, 6, 2) })
    const { cut, zero } = await cutIndex(model, feeds, 'x', 1, 4)
    expectEqual(cut, zero)
    expect(cut[0]!.dims).toEqual([3, 10])
  })

  it('a patched constant is the node\'s own', async () => {
    const { model, feeds } = chain((b) => {
      const shared = b.ints([2, 12])
      b.output(b.op('Reshape', [b.input('x', 'float32', [2, 6, 2]), shared]))
      b.output(b.op('Reshape', [b.input('z', 'float32', [2, 3, 4]), shared]))
    }, { x: x(2, 6, 2), z: x(2, 3, 4) })
    const { cut, zero, patched } = await cutIndex(model, feeds, 'x', 1, 4)
    expectEqual(cut, zero)
    const targets = patched.graph.nodes.map((node) => toNumbers(node.inputs[1]!.initializer!))
    expect(targets).toEqual([[2, 10], [2, 12]])
  })
})

function chain(build: (b: Builder) => void, feeds: Record<string, Tensor>): { model: Model; feeds: Record<string, Tensor> } {
  const graph = new Graph('chain')
  build(new Builder(graph))
  return { model: createModel(graph, 21), feeds }
}

const whole: readonly (CutCase & { readonly why: RegExp })[] = [
  { op: 'Softmax', inputs: [x(2, 4, 3)], attributes: { axis: 1 }, cut: [1, 0], why: /normalises over this axis/ },
  { op: 'Softmax', inputs: [x(2, 4, 3)], opset: 11, cut: [2, 0], why: /normalises over this axis/ },
  { op: 'ReduceMean', inputs: [x(2, 4, 3), ints([1], 1)], cut: [1, 0], why: /mean/ },
  { op: 'ReduceMax', inputs: [x(2, 4, 3), ints([1], 1)], cut: [1, 0], why: /maximum/ },
  { op: 'ReduceSum', inputs: [x(2, 4, 3), ints([1], 1)], fed: [0, 1], cut: [1, 0], why: /not named/ },
  { op: 'ArgMax', inputs: [x(2, 4, 3)], attributes: { axis: 1 }, cut: [1, 0], why: /position/ },
  { op: 'Reshape', inputs: [x(2, 3, 4), ints([2], 2, 12)], cut: [2, 0], why: /merges or splits/ },
  { op: 'Reshape', inputs: [x(2, 3, 4), ints([2], 4, 6)], cut: [2, 0], why: /merges or splits/ },
  { op: 'Reshape', inputs: [x(2, 3, 4), ints([2], 2, 12)], fed: [0, 1], cut: [1, 0], why: /not named|computed|merges/ },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 0), ints([1], 6), ints([1], 1), ints([1], 2)], cut: [1, 0], why: /slice with a step/ },
  { op: 'Slice', inputs: [x(2, 6), ints([1], 0), ints([1], 6), ints([1], 1)], fed: [0, 1], cut: [1, 0], why: /computed in the graph/ },
  { op: 'Resize', inputs: [x(1, 4, 2, 3), undefined, f32([1, 1, 2, 2])], fed: [0], cut: [2, 0], why: /resizes this axis/ },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 0, 1, 0, -1)], cut: [1, 0], why: /cropped/ },
  { op: 'Pad', inputs: [x(2, 3), ints([4], 0, 1, 0, 0)], attributes: { mode: 'edge' }, cut: [1, 0], why: /padded with copies/ },
  { op: 'Hardmax', inputs: [x(2, 4)], cut: [1, 0], why: /normalises/ },
  { op: 'LayerNormalization', inputs: [x(2, 4, 3), x(3)], cut: [2, 0], why: /statistics over this axis/ },
  { op: 'LRN', inputs: [x(2, 4, 3, 3)], attributes: { size: 3 }, cut: [1, 0], why: /neighbouring/ },
  { op: 'GroupNormalization', inputs: [x(2, 4, 3), x(4), x(4)], attributes: { num_groups: 2 }, cut: [2, 0], why: /statistics over the positions/ },
  { op: 'InstanceNormalization', inputs: [x(2, 4, 3), x(4), x(4)], cut: [2, 0], why: /statistics over the positions/ },
  { op: 'Trilu', inputs: [x(2, 4, 3)], cut: [1, 0], why: /triangle/ },
  { op: 'Compress', inputs: [x(2, 4), bools([4], 1, 0, 1, 1)], attributes: { axis: 1 }, cut: [0, 0], why: /condition/ },
  { op: 'ReverseSequence', inputs: [x(4, 3, 2), ints([3], 4, 1, 3)], cut: [0, 0], why: /turns sequences/ },
  { op: 'Einsum', inputs: [x(3, 3)], attributes: { equation: 'ii->i' }, cut: [0, 0], why: /takes a diagonal/ },
  { op: 'GridSample', inputs: [x(1, 3, 4, 4), x(1, 2, 2, 2)], cut: [2, 0], why: /samples positions/ },
  { op: 'Gather', inputs: [x(2, 4), ints([], 1)], attributes: { axis: 1 }, cut: [1, 0], why: /single or computed index/ },
  { op: 'Gather', inputs: [x(2, 4), ints([2], 1, 2)], attributes: { axis: 1 }, fed: [0, 1], cut: [1, 0], why: /single or computed index/ },
  { op: 'Expand', inputs: [x(2, 3, 1), ints([3], 2, 3, 4)], fed: [0, 1], cut: [1, 0], why: /Expand|not named/ },
  { op: 'TopK', inputs: [x(2, 4), ints([1], 2)], outputs: 2, cut: [1, 0], why: /ranks/ },
  { op: 'CumSum', inputs: [x(2, 4), ints([], 1)], cut: [1, 0], why: /adds up/ },
  { op: 'GatherElements', inputs: [x(2, 4), ints([1, 4], 0, 1, 0, 1)], cut: [1, 0], why: /index of its own/ },
  { op: 'Shape', inputs: [x(2, 4)], cut: [1, 0], why: /computes with the length/ },
  { op: 'Size', inputs: [x(2, 4)], cut: [1, 0], why: /counts all elements/ },
]

describe('axes that stay whole', () => {
  it.each(whole.map((c) => [`${describeCase(c)} cut ${c.cut.join(':')}`, c] as const))('%s', async (_, c) => {
    const { model, feeds } = buildCase(c)
    await expect(cutIndex(model, feeds, 'x0', ...c.cut)).rejects.toThrow(c.why)
  })

  it('operands whose lengths are not known to be equal', async () => {
    const { model, feeds } = chain((b) => {
      b.output(b.add(b.input('x', 'float32', [2, 4]), b.input('z', 'float32', [2, 'C'])))
    }, { x: x(2, 4), z: x(2, 4) })
    await expect(cutIndex(model, feeds, 'x', 1, 0)).rejects.toThrow(/not named/)
  })

  it('lengths that the graph reads and computes with', async () => {
    const { model, feeds } = chain((b) => {
      const v = b.input('x', 'float32', [2, 4])
      b.output(b.op('Mul', [b.op('Gather', [b.op('Shape', [v]), b.ints([1])]), b.ints([2])]))
    }, { x: x(2, 4) })
    await expect(cutIndex(model, feeds, 'x', 1, 0)).rejects.toThrow(/computes with the length/)
    const { cut, zero } = await cutIndex(model, feeds, 'x', 0, 0)
    expectEqual(cut, zero)
  })
})
