/** @file A classifier's weights in a detector, by name and shape. */
import { describe, expect, it } from 'vitest'
import { addInitializer } from '../../src/ir/edit.ts'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { f32, i64, sizeOf } from '../../src/tensor/tensor.ts'
import { loadBackbone } from '../../src/train/backbone.ts'

/** A model of weights alone, each filled with its number. */
function weights(fill: number, entries: Readonly<Record<string, readonly number[]>>): Model {
  const graph = new Graph('weights')
  for (const [name, dims] of Object.entries(entries)) addInitializer(graph, name, f32(new Float32Array(sizeOf(dims)).fill(fill), dims))
  return createModel(graph, 17)
}

function firstValues(model: Model): Record<string, unknown> {
  return Object.fromEntries(model.graph.initializers.map((v) => [v.name, v.initializer!.data[0]]))
}

describe('loadBackbone', () => {
  it('matches exact names first, then names without wrappers, and reports both sides', () => {
    const detector = weights(0, { 'conv1.weight': [4, 3], 'layer1.bn.weight': [4], 'features.0.weight': [2, 2], 'head.weight': [8, 4], 'fc.weight': [2, 4] })
    const classifier = weights(1, { 'conv1.weight': [4, 3], 'model.backbone.layer1.bn.weight': [4], '0.weight': [2, 2], 'fc.weight': [10, 4], 'fc.bias': [10] })
    const { model, report } = loadBackbone(detector, classifier, 'c.onnx')
    expect(firstValues(model)).toEqual({ 'conv1.weight': 1, 'layer1.bn.weight': 1, 'features.0.weight': 1, 'head.weight': 0, 'fc.weight': 0 })
    expect(report.matched).toEqual([
      { name: 'conv1.weight', from: 'conv1.weight' },
      { name: 'layer1.bn.weight', from: 'model.backbone.layer1.bn.weight' },
      { name: 'features.0.weight', from: '0.weight' },
    ])
    expect(report.kept).toEqual(['head.weight', 'fc.weight'])
    expect(report.unused).toEqual(['fc.weight', 'fc.bias'])
    expect(report.differ).toEqual(['"fc.weight" is [2,4], "fc.weight" of c.onnx is [10,4]'])
    expect(firstValues(detector)['conv1.weight']).toBe(0)
  })

  it('does not guess where two weights have one bare name', () => {
    const detector = weights(0, { 'a.weight': [2], 'b.weight': [2] })
    const { report } = loadBackbone(detector, weights(1, { 'model.a.weight': [2], 'net.a.weight': [2], 'net.b.weight': [2] }), 'c.onnx')
    expect(report.matched).toEqual([{ name: 'b.weight', from: 'net.b.weight' }])
  })

  it('leaves shape constants alone', () => {
    const detector = weights(0, { w: [2] })
    addInitializer(detector.graph, 'shape', i64([1, 2]))
    const classifier = weights(1, { w: [2] })
    addInitializer(classifier.graph, 'shape', i64([3, 4]))
    const { model, report } = loadBackbone(detector, classifier, 'c.onnx')
    expect(firstValues(model)).toEqual({ w: 1, shape: 1n })
    expect(report).toMatchObject({ kept: [], unused: [] })
  })

  it('refuses a classifier of which nothing fits', () => {
    const detector = weights(0, { 'conv1.weight': [4, 3] })
    expect(() => loadBackbone(detector, weights(1, { 'conv1.weight': [4, 4] }), 'c.onnx')).toThrow('c.onnx: none of its 1 weights fits the detector; names agree, shapes do not: "conv1.weight" is [4,3], "conv1.weight" of c.onnx is [4,4]')
    expect(() => loadBackbone(detector, weights(1, { 'onnx::Conv_12': [4, 3] }), 'c.onnx')).toThrow('called "conv1.weight", the classifier\'s "onnx::Conv_12"')
  })
})
