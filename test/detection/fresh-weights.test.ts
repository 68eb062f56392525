/** @file Fresh weights: those of `train --arch` in the whole shape, drawn by the same rule in a pruned one. */
import { describe, expect, it } from 'vitest'
import { writeCard, readCard } from '../../src/detection/card.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { withFreshWeights } from '../../src/detection/models/fresh-weights.ts'
import type { Model } from '../../src/ir/graph.ts'
import { compareStructure, sameWeights } from '../../src/pruning/compare-structure.ts'
import { solveBudget } from '../../src/pruning/budget.ts'
import { random } from '../../src/pruning/criteria/random.ts'
import { chooseGroups } from '../../src/pruning/request.ts'
import { cutByScores, scoresByWeights } from '../../src/pruning/score-groups.ts'

const classes = ['a', 'b']

function prunedOf(model: Model, groups: 'inner' | 'all'): Model {
  const chosen = chooseGroups({ model }, { groups })
  return cutByScores(model, chosen, scoresByWeights(random, chosen, 3), solveBudget({ model, groups: chosen, removeParams: 0.5, round: 8 }), { method: 'random' }).model
}

const data = (model: Model, name: string): number[] => Array.from(model.graph.initializers.find((v) => v.name === name)!.initializer!.data as Float32Array)
const deviation = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length)

describe('fresh weights', () => {
  it.each(['ssd-small', 'ssd300-vgg16'])('%s, whole: what the seed gives --arch, bit by bit', (name) => {
    const [trained, fresh] = [buildDetector(name, { classes, seed: 1 }), buildDetector(name, { classes, seed: 2 })]
    expect(sameWeights(withFreshWeights(trained, 2, 'm.onnx'), fresh)).toBe(true)
    expect(sameWeights(trained, fresh)).toBe(false)
  }, 120_000)

  it.each(['inner', 'all'] as const)('pruned (%s groups): the same nodes and shapes; layers by their own rule at their widths, BatchNormalization at its start', (groups) => {
    const pruned = prunedOf(buildDetector('ssd-small', { classes, seed: 1 }), groups)
    for (const v of pruned.graph.initializers) if (v.name.includes('.bn') || v.name.endsWith('.bias')) (v.initializer!.data as Float32Array).fill(7)
    const fresh = withFreshWeights(pruned, 5, 'm.onnx')
    expect(compareStructure(pruned, fresh)).toEqual([])
    const conv = fresh.graph.initializers.find((v) => v.name === 'layer3.0.conv1.weight')!.initializer!
    const whole = buildDetector('ssd-small', { classes, seed: 5 }).graph.initializers.find((v) => v.name === 'layer3.0.conv1.weight')!.initializer!
    expect(conv.dims[0]).toBeLessThan(whole.dims[0]!)
    // He et al.: the variance is 2 / (outputs times the kernel's 9 places); Glorot: 6 / (inputs + outputs) / 9 is the square of the bound.
    expect(deviation(Array.from(conv.data as Float32Array)) / Math.sqrt(2 / (conv.dims[0]! * 9))).toBeCloseTo(1, 1)
    const head = fresh.graph.initializers.find((v) => v.name === 'head.0.boxes.weight')!.initializer!
    const bound = Math.sqrt(6 / ((head.dims[0]! + head.dims[1]!) * 9))
    const largest = Math.max(...Array.from(head.data as Float32Array, Math.abs))
    expect(largest).toBeLessThanOrEqual(bound)
    expect(largest).toBeGreaterThan(0.99 * bound)
    for (const [suffix, value] of [['weight', 1], ['bias', 0], ['running_mean', 0], ['running_var', 1]] as const) expect(new Set(data(fresh, `layer3.0.bn1.${suffix}`))).toEqual(new Set([value]))
    expect(sameWeights(withFreshWeights(pruned, 5, 'm.onnx'), fresh)).toBe(true)
    expect(sameWeights(withFreshWeights(pruned, 6, 'm.onnx'), fresh)).toBe(false)
  })

  it('of another detector are not known', () => {
    const model = buildDetector('ssd-small', { classes, seed: 1 })
    const renamed = buildDetector('ssd-small', { classes, seed: 1 })
    renamed.graph.initializers.find((v) => v.name === 'stem.conv1.weight')!.name = 'first'
    expect(() => withFreshWeights(renamed, 0, 'm.onnx')).toThrow('m.onnx: its weight "first" is none of ssd-small')
    writeCard(model.metadata, { ...readCard(model.metadata, 'm.onnx'), architecture: 'unknown' })
    expect(() => withFreshWeights(model, 0, 'm.onnx')).toThrow('m.onnx: its detector card names the architecture "unknown"')
  })
})
