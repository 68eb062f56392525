/** @file Gradients of real detectors and of well-known topologies: they exist for every weight, and are right along random directions. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { pullBack } from '../../src/autodiff/grad.ts'
import { importGraph, trainableWeights } from '../../src/autodiff/import-graph.ts'
import { createModel, dimsOf, Graph, type Model, type Value } from '../../src/ir/graph.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { Builder } from '../../src/ops/builder.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { workingCopy } from '../../src/train/working-copy.ts'
import { sharedModels } from '../onnx/ort.ts'
import { drawnPlan } from '../support/cut-plan.ts'
import { runModel } from '../support/run.ts'
import { sharedIt } from '../support/shared.ts'
import { googlenet } from '../support/topologies/classifiers.ts'
import { centernet, efficientdet, retinanet, yolo11, yolov4, yolov5, yolov8 } from '../support/topologies/detectors.ts'
import { efficientnet, mobilenetV3, shufflenetV1, shufflenetV2 } from '../support/topologies/mobile.ts'

const open = (file: string): Model => foldConstants(parseModel(readFileSync(file), file))
const imageOf = (model: Model): Value => model.graph.inputs.find((v) => !v.initializer)!

function drawn(dims: readonly number[], seed: string): Tensor {
  const rng = createRng(seed)
  return f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()), dims)
}

/** Norms of the gradients of the sum of every output times a random cotangent, by weight; BN frozen. */
async function gradientNorms(model: Model): Promise<Map<string, number>> {
  const weights = trainableWeights(model.graph)
  const b = new Builder(new Graph('gradients'))
  const image = b.input('image', 'float32', dimsOf(imageOf(model)))
  const imported = importGraph(b, model.graph, { given: new Map([[imageOf(model), image]]), wanted: model.graph.outputs, trainable: (v) => weights.has(v) })
  const cotangents = new Map(model.graph.outputs.filter((v) => v.dtype === 'float32').map((v) => [imported.values.get(v)!, b.constant(drawn(dimsOf(imported.values.get(v)!), v.name), 'cotangent')]))
  const gradients = pullBack(b, cotangents, imported.parameters.map((p) => p.input))
  const named = imported.parameters.map(({ source, input }) => {
    const g = gradients.get(input)
    if (!g) throw new Error(`no gradient reaches "${source.name}"`)
    return { source, norm: b.output(b.op('ReduceL2', [g], { keepdims: 0 })) }
  })
  const feeds = Object.fromEntries(imported.parameters.map(({ source, input }) => [input.name, source.initializer!]))
  const out = await runModel(createModel(b.graph, b.opset), { ...feeds, [image.name]: drawn(dimsOf(image), 'image') })
  return new Map(named.map(({ source, norm }) => [source.name, floats(out[norm.name]!)[0]!]))
}

/** A smooth picture in the range of values that the model is fed. */
function picture(dims: readonly number[], [mean, swing]: readonly [number, number]): Tensor {
  const [, , h = 1, w = 1] = dims
  return f32(Float32Array.from({ length: sizeOf(dims) }, (_, i) => {
    const [c, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w]
    return mean + swing * Math.sin(y / 17 + c) * Math.cos(x / 11 - y / 40 + 2 * c)
  }), dims)
}

/**
 * Relative errors of the directional derivatives by four kernels, first and last among them, the least over some steps: large steps cross
 * kinks (most of them for the first kernel), small ones drown in rounding, and a wrong gradient is wrong at all of them.
 */
async function directionalErrors(model: Model, name: string, range: readonly [number, number]): Promise<number[]> {
  const kernels = [...trainableWeights(model.graph)].filter((v) => (v.shape?.length ?? 0) === 4)
  const sample = [...new Set([0, 0.3, 0.7, 1].map((part) => kernels[Math.floor(part * (kernels.length - 1))]!))]
  const image = picture(dimsOf(imageOf(model)), range)
  const build = (b: Builder, given: readonly Value[]): Value[] => {
    const stands = new Map<Value, Value>([[imageOf(model), b.constant(image)], ...sample.map((v, i) => [v, given[i]!] as const)])
    const imported = importGraph(b, model.graph, { given: stands, wanted: model.graph.outputs })
    return model.graph.outputs.map((v) => imported.values.get(v)!)
  }
  const errors: number[][] = []
  for (const step of [3e-4, 3e-5, 3e-6]) {
    errors.push((await checkGradient({ build, inputs: sample.map((v) => v.initializer!), run: runModel, rng: createRng(name), step })).perInput)
  }
  return sample.map((_, k) => Math.min(...errors.map((e) => e[k]!)))
}

/** Mean and swing of the values that models were trained on. */
const ranges: Readonly<Record<string, readonly [number, number]>> = {
  'models/FastestDet.onnx': [0.5, 0.4],
  'models/mobilenetv1_0.25_imagenet_bn.onnx': [0, 1.5],
  'models/nanodet_m_320.onnx': [0, 1.5],
  'models/version-RFB-320.onnx': [0, 0.8],
  'models/yolo-fastest-1.1.onnx': [0.5, 0.4],
  'models/yolox_nano.onnx': [127, 100],
}

describe('gradients of real models', () => {
  for (const path of sharedModels) {
    sharedIt(path, `reach every weight of ${path}`, async (file) => {
      const model = workingCopy(open(file), 1)
      const norms = await gradientNorms(model)
      expect(norms.size).toBe(trainableWeights(model.graph).size)
      for (const [name, norm] of norms) expect(norm > 0 && norm < Infinity, `${name}: ${norm}`).toBe(true)
    }, 120_000)

    sharedIt(path, `are right for ${path}`, async (file) => {
      const [first, ...others] = await directionalErrors(workingCopy(open(file), 1), path, ranges[path]!)
      expect(first).toBeLessThan(0.25)
      for (const error of others) expect(error).toBeLessThan(0.1)
    }, 120_000)
  }

  it.each<[string, () => Model]>([
    ['GoogLeNet', googlenet], ['ShuffleNet v1', shufflenetV1], ['ShuffleNet v2', shufflenetV2], ['MobileNet v3', mobilenetV3], ['EfficientNet', efficientnet],
    ['YOLOv4', yolov4], ['YOLOv5', yolov5], ['YOLOv8', yolov8], ['YOLO11', yolo11], ['RetinaNet', retinanet], ['CenterNet', centernet], ['EfficientDet', efficientdet],
  ])('reach every weight of %s, in batches of 2', async (_, build) => {
    const model = workingCopy(build(), 2)
    const norms = await gradientNorms(model)
    expect(norms.size).toBe(trainableWeights(model.graph).size)
    for (const [name, norm] of norms) expect(norm > 0 && norm < Infinity, `${name}: ${norm}`).toBe(true)
  }, 30_000)

  it('leave the constants of decoded heads alone', () => {
    const names = [yolov5(), yolov8()].flatMap((model) => [...trainableWeights(workingCopy(model, 1).graph)].map((v) => v.name))
    expect(names.length).toBeGreaterThan(300)
    expect(names.filter((name) => !/^(conv|bn)/.test(name))).toEqual([])
  })

  sharedIt('models/nanodet_m_320.onnx', 'are right where a cut made Gather nodes of shuffles', async (file) => {
    const model = open(file)
    const cut = applyPlan(model, drawnPlan(findGroups(model), createRng('cut'), 0.7))
    const [first, ...others] = await directionalErrors(workingCopy(cut, 1), 'cut', ranges['models/nanodet_m_320.onnx']!)
    expect(first).toBeLessThan(0.25)
    for (const error of others) expect(error).toBeLessThan(0.1)
  }, 120_000)
})
