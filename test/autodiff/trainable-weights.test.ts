/** @file What training may change: weights of layers, and no constant that only looks like one. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { trainableWeights } from '../../src/autodiff/import-graph.ts'
import type { Model, Value } from '../../src/ir/graph.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { f32, i64 } from '../../src/tensor/tensor.ts'
import { workingCopy } from '../../src/train/working-copy.ts'
import { sharedModels } from '../onnx/ort.ts'
import { Net } from '../pruning/nets.ts'
import { sharedIt } from '../support/shared.ts'

const namesOf = (model: Model): string[] => [...trainableWeights(workingCopy(model, 2).graph)].map((v) => v.name)

/** Names of the trainable weights of a graph of 6 channels made by a convolution "c.w" without bias. */
function trainedIn(build: (net: Net, y: Value) => Value, opset = 17): string[] {
  const net = new Net(1, [2, 3, 6, 6], opset)
  return namesOf(net.model(build(net, net.conv('c', net.x, 6, 1, false)))).filter((name) => name !== 'c.w')
}

describe('trainableWeights', () => {
  it('takes kernels, biases, scales, slopes; no running statistics', () => {
    expect(trainedIn((net, y) => net.b.op('PRelu', [net.norm('n', net.conv('d', y, 4)), net.weight('slope', [4, 1, 1])]))).toEqual(['d.w', 'd.b', 'n.scale', 'n.bias', 'slope'])
    expect(trainedIn((net, y) => net.linear('fc', net.b.op('Flatten', [y]), 2))).toEqual(['fc.w', 'fc.b'])
    expect(trainedIn((net, y) => net.b.op('InstanceNormalization', [y, net.weight('s', [6]), net.weight('b', [6])]))).toEqual(['s', 'b'])
  })

  it('leaves a constant that is a scale here and a running statistic there', () => {
    expect(trainedIn((net, y) => {
      const one = net.b.constant(f32([1, 1, 1, 1, 1, 1]), 'ones')
      return net.b.op('BatchNormalization', [y, one, net.weight('bias', [6]), net.weight('mean', [6]), one])
    })).toEqual(['bias'])
  })

  it('takes affine constants along channels, through what normalises them', () => {
    const perChannel = (net: Net, name: string): Value => net.weight(name, [6, 1, 1])
    expect(trainedIn((net, y) => net.b.add(net.b.mul(y, perChannel(net, 'gamma')), perChannel(net, 'beta')))).toEqual(['gamma', 'beta'])
    // L2 normalisation with a scale, as in SSD.
    expect(trainedIn((net, y) => net.b.mul(net.b.div(y, net.b.op('ReduceL2', [y], { axes: [1] })), net.weight('scale', [1, 6, 1, 1])))).toEqual(['scale'])
    // Group normalisation as exporters write it; its own scale and shift are ones and zeros, weights all the same.
    expect(trainedIn((net, y) => {
      const groups = net.b.op('InstanceNormalization', [net.b.reshape(y, [2, 3, -1]), net.weight('ones', [3]), net.weight('zeros', [3])])
      return net.b.mul(net.b.reshape(groups, [2, 6, 6, 6]), perChannel(net, 'gamma'))
    })).toEqual(['ones', 'zeros', 'gamma'])
    // A linear layer's bias, channels last; the weight comes through a Transpose.
    expect(trainedIn((net, y) => {
      const w = net.b.transpose(net.weight('w', [5, 6]), [1, 0])
      return net.b.add(net.weight('b', [5]), net.b.op('MatMul', [net.b.transpose(y, [0, 2, 3, 1]), w]))
    })).toEqual(['w', 'b'])
  })

  const constants: Record<string, (net: Net, y: Value) => Value> = {
    'the scales of a Resize': (net, y) => net.b.op('Resize', [y, undefined, net.b.floats([1, 1, 2, 2])]),
    'the sizes of a Resize': (net, y) => net.b.op('Resize', [y, undefined, undefined, net.b.constant(i64([2, 6, 12, 12]))]),
    'bounds': (net, y) => net.b.op('Clip', [y, net.b.scalar(0), net.b.scalar(6)]),
    'an exponent': (net, y) => net.b.op('Pow', [net.b.op('Abs', [y]), net.b.floats([2])]),
    'an epsilon': (net, y) => net.b.op('Sqrt', [net.b.add(net.b.op('Abs', [y]), net.b.floats([1e-5]))]),
    'a single factor': (net, y) => net.b.mul(y, net.b.floats([8])),
    'a grid': (net, y) => net.b.add(net.b.transpose(net.b.reshape(y, [2, 6, 36]), [0, 2, 1]), net.weight('grid', [1, 36, 6])),
    'strides by position': (net, y) => net.b.mul(net.b.transpose(net.b.reshape(y, [2, 6, 36]), [0, 2, 1]), net.weight('strides', [1, 36, 1])),
    'variances of boxes': (net, y) => net.b.mul(net.b.reshape(net.b.transpose(y, [0, 2, 3, 1]), [2, 72, 3]), net.b.floats([0.1, 0.1, 0.2])),
    'a factor by image row': (net, y) => net.b.mul(y, net.weight('rows', [6, 1])),
    'an expectation over bins': (net, y) => net.b.op('Conv', [net.b.op('Softmax', [y], { axis: 1 }), net.b.constant(f32([0, 1, 2, 3, 4, 5], [1, 6, 1, 1]))]),
  }
  it.each(Object.keys(constants))('leaves %s', (name) => {
    expect(trainedIn(constants[name]!)).toEqual([])
  })

  it('leaves the normalisation of the image', () => {
    const net = new Net(1, [2, 3, 6, 6])
    const image = net.b.mul(net.b.sub(net.x, net.weight('mean', [1, 3, 1, 1])), net.weight('inverse', [1, 3, 1, 1]))
    expect(namesOf(net.model(net.conv('c', image, 4)))).toEqual(['c.w', 'c.b'])
  })

  /** Float constants that are none of the weights, by the op that reads them, without BN's statistics. */
  const left: Record<string, string[]> = {
    FastestDet: ['Resize'],
    nanodet_m_320: ['Resize', 'Resize'],
    'version-RFB-320': ['Mul', 'Mul', 'Add', 'Mul', 'Mul', 'Div', 'Div'],
    'yolo-fastest-1.1': ['Resize'],
    yolox_nano: ['Resize'],
    'mobilenetv1_0.25_imagenet_bn': [],
  }
  for (const path of sharedModels) {
    sharedIt(path, `tells the weights of ${path}`, (file) => {
      const { graph } = workingCopy(foldConstants(parseModel(readFileSync(file), file)), 1)
      const weights = trainableWeights(graph)
      const others = graph.initializers.filter((v) => v.dtype === 'float32' && v.uses.size > 0 && !weights.has(v))
      const readers = others.map((v) => [...v.uses][0]!).filter(({ node, index }) => !(node.opType === 'BatchNormalization' && index > 2))
      expect(readers.map(({ node }) => node.opType)).toEqual(left[path.replace(/models\/|\.onnx/g, '')])
    })
  }
})
