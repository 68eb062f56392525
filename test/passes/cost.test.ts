/** @file Parameters and multiply-accumulates, worked by hand. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseModel } from '../../src/onnx/load.ts'
import { modelCost, modelParams } from '../../src/passes/cost.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { UserError } from '../../src/tensor/error.ts'
import { i64 } from '../../src/tensor/tensor.ts'
import { sharedIt } from '../support/shared.ts'
import { Net } from './nets.ts'

describe('modelCost', () => {
  it('counts Conv, Gemm, MatMul and BatchNormalization, a shared weight once', () => {
    const net = new Net()
    const x = net.input('x', ['N', 3, 8, 8])
    const w = net.weights('w', [4, 3, 3, 3])
    const a = net.op('Conv', [x, w, net.weights('b', [4])], { pads: [1, 1, 1, 1] }) // 108 + 4 weights, 4*8*8*27 macs
    const b = net.op('Conv', [x, w], { pads: [1, 1, 1, 1], strides: [2, 2] }) // 4*4*4*27 macs
    const n = net.op('BatchNormalization', [a, ...['s', 'b2', 'm', 'v'].map((k) => net.weights(k, [4], 0.5, 1))]) // 16 weights
    const d = net.op('Conv', [n, net.weights('dw', [4, 1, 3, 3])], { group: 4 }) // 36 weights, 4*6*6*9 macs
    const g = net.op('Gemm', [net.op('Flatten', [b]), net.weights('g', [10, 64]), net.weights('gb', [10])], { transB: 1 }) // 640 + 10, 640 macs
    const m = net.op('MatMul', [net.op('Reshape', [d, net.constant('t', i64([-1, 36]))]), net.weights('mm', [36, 5])]) // 180, 4*36*5 macs
    const cost = modelCost(net.model(17, g, m))
    expect(cost).toMatchInlineSnapshot(`
      {
        "macs": 11296,
        "nodes": [
          {
            "macs": 6912,
            "name": "conv1",
            "params": 112,
            "type": "Conv",
          },
          {
            "macs": 1728,
            "name": "conv2",
            "params": 0,
            "type": "Conv",
          },
          {
            "macs": 0,
            "name": "batchnormalization3",
            "params": 16,
            "type": "BatchNormalization",
          },
          {
            "macs": 1296,
            "name": "conv4",
            "params": 36,
            "type": "Conv",
          },
          {
            "macs": 640,
            "name": "gemm6",
            "params": 650,
            "type": "Gemm",
          },
          {
            "macs": 720,
            "name": "matmul8",
            "params": 180,
            "type": "MatMul",
          },
        ],
        "params": 994,
      }
    `)
    expect(cost.params).toBe(112 + 16 + 36 + 650 + 180)
    expect(cost.macs).toBe(6912 + 1728 + 1296 + 640 + 720)
  })

  it('wants the sizes of free axes', () => {
    const net = new Net()
    const model = net.model(17, net.op('Conv', [net.input('x', ['N', 3, 'H', 'W']), net.weights('w', [4, 3, 1, 1])]))
    expect(() => modelCost(model)).toThrow('input "x" has free axes: [1,3,H,W]; multiply-accumulates can only be counted once its sizes are given')
    expect(modelCost(model, { x: [1, 3, 5, 7] }).macs).toBe(4 * 3 * 35)
  })

  it('takes stated shapes past an operator that is not known, and names it where they are missing', () => {
    const build = (stated: (string | number)[] | undefined) => {
      const net = new Net()
      const a = net.op('Conv', [net.input('x', ['N', 3, 8, 8]), net.weights('w', [4, 3, 1, 1])]) // 12 weights, 4*64*3 macs
      const u = net.op('Mystery', [a])
      u.shape = stated
      return net.model(17, net.op('Conv', [u, net.weights('v', [5, 4, 1, 1])])) // 20 weights, 5*64*4 macs
    }
    expect(modelCost(build(['N', 4, 8, 8]))).toMatchObject({ params: 32, macs: 4 * 64 * 3 + 5 * 64 * 4 })
    const blind = build(undefined)
    expect(() => modelCost(blind)).toThrow(/the multiply-accumulates of Conv "conv3" cannot be counted: the shape of ".+" is not known, for Mystery "mystery2", on which it depends, is an operator that is not known/)
    expect(() => modelCost(blind)).toThrow(UserError)
    expect(modelParams(blind)).toBe(32)
  })

  sharedIt('models/mobilenetv1_0.25_imagenet_bn.onnx', 'agrees with the published size of MobileNetV1 0.25', (file) => {
    const model = parseModel(readFileSync(file), file)
    const cost = modelCost(model)
    // The paper's table says 0.5 million parameters and 41 million multiply-adds for a classifier of 1,001 classes.
    expect(cost.params).toBeGreaterThan(0.45e6)
    expect(cost.params).toBeLessThan(0.5e6)
    expect(cost.macs).toBeGreaterThan(40e6)
    expect(cost.macs).toBeLessThan(42e6)
    const counted = modelCost(foldBatchNorm(model))
    expect(counted.macs).toBe(cost.macs)
  })
})
