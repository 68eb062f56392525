/** @file Raising models to the working opset: every changed operator gives the same outputs, by the runtime. */
import { readFileSync } from 'node:fs'
import { Tensor as OrtTensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { opsetOf, type Value } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { upgradeOpset } from '../../src/passes/upgrade-opset.ts'
import { f32, i64, tensor } from '../../src/tensor/tensor.ts'
import { sharedModels } from '../onnx/ort.ts'
import { sharedIt } from '../support/shared.ts'
import { difference, Net } from './nets.ts'

/** Name, opset, and the net's outputs. */
const cases: [string, number, (net: Net) => Value | Value[]][] = [
  ['Softmax over the last axis', 9, (n) => n.op('Softmax', [n.input('x', [2, 5])])],
  ['Softmax over several axes', 11, (n) => n.op('Softmax', [n.input('x', [2, 3, 4])])],
  ['Softmax from axis 0', 9, (n) => n.op('Softmax', [n.input('x', [2, 3, 4])], { axis: 0 })],
  ['Softmax before axes of length 1', 11, (n) => n.op('Softmax', [n.input('x', [2, 5, 1, 1])])],
  ['Softmax from the end', 11, (n) => n.op('Softmax', [n.input('x', [2, 3, 4])], { axis: -2 })],
  ['Softmax of free axes', 11, (n) => n.op('Softmax', [n.input('x', ['N', 'C', 'H'])], { axis: 1 })],
  ['LogSoftmax', 12, (n) => n.op('LogSoftmax', [n.input('x', [2, 3, 4])])],
  ['Hardmax', 12, (n) => n.op('Hardmax', [n.input('x', [2, 3, 4])])],
  ['Clip', 9, (n) => n.op('Clip', [n.input('x', [10])], { min: -0.25, max: 0.5 })],
  ['Clip with one bound', 10, (n) => n.op('Clip', [n.input('x', [10])], { min: { float: 0 } })],
  ['Clip without bounds', 10, (n) => n.op('Clip', [n.input('x', [10])])],
  ['Pad', 10, (n) => n.op('Pad', [n.input('x', [1, 2, 3, 3])], { pads: [0, 0, 1, 2, 0, 0, 0, 1], value: 0.5 })],
  ['Pad by reflection', 9, (n) => n.op('Pad', [n.input('x', [1, 2, 3, 3])], { pads: [0, 0, 1, 2, 0, 0, 0, 1], mode: 'reflect' })],
  ['Slice', 9, (n) => n.op('Slice', [n.input('x', [4, 5, 6])], { starts: [1, -3], ends: [3, 9999], axes: [0, 2] })],
  ['Slice without axes', 9, (n) => n.op('Slice', [n.input('x', [4, 5])], { starts: [1], ends: [3] })],
  ['Squeeze and Unsqueeze', 11, (n) => n.op('Unsqueeze', [n.op('Squeeze', [n.input('x', [1, 3, 1])], { axes: [0, 2] })], { axes: [1, 2] })],
  ['Squeeze of all', 12, (n) => n.op('Squeeze', [n.input('x', [1, 3, 1])])],
  ['ReduceSum', 11, (n) => n.op('ReduceSum', [n.input('x', [2, 3, 4])], { axes: [0, 2], keepdims: 0 })],
  ...['ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'].map((type): [string, number, (net: Net) => Value] => [
    type, 13, (n) => n.op(type, [n.input('x', [2, 3, 4])], { axes: [1] }),
  ]),
  ['ReduceMean of all', 17, (n) => n.op('ReduceMean', [n.input('x', [2, 3])], { keepdims: 0 })],
  ['Split by sizes', 11, (n) => {
    n.op('Split', [n.input('x', [5, 2])], { split: [2, 3] }, ['a', 'b'])
    return [...n.graph.nodes[0]!.outputs] as Value[]
  }],
  ['Split equally', 13, (n) => {
    n.op('Split', [n.input('x', [2, 6])], { axis: 1 }, ['a', 'b', 'c'])
    return [...n.graph.nodes[0]!.outputs] as Value[]
  }],
  ['TopK', 9, (n) => n.op('TopK', [n.input('x', [3, 7])], { k: 3 }, ['top', 'where'])],
  ['Dropout', 9, (n) => n.op('Dropout', [n.input('x', [7])], { ratio: 0.4 })],
  ['Dropout of ten', 11, (n) => n.op('Dropout', [n.input('x', [7])])],
  ['BatchNormalization', 9, (n) => n.op('BatchNormalization', [n.input('x', [2, 3, 4]), n.weights('s', [3]), n.weights('b', [3]), n.weights('m', [3]), n.weights('v', [3], 0.5, 2)], { epsilon: 0.01 })],
  ['BatchNormalization of opset 7', 7, (n) => n.op('BatchNormalization', [n.input('x', [2, 3, 4]), n.weights('s', [3]), n.weights('b', [3]), n.weights('m', [3]), n.weights('v', [3], 0.5, 2)], { spatial: 1 })],
  ['Upsample of opset 7', 7, (n) => n.op('Upsample', [n.input('x', [1, 2, 3, 5])], { mode: 'nearest', scales: { floats: [1, 1, 2, 3] } })],
  ['Upsample linear of opset 8', 8, (n) => n.op('Upsample', [n.input('x', [1, 2, 3, 5])], { mode: 'linear', scales: { floats: [1, 1, 2, 2] } })],
  ['Upsample nearest', 9, (n) => n.op('Upsample', [n.input('x', [1, 2, 3, 5]), n.constant('s', f32([1, 1, 2, 1.6]))], { mode: 'nearest' })],
  ['Upsample linear', 9, (n) => n.op('Upsample', [n.input('x', [1, 2, 3, 5]), n.constant('s', f32([1, 1, 2, 2]))], { mode: 'linear' })],
  ['Resize nearest, larger', 10, (n) => n.op('Resize', [n.input('x', [1, 2, 3, 5]), n.constant('s', f32([1, 1, 1.7, 2.3]))])],
  ['Resize nearest, smaller', 10, (n) => n.op('Resize', [n.input('x', [1, 2, 7, 9]), n.constant('s', f32([1, 1, 0.6, 0.45]))])],
  ['Resize linear, smaller', 10, (n) => n.op('Resize', [n.input('x', [1, 2, 7, 9]), n.constant('s', f32([1, 1, 0.6, 0.45]))], { mode: 'linear' })],
  ['Resize by scales with empty sizes', 11, (n) => n.op('Resize', [n.input('x', [1, 2, 3, 5]), n.constant('r', f32([])), n.constant('s', f32([1, 1, 2, 2]))], { mode: 'linear', coordinate_transformation_mode: 'align_corners' })],
  ['Resize by sizes with empty scales', 11, (n) => n.op('Resize', [n.input('x', [1, 2, 3, 5]), n.constant('r', f32([])), n.constant('s', f32([])), n.constant('z', i64([1, 2, 7, 7]))], { mode: 'cubic' })],
  ['Resize with pytorch_half_pixel', 13, (n) => n.op('Resize', [n.input('x', [1, 2, 3, 5]), undefined, n.constant('s', f32([1, 1, 2, 2]))], { mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' })],
  ['Scatter', 9, (n) => n.op('Scatter', [n.input('x', [3, 3]), n.constant('i', i64([1, 0, 2, 0, 2, 1], [2, 3])), n.input('u', [2, 3])])],
  ['RoiAlign', 10, (n) => n.op('RoiAlign', [n.input('x', [1, 2, 8, 8]), n.constant('rois', f32([0.3, 1.2, 5.7, 6.1], [1, 4])), n.constant('i', i64([0]))], { output_height: 2, output_width: 2, sampling_ratio: 2 })],
  ['GridSample', 16, (n) => n.op('GridSample', [n.input('x', [1, 2, 4, 4]), n.input('g', [1, 3, 3, 2])], { mode: 'bilinear' })],
  ['GroupNormalization', 18, (n) => n.op('GroupNormalization', [n.input('x', [1, 6, 2, 2]), n.weights('s', [3]), n.weights('b', [3])], { num_groups: 3 })],
  ['AveragePool with ceil_mode', 11, (n) => n.op('AveragePool', [n.input('x', [1, 2, 6, 6])], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 })],
  ['AveragePool with ceil_mode and counted pads', 11, (n) => n.op('AveragePool', [n.input('x', [1, 2, 6, 6])], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 })],
  ['MaxPool, Conv, Gemm and Flatten', 9, (n) => {
    const h = n.op('MaxPool', [n.op('Conv', [n.input('x', [1, 3, 8, 8]), n.weights('w', [4, 3, 3, 3])], { pads: [1, 1, 1, 1] })], { kernel_shape: [2, 2], strides: [2, 2] })
    return n.op('Gemm', [n.op('Flatten', [h]), n.weights('g', [5, 64]), n.weights('gb', [5])], { transB: 1 })
  }],
]

describe('upgradeOpset', () => {
  for (const [name, opset, build] of cases) {
    it(`${name} keeps its outputs from opset ${opset}`, async () => {
      const net = new Net()
      const model = net.model(opset, ...[build(net)].flat())
      const before = print(model.graph)
      const raised = upgradeOpset(model)
      expect(opsetOf(raised)).toBe(21)
      expect(await difference(raised, model)).toBeLessThan(1e-6)
      expect(print(model.graph)).toBe(before)
    })
  }

  it('takes a pad value of the input\'s own type', async () => {
    const net = new Net()
    const x = net.input('x', [3], 'float64')
    const model = net.model(10, net.op('Pad', [x], { pads: [1, 0], value: 0.1 }))
    const inputs = { x: new OrtTensor('float64', Float64Array.of(0.1, 0.7, -3), [3]) }
    expect(await difference(upgradeOpset(model), model, inputs)).toBeLessThan(1e-7)
  })

  it('moves attributes to inputs under fresh names', () => {
    const net = new Net()
    net.constant('clip1.min', f32([1]))
    const model = net.model(10, net.op('Softmax', [net.op('Clip', [net.input('x', ['N', 3, 4])], { min: -1.5 })]))
    expect(print(upgradeOpset(model).graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[N,3,4]) {
        clip1.min: float32[1] = initializer
        clip1.min_1: float32[] = initializer
        clip1: float32[N,3,4] = Clip(x, clip1.min_1)
        softmax2_shape: int64[3] = Shape(clip1)
        softmax2_flat: float32[N,12] = Flatten(clip1) {axis=1}
        softmax2_rows: float32[N,12] = Softmax(softmax2_flat) {axis=-1}
        softmax2: float32[N,3,4] = Reshape(softmax2_rows, softmax2_shape)
        return softmax2
      }"
    `)
  })

  it('goes into subgraphs', () => {
    const inner = new Net()
    const outer = new Net()
    const x = outer.input('x', [2, 3])
    inner.graph.outputs.push(inner.op('ReduceSum', [x], { axes: [1] }))
    const model = outer.model(11, outer.op('If', [outer.constant('c', tensor('bool', [], Uint8Array.of(1)))], { then_branch: inner.graph, else_branch: inner.graph }, ['y']))
    const raised = upgradeOpset(model)
    expect(print(raised.graph)).toContain('ReduceSum(x, reducesum1.axes)')
  })

  it('takes a model of opset 23 back to 21, and says what 21 lacks', async () => {
    const net = new Net()
    const model = net.model(23, net.op('Relu', [net.op('Conv', [net.input('x', [1, 3, 4, 4]), net.weights('w', [2, 3, 1, 1])])]))
    expect(await difference(upgradeOpset(model), model)).toBe(0)
    const later = new Net()
    expect(() => upgradeOpset(later.model(23, later.op('RMSNormalization', [later.input('x', [2, 3]), later.weights('s', [3])])))).toThrow(
      'RMSNormalization "rmsnormalization1" uses the operator RMSNormalization of opset 23, which opset 21 does not have; export the model at opset 21',
    )
  })

  const refused: [string, number, (net: Net) => Value, string][] = [
    ['read batch statistics', 9, (n) => {
      n.op('BatchNormalization', [n.input('x', [2, 3, 4]), n.weights('s', [3]), n.weights('b', [3]), n.weights('m', [3]), n.weights('v', [3])], {}, ['y', 'mean'])
      return n.graph.nodes[0]!.outputs[1]!
    }, 'has its batch statistics read'],
    ['a read mask', 9, (n) => {
      n.op('Dropout', [n.input('x', [2])], {}, ['y', 'mask'])
      return n.graph.nodes[0]!.outputs[1]!
    }, 'has its mask read'],
    ['both directions of a nearest Resize', 10, (n) => n.op('Resize', [n.input('x', [1, 1, 4, 4]), n.constant('s', f32([1, 1, 2, 0.5]))]), 'shrinks one axis and stretches another'],
  ]
  for (const [what, opset, build, message] of refused) {
    it(`refuses ${what}`, () => {
      const net = new Net()
      const model = net.model(opset, build(net))
      expect(() => upgradeOpset(model)).toThrow(expect.objectContaining({ name: 'UserError', message: expect.stringContaining(message) }))
    })
  }

  for (const path of sharedModels) {
    sharedIt(path, `keeps the outputs of ${path}`, async (file) => {
      const model = parseModel(readFileSync(file), file)
      expect(await difference(upgradeOpset(model), model)).toBeLessThan(1e-5)
    }, 20000)
  }
})
