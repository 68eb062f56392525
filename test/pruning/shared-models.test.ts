/** @file Real detectors: how much of them groups reach, and that cutting gives what zeroing gives. */
import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { findGroups, wholeReason } from '../../src/pruning/groups.ts'
import { prunableShare } from '../../src/pruning/share.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { cutError, drawnFeeds, drawnPlan } from '../support/cut-plan.ts'
import { sharedIt } from '../support/shared.ts'

interface Figures {
  /** Groups in all, and those that can be cut. */
  readonly groups: readonly [number, number]
  /** Groups that more than one weight writes to, of those that can be cut. */
  readonly coupled: number
  /** Share of the weights' elements that groups could remove, %. */
  readonly removable: number
  /** Parameters and MACs left when every group is cut to half, %. */
  readonly left: readonly [number, number]
  /** Weights that groups do not reach in full, %, and why. */
  readonly short?: Readonly<Record<string, readonly [number, string]>>
}

const models: Readonly<Record<string, Figures>> = {
  'models/FastestDet.onnx': {
    groups: [90, 81], coupled: 1, removable: 99.65, left: [29.6, 32.9],
    short: { 'onnx::Conv_883': [96.9, 'three channels that shuffles lead somewhere else each: a group of one channel cannot lose it'] },
  },
  'models/mobilenetv1_0.25_imagenet_bn.onnx': { groups: [15, 14], coupled: 0, removable: 99.75, left: [39.8, 29.5] },
  'models/nanodet_m_320.onnx': {
    groups: [102, 92], coupled: 1, removable: 99.9, left: [26.7, 28.4],
    short: { '1064': [99.1, 'two channels, as above'] },
  },
  'models/version-RFB-320.onnx': { groups: [33, 25], coupled: 1, removable: 99.82, left: [31.7, 30.5] },
  'models/yolo-fastest-1.1.onnx': { groups: [38, 36], coupled: 6, removable: 99.71, left: [33.5, 33.6] },
  'models/yolox_nano.onnx': { groups: [72, 67], coupled: 3, removable: 99.92, left: [26.2, 30.4] },
}

const percent = (share: number, digits = 2): number => Number((100 * share).toFixed(digits))

describe.each(Object.entries(models))('%s', (path, figures) => {
  const open = (file: string): Model => foldConstants(parseModel(readFileSync(file), file))

  sharedIt(path, 'has groups that reach its weights', (file) => {
    const model = open(file)
    const groups = findGroups(model)
    const prunable = groups.filter((g) => wholeReason(g) === undefined)
    const share = prunableShare(model, groups)
    expect([groups.length, prunable.length]).toEqual(figures.groups)
    expect(prunable.filter((g) => g.coupled).length).toBe(figures.coupled)
    expect(percent(share.removable)).toBe(figures.removable)
    expect(share.prunable).toBeGreaterThan(0.999)
    const short = share.weights.filter((w) => w.prunable < 1 - 1e-9).map((w) => [w.name, percent(w.prunable, 1)])
    expect(short).toEqual(Object.entries(figures.short ?? {}).map(([name, [reached]]) => [name, reached]))
    // Only what a model gives out, and single channels, stay whole.
    for (const g of groups.filter((g) => !prunable.includes(g))) expect(wholeReason(g)).toMatch(/is an output of the model|every group keeps one|normalises over this axis|merges or splits|only one entry/)
  })

  sharedIt(path, 'loses half of every group and computes what zeroing gives', async (file) => {
    const model = open(file)
    const rng = createRng(path)
    const plan = drawnPlan(findGroups(model), rng)
    expect(await cutError(model, plan, drawnFeeds(model, rng))).toBeLessThan(1e-4)
    const [before, after] = [modelCost(model), modelCost(applyPlan(model, plan))]
    expect([percent(after.params / before.params, 1), percent(after.macs / before.macs, 1)]).toEqual(figures.left)
  }, 30_000)

  sharedIt(path, 'loses a part of single groups and computes what zeroing gives', async (file) => {
    const model = open(file)
    const rng = createRng(`${path}/alone`)
    const groups = findGroups(model)
    const prunable = groups.filter((g) => g.prunable)
    for (let i = rng.int(4); i < prunable.length; i += 9) {
      const plan = drawnPlan(groups, rng, 0.7, [prunable[i]!])
      expect(await cutError(model, plan, drawnFeeds(model, rng)), prunable[i]!.id).toBeLessThan(1e-4)
    }
  }, 60_000)
})
