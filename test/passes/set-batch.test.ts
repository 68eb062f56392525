/** @file A batch of n gives what n single runs give. */
import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { type Model, staticShape, type Value } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { setBatch } from '../../src/passes/set-batch.ts'
import { upgradeOpset } from '../../src/passes/upgrade-opset.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { i64 } from '../../src/tensor/tensor.ts'
import { sharedModels } from '../onnx/ort.ts'
import { drawnPlan } from '../support/cut-plan.ts'
import { vgg19 } from '../support/topologies/classifiers.ts'
import { efficientdet, retinanet, yolo11, yolov5, yolov8 } from '../support/topologies/detectors.ts'
import { efficientnet, shufflenetV1, shufflenetV2 } from '../support/topologies/mobile.ts'
import { sharedIt } from '../support/shared.ts'
import { Net } from './nets.ts'

/** max|difference| / max|reference| of a batched run and single runs, for a model with one image input. */
async function batchError(model: Model, n: number): Promise<number> {
  const batched = setBatch(model, n)
  verify(batched.graph)
  const input = batched.graph.inputs.find((v) => !v.initializer)!
  const dims = staticShape(input)!
  const one = dims.slice(1).reduce((a, b) => a * b, 1)
  const rng = createRng('images')
  const images = Float32Array.from({ length: n * one }, () => rng.uniform(-1, 1))
  const options = { graphOptimizationLevel: 'basic', logSeverityLevel: 3 } as const
  const many = await InferenceSession.create(serializeModel(batched), options)
  const single = await InferenceSession.create(serializeModel(model), options)
  const all = await many.run({ [input.name]: new OrtTensor('float32', images, [...dims]) })
  let worst = 0
  for (let k = 0; k < n; k++) {
    const result = await single.run({ [input.name]: new OrtTensor('float32', images.slice(k * one, (k + 1) * one), [1, ...dims.slice(1)]) })
    for (const [name, t] of Object.entries(result)) {
      const reference = t.data as Float32Array
      const batch = all[name]!
      expect(batch.dims).toEqual([n * t.dims[0]!, ...t.dims.slice(1)])
      const part = (batch.data as Float32Array).subarray(k * reference.length, (k + 1) * reference.length)
      const scale = reference.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-30)
      for (let i = 0; i < reference.length; i++) worst = Math.max(worst, Math.abs(part[i]! - reference[i]!) / scale)
    }
  }
  await many.release()
  await single.release()
  return worst
}

describe('setBatch', () => {
  for (const path of sharedModels) {
    sharedIt(path, `gives ${path}, folded and raised to the working opset, a batch of 4`, async (file) => {
      expect(await batchError(upgradeOpset(foldConstants(parseModel(readFileSync(file), file))), 4)).toBeLessThan(1e-5)
    }, 30000)
  }

  sharedIt('models/version-RFB-320.onnx', 'gives a model of opset 9 as the file has it a batch of 4', async (file) => {
    expect(await batchError(parseModel(readFileSync(file), file), 4)).toBeLessThan(1e-5)
  }, 30000)

  for (const path of ['models/FastestDet.onnx', 'models/nanodet_m_320.onnx']) {
    sharedIt(path, `gives ${path} with half of its channels a batch of 4`, async (file) => {
      const model = foldConstants(parseModel(readFileSync(file), file))
      const cut = applyPlan(model, drawnPlan(findGroups(model), createRng(path)))
      expect(await batchError(upgradeOpset(cut), 4)).toBeLessThan(1e-5)
    }, 30000)
  }

  it.each<[string, () => Model]>([
    ['ShuffleNet v1', shufflenetV1], ['ShuffleNet v2 by branches', () => shufflenetV2(16, true)], ['VGG-19', vgg19], ['EfficientNet', efficientnet],
    ['YOLOv5', yolov5], ['YOLOv8', yolov8], ['YOLO11', yolo11], ['RetinaNet', retinanet], ['EfficientDet', efficientdet],
  ])('gives %s a batch of 3', async (_, build) => {
    expect(await batchError(build(), 3)).toBeLessThan(1e-5)
  }, 30000)

  const cases: [string, (n: Net, x: Value) => Value][] = [
    ['a channel shuffle', (n, x) => n.op('Reshape', [n.op('Transpose', [n.op('Reshape', [x, n.constant('a', i64([1, 2, 3, 4, 4]))])], { perm: [0, 2, 1, 3, 4] }), n.constant('b', i64([1, -1, 4, 4]))])],
    ['rows merged with the batch and taken apart again', (n, x) => n.op('Reshape', [n.op('Softmax', [n.op('Reshape', [x, n.constant('a', i64([6, 16]))])], { axis: -1 }), n.constant('b', i64([1, 6, 16]))])],
    ['zeros in a Reshape target', (n, x) => n.op('Reshape', [x, n.constant('a', i64([0, 0, -1]))])],
    ['a target that is one number', (n, x) => n.op('Reshape', [n.op('Reshape', [x, n.constant('a', i64([-1]))]), n.constant('b', i64([1, 96]))])],
    ['a Resize by sizes', (n, x) => n.op('Resize', [x, undefined, undefined, n.constant('s', i64([1, 6, 8, 8]))], { mode: 'nearest' })],
    ['a Slice of the whole batch axis', (n, x) => n.op('Slice', [x, n.constant('s', i64([0, 1])), n.constant('e', i64([1, 5])), n.constant('ax', i64([0, 1]))])],
    ['the batch in the middle for a while', (n, x) => {
      const moved = n.op('Transpose', [x], { perm: [1, 0, 2, 3] })
      return n.op('Transpose', [n.op('Reshape', [moved, n.constant('a', i64([6, 1, 16]))])], { perm: [1, 0, 2] })
    }],
    ['a target computed from the input', (n, x) => {
      const first = n.op('Gather', [n.op('Shape', [x]), n.op('Constant', [], { value: i64([0]) })])
      return n.op('Reshape', [x, n.op('Concat', [first, n.op('Constant', [], { value: i64([-1]) })], { axis: 0 })])
    }],
  ]
  for (const [what, build] of cases) {
    it(`handles ${what}`, async () => {
      const net = new Net()
      expect(await batchError(net.model(17, build(net, net.input('x', [1, 6, 4, 4]))), 3)).toBe(0)
    })
  }

  it('fixes a free batch, and infers shapes for a batch of 1', () => {
    const net = new Net()
    const model = net.model(17, net.op('Flatten', [net.input('x', ['N', 3, 2, 2])]))
    expect([1, 4].map((n) => setBatch(model, n).graph.outputs[0]!.shape)).toEqual([[1, 12], [4, 12]])
    expect(model.graph.inputs[0]!.shape).toEqual(['N', 3, 2, 2])
  })

  const refused: [string, (n: Net) => Value, string][] = [
    ['a batch of 2 in the file', (n) => n.op('Relu', [n.input('x', [2, 3])]), 'input "x" has a batch of 2 built in'],
    ['an input without axes', (n) => n.op('Relu', [n.input('x', [])]), 'input "x" has no batch axis'],
    ['an output with the first image alone', (n) => n.op('Gather', [n.input('x', [1, 3]), n.constant('i', i64([0], []))], { axis: 0 }), 'with a batch of 3 output "gather1" would be [3] where one image gives [3]'],
    ['a mean over the batch', (n) => n.op('ReduceMean', [n.input('x', [1, 3])], { axes: [0] }), 'the model handles single images only'],
    ['an output with the batch elsewhere', (n) => n.op('Transpose', [n.input('x', [1, 3])]), 'would be [3,3] where one image gives [3,1]'],
  ]
  for (const [what, build, message] of refused) {
    it(`refuses ${what}`, () => {
      const net = new Net()
      const model = net.model(17, build(net))
      expect(() => setBatch(model, 3)).toThrow(expect.objectContaining({ name: 'UserError', message: expect.stringContaining(message) }))
    })
  }
})
