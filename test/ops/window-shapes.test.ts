/** @file Inferred types of convolutions, pools, products, normalisations, resizing and RoiAlign equal what ONNX Runtime computes. */
import { describe, expect, it } from 'vitest'
import type { Dim } from '../../src/ir/graph.ts'
import { inferNode } from '../../src/ops/builder.ts'
import { lookup } from '../../src/ops/registry.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { f32 } from '../../src/tensor/tensor.ts'
import { buildCase, describeCase, normal, type OpCase } from '../support/op-case.ts'
import { convCases, furtherShapes, normCases, poolCases, productCases, resizeCases } from './window-cases.ts'

const maxPool = { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }

describe('shapes and types', () => {
  const cases = [...convCases, ...poolCases, ...productCases, ...normCases, ...resizeCases, ...furtherShapes]
  it.each(cases.map((c) => [describeCase(c), c] as const))('%s', async (_, c) => {
    const { model, node, feeds } = buildCase(c)
    const inferred = node.outputs.map((v) => ({ dtype: v!.dtype, shape: v!.shape }))
    for (const v of node.outputs) v!.shape = undefined
    const out = await runOnce(nodeRuntime, model, feeds, { threads: 1 })
    expect(inferred).toEqual(node.outputs.map((v) => ({ dtype: out[v!.name]!.dtype, shape: [...out[v!.name]!.dims] })))
  })
})

describe('symbolic lengths', () => {
  it.each<[string, OpCase, Dim[], (Dim | undefined)[]]>([
    ['Conv keeps a padded stride-1 length', { op: 'Conv', inputs: [normal([1, 3, 5, 5]), normal([4, 3, 3, 3])], attributes: { pads: [1, 1, 1, 1] } }, ['N', 3, 'H', 'W'], ['N', 4, 'H', 'W']],
    ['Conv with a stride does not know', { op: 'Conv', inputs: [normal([1, 3, 5, 6]), normal([4, 3, 3, 3])], attributes: { pads: [1, 1, 1, 1], strides: [2, 2] } }, ['N', 3, 'H', 6], ['N', 4, undefined, 3]],
    ['Conv with auto_pad', { op: 'Conv', inputs: [normal([1, 3, 5, 6]), normal([4, 3, 3, 3])], attributes: { auto_pad: 'SAME_UPPER' } }, ['N', 3, 'H', 6], ['N', 4, 'H', 6]],
    ['MaxPool', { op: 'MaxPool', inputs: [normal([1, 3, 5, 6])], attributes: maxPool }, ['N', 'C', 5, 'W'], ['N', 'C', 3, undefined]],
    ['GlobalAveragePool', { op: 'GlobalAveragePool', inputs: [normal([1, 3, 5, 6])] }, ['N', 3, 'H', 'W'], ['N', 3, 1, 1]],
    ['Gemm', { op: 'Gemm', inputs: [normal([1, 3]), normal([3, 2])] }, ['N', 3], ['N', 2]],
    ['MatMul', { op: 'MatMul', inputs: [normal([1, 4, 3]), normal([3, 2])] }, ['N', 'T', 3], ['N', 'T', 2]],
    ['Resize by scales', { op: 'Resize', inputs: [normal([1, 3, 5, 6]), undefined, f32([1, 1, 2, 2])], fed: [0] }, ['N', 3, 'H', 6], ['N', 3, undefined, 12]],
  ])('%s', (_, c, given, expected) => {
    const { node } = buildCase(c)
    node.inputs[0]!.shape = given
    inferNode(node, 21)
    expect(node.outputs[0]!.shape).toEqual(expected)
  })
})

describe('multiply-accumulates', () => {
  it.each<[string, OpCase, number]>([
    ['Conv', { op: 'Conv', inputs: [normal([2, 4, 8, 8]), normal([6, 2, 3, 3])], attributes: { group: 2, pads: [1, 1, 1, 1] } }, 2 * 6 * 64 * 2 * 9],
    ['ConvTranspose', { op: 'ConvTranspose', inputs: [normal([1, 4, 5, 5]), normal([4, 3, 2, 2])], attributes: { strides: [2, 2] } }, 4 * 25 * 3 * 4],
    ['Gemm', { op: 'Gemm', inputs: [normal([4, 3]), normal([5, 4])], attributes: { transA: 1, transB: 1 } }, 3 * 5 * 4],
    ['MatMul', { op: 'MatMul', inputs: [normal([2, 3, 4]), normal([4, 5])] }, 2 * 3 * 5 * 4],
  ])('%s', (op, c, macs) => {
    expect(lookup(op)!.macs!(buildCase(c).node)).toBe(macs)
  })
})
