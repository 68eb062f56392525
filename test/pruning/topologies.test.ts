/**
 * @file Well-known topologies: what groups find in them, half of the MACs removed, and the cut computes what zeroing gives. The real files
 * that ONNX ships without weights are read where they are at hand.
 */
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { solveBudget } from '../../src/pruning/budget.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import { makePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { prunableShare } from '../../src/pruning/share.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng, type Rng, shuffled } from '../../src/tensor/rng.ts'
import { cutError, drawnFeeds } from '../support/cut-plan.ts'
import { densenet121, googlenet, inceptionV2, resnet50, squeezenet, vgg19 } from '../support/topologies/classifiers.ts'
import { centernet, efficientdet, retinanet, yolo11, yolov4, yolov5, yolov8 } from '../support/topologies/detectors.ts'
import { Layers } from '../support/topologies/layers.ts'
import { readLightModel } from '../support/topologies/light.ts'
import { efficientnet, mobilenetV2, mobilenetV3, shufflenetV1, shufflenetV2 } from '../support/topologies/mobile.ts'

interface Expected {
  /** Groups in all, those that can be cut, and of these those that several weights write to. */
  readonly groups: readonly [number, number, number]
  /** Share of the weights' elements that groups reach and that they could remove, %. */
  readonly share: readonly [number, number]
  /** Reasons of the groups that stay whole. */
  readonly whole: readonly RegExp[]
}

const output = /is an output of the model/
const softmax = /normalises over this axis/
const boxes = /the reshape merges or splits this axis/

const topologies: Readonly<Record<string, readonly [() => Model, Expected]>> = {
  'ResNet-50': [resnet50, { groups: [38, 37, 4], share: [100, 99.98], whole: [output] }],
  'VGG-19': [vgg19, { groups: [19, 18, 0], share: [100, 99.95], whole: [softmax] }],
  'DenseNet-121': [densenet121, { groups: [121, 120, 0], share: [100, 98.71], whole: [output] }],
  'SqueezeNet': [squeezenet, { groups: [26, 25, 0], share: [100, 99.92], whole: [softmax] }],
  'GoogLeNet': [googlenet, { groups: [58, 55, 0], share: [98.15, 97.28], whole: [/LRN mixes neighbouring channels/, /LRN mixes neighbouring channels/, output] }],
  'Inception v2': [inceptionV2, { groups: [70, 69, 0], share: [100, 99.48], whole: [output] }],
  // Groups of 4 channels between a shuffle of three: the same channel of every group, on both sides, is all of them.
  'ShuffleNet v1': [shufflenetV1, { groups: [18, 17, 1], share: [90.78, 79.49], whole: [output] }],
  'ShuffleNet v2': [shufflenetV2, { groups: [82, 81, 0], share: [99.82, 97.96], whole: [output] }],
  'ShuffleNet v2 by branches': [() => shufflenetV2(16, true), { groups: [82, 81, 0], share: [99.82, 97.96], whole: [output] }],
  'MobileNet v2': [mobilenetV2, { groups: [18, 17, 4], share: [100, 99.85], whole: [output] }],
  'MobileNet v3': [mobilenetV3, { groups: [21, 20, 3], share: [100, 99.36], whole: [output] }],
  'EfficientNet': [efficientnet, { groups: [27, 26, 4], share: [100, 99.84], whole: [output] }],
  'YOLOv4': [yolov4, { groups: [35, 33, 4], share: [100, 99.78], whole: [output, output] }],
  'YOLOv5': [yolov5, { groups: [48, 45, 4], share: [100, 99.68], whole: [output, output, output] }],
  'YOLOv8': [yolov8, { groups: [60, 57, 4], share: [99.99, 99.68], whole: [/the kernel slides along this axis/, output, /has only one entry/] }],
  'YOLO11': [yolo11, { groups: [65, 62, 5], share: [99.99, 99.6], whole: [/the kernel slides along this axis/, output, /has only one entry/] }],
  'RetinaNet': [retinanet, { groups: [14, 13, 6], share: [100, 98.08], whole: [boxes] }],
  'CenterNet': [centernet, { groups: [17, 14, 0], share: [100, 99.87], whole: [/TopK ranks/, output, output] }],
  'EfficientDet': [efficientdet, { groups: [24, 18, 1], share: [100, 99.24], whole: [boxes, boxes, boxes, boxes, boxes, boxes] }],
}

const percent = (share: number): number => Number((100 * share).toFixed(2))

/** Removes half of the MACs: widths by the budget, channels by chance. */
function halved(model: Model, groups: readonly ChannelGroup[], rng: Rng): PrunePlan {
  const prunable = groups.filter((g) => g.prunable)
  const { widths } = solveBudget({ model, groups: prunable, removeMacs: 0.5, round: 1 })
  const drawn = (g: ChannelGroup): number[] => shuffled(Array.from({ length: g.channels }, (_, k) => k), rng).slice(0, widths.get(g.id))
  return makePlan(groups, new Map(prunable.map((g) => [g.id, drawn(g)])), { method: 'drawn' })
}

async function halve(model: Model, groups: readonly ChannelGroup[], name: string): Promise<void> {
  const rng = createRng(name)
  const plan = halved(model, groups, rng)
  expect(modelCost(applyPlan(model, plan)).macs / modelCost(model).macs).toBeLessThanOrEqual(0.5)
  expect(await cutError(model, plan, drawnFeeds(model, rng))).toBeLessThan(1e-4)
}

describe('topologies', () => {
  it.each(Object.entries(topologies))('%s', async (name, [build, expected]) => {
    const model = build()
    const groups = findGroups(model)
    const whole = groups.filter((g) => !g.prunable)
    const share = prunableShare(model, groups)
    expect([groups.length, groups.length - whole.length, groups.filter((g) => g.prunable && g.coupled).length]).toEqual(expected.groups)
    expect([percent(share.prunable), percent(share.removable)]).toEqual(expected.share)
    expect(whole.length).toBe(expected.whole.length)
    whole.forEach((g, i) => expect(g.reason).toMatch(expected.whole[i]!))
    await halve(model, groups, name)
  }, 30_000)

  it('attention is cut head by head, and the convolutions around it channel by channel', () => {
    const groups = findGroups(yolo11())
    const heads = groups.filter((g) => g.producers.some((p) => p.member.perUnit > 1))
    // Two heads of 16 + 8 + 8 channels; the position encoding and the values they carry go along.
    expect(heads.filter((g) => g.prunable).map((g) => [g.channels, g.producers[0]!.member.perUnit])).toEqual([[2, 32]])
  })

  it('attention over channels keeps its channels, with the reason; the convolutions around it are cut', async () => {
    const m = new Layers('channel-attention', [1, 3, 16, 16])
    const x = m.conv(m.block(m.image, 8, { kernel: 3 }), 12)
    const flat = m.b.reshape(x, [1, 12, 256])
    const weights = m.b.op('Softmax', [m.b.op('MatMul', [flat, m.b.transpose(flat, [0, 2, 1])])], { axis: -1 }, 'weights')
    const mixed = m.b.add(m.b.reshape(m.b.op('MatMul', [weights, flat]), [1, 12, 16, 16]), x)
    const model = m.model(m.conv(m.block(mixed, 10, { kernel: 3 }), 2))
    const groups = findGroups(model)
    expect(groups.map((g) => [g.channels, g.prunable])).toEqual([[8, true], [12, false], [10, true], [2, false]])
    expect(groups[1]!.reason).toBe('Softmax "weights": Softmax normalises over this axis')
    const rng = createRng(1)
    expect(await cutError(model, halved(model, groups, rng), drawnFeeds(model, rng))).toBeLessThan(1e-4)
  })
})

/** Where the files lie: a folder of "light" models as ONNX's backend tests have it. */
const folder = process.env.ESPALIER_LIGHT_MODELS ?? '/usr/share/libonnx-testdata/data/light'

describe('files without weights', () => {
  for (const [name, groups] of Object.entries({
    resnet50: [38, 37], densenet121: [121, 120], squeezenet: [26, 25], inception_v1: [58, 55], inception_v2: [70, 69], shufflenet: [18, 17], vgg19: [19, 18], bvlc_alexnet: [8, 5], zfnet512: [8, 5],
  })) {
    const file = `${folder}/light_${name}.onnx`
    const test = async (): Promise<void> => {
      const model = readLightModel(file)
      const found = findGroups(model)
      expect([found.length, found.filter((g) => g.prunable).length]).toEqual(groups)
      expect(prunableShare(model, found).prunable).toBeGreaterThan(0.9)
      await halve(model, found, name)
    }
    if (existsSync(file)) it(name, test, 600_000)
    else it.skip(`${name} (needs ${file})`, () => {})
  }
})
