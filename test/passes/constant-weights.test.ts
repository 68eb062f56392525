/** @file Weights among the inputs: found, taken off, the results the same. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { Builder } from '../../src/ops/builder.ts'
import { makeWeightsConstant, replaceableWeights } from '../../src/passes/constant-weights.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32 } from '../../src/tensor/tensor.ts'

/** Two 1x1 convolutions, 3 -> 4 -> 2, in the style of IR version 3: every weight is an input too. */
function oldStyle(): Model {
  const b = new Builder(new Graph('old'), 11)
  const rng = createRng('old')
  const x = b.input('x', 'float32', [1, 3, 2, 2])
  const weight = (o: number, c: number): ReturnType<typeof b.constant> => b.constant(f32(Float32Array.from({ length: o * c }, () => rng.normal()), [o, c, 1, 1]), 'w')
  b.output(b.op('Conv', [b.op('Relu', [b.op('Conv', [x, weight(4, 3)], { kernel_shape: [1, 1] })]), weight(2, 4)], { kernel_shape: [1, 1] }), 'y')
  const model = createModel(b.graph, 11)
  model.irVersion = 3
  model.graph.inputs.push(...model.graph.initializers)
  return model
}

const feeds = { x: f32(Float32Array.from({ length: 12 }, (_, i) => i / 6 - 1), [1, 3, 2, 2]) }

async function outputOf(model: Model): Promise<number[]> {
  const session = await nodeRuntime.load(model, { threads: 1 })
  try {
    return [...((await session.run(feeds)).y!.data as Float32Array)]
  } finally {
    await session.release()
  }
}

describe('weights among the inputs', () => {
  it('become constants; the model computes what it did', async () => {
    const model = oldStyle()
    const before = await outputOf(model)
    expect(replaceableWeights(model)).toBe(2)
    makeWeightsConstant(model)
    expect(replaceableWeights(model)).toBe(0)
    expect(model.graph.inputs.map((v) => v.name)).toEqual(['x'])
    expect(model.irVersion).toBe(4)
    expect(await outputOf(model)).toEqual(before)
  })

  it('a model that has none is left as it is, its IR version too', () => {
    const model = oldStyle()
    model.graph.inputs.splice(1)
    makeWeightsConstant(model)
    expect(model.irVersion).toBe(3)
  })

  it('are gone from a pruned model and from its file; the original keeps them', () => {
    const model = oldStyle()
    const groups = findGroups(model).filter((g) => g.prunable)
    const cut = applyPlan(model, makePlan(groups, new Map(groups.map((g) => [g.id, [0, 2]])), { method: 'l1', seed: 0 }))
    expect(groups).toHaveLength(1)
    expect(parseModel(serializeModel(cut), 'cut').graph.inputs.map((v) => v.name)).toEqual(['x'])
    expect(replaceableWeights(model)).toBe(2)
  })
})
