/** @file Stage ends where no card names them. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import type { Model, Value } from '../../src/ir/graph.ts'
import { ancestors, valueNamed } from '../../src/ir/walk.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { evenStageEnds, stagesOf } from '../../src/pruning/stages.ts'
import { sharedIt } from '../support/shared.ts'
import { Net } from './nets.ts'

describe('evenStageEnds', () => {
  it('spaces three maps over the layers of an SSD, in the trunk, and leaves the last layers to the detector\'s loss', () => {
    const model = buildDetector('ssd300-resnet50', { classes: ['a'], seed: 1 })
    const groups = findGroups(model).filter((g) => g.prunable && !g.coupled)
    const ends = evenStageEnds(model, groups)
    const stages = stagesOf(model, ends, groups)
    expect(stages.map((s) => s.end)).toEqual([...ends, undefined])
    expect(ends).toHaveLength(3)
    const layers = stages.map((s) => new Set(s.groups.flatMap((g) => g.consumers)).size)
    // 34 or so layers: none of the four parts is empty or more than half of them.
    for (const n of layers) expect(n).toBeGreaterThan(0)
    expect(Math.max(...layers)).toBeLessThan(layers.reduce((a, b) => a + b, 0) / 2)
  })

  it('takes the map in the trunk, not one in a side branch', () => {
    const net = new Net(1)
    let trunk = net.conv('stem', net.x, 4)
    for (let i = 0; i < 3; i++) {
      const side = net.conv(`side${i}b`, net.conv(`side${i}a`, trunk, 4), 4)
      trunk = net.b.add(net.conv(`main${i}`, trunk, 4), side)
    }
    const model = net.model(net.conv('last', trunk, 2, 1))
    const ends = evenStageEnds(model, findGroups(model))
    expect(ends.length).toBeGreaterThan(0)
    for (const end of ends) expect(end).not.toMatch(/^side/)
  })

  it('divides what the last end has before it where heads keep that from its place', () => {
    const net = new Net(1)
    let trunk = net.x
    for (let i = 1; i <= 6; i++) trunk = net.conv(`trunk${i}`, trunk, 4)
    const heads = ['a', 'b'].map((head) => {
      let v = trunk
      for (let i = 1; i <= 8; i++) v = net.conv(`${head}${i}`, v, 4)
      return v
    })
    const model = net.model(...heads)
    // 21 layers read cuttable channels: trunk2 to trunk6, and two heads of eight. The last end's place is 15.75: trunk6 misses it by 10.75, the
    // map before a8 by 3.75, but eight layers and trunk6 get past that. The next two divide five: 3.33 is trunk4's place, 1.5 between trunk2's and trunk3's.
    expect(evenStageEnds(model, findGroups(model))).toEqual(['trunk3', 'trunk4', 'trunk6'])
  })

  it('takes the sums of residual blocks, not maps inside them', () => {
    const net = new Net(1)
    let trunk = net.conv('stem', net.x, 4)
    const sums = new Set<string>()
    for (let i = 0; i < 7; i++) {
      trunk = net.b.add(trunk, net.conv(`block${i}b`, net.conv(`block${i}a`, trunk, 6), 4))
      sums.add(trunk.name)
    }
    const model = net.model(net.conv('last', trunk, 2, 1))
    const ends = evenStageEnds(model, findGroups(model))
    expect(ends).toHaveLength(3)
    for (const end of ends) expect(sums).toContain(end)
  })

  it('finds none where there is none', () => {
    const net = new Net(1)
    const model = net.model(net.conv('only', net.x, 4))
    expect(evenStageEnds(model, findGroups(model))).toEqual([])
  })
})

interface Figures {
  /** Layers that read prunable channels. */
  readonly layers: number
  /** By name: [C,H,W], layers before, layers behind. */
  readonly ends: Readonly<Record<string, readonly [readonly number[], number, number]>>
  /** Layers by stage, those of the detector's own loss last. */
  readonly stages: readonly number[]
  /** Values of which each end reaches all. */
  readonly reached: readonly string[]
}

const strides = [8, 16, 32]

const models: Readonly<Record<string, Figures>> = {
  'models/nanodet_m_320.onnx': {
    layers: 47,
    ends: { 528: [[116, 40, 40], 9, 38], 1048: [[116, 20, 20], 23, 23], 846: [[464, 10, 10], 35, 10] },
    stages: [9, 12, 10, 16],
    reached: [...strides.map((s) => `cls_pred_stride_${s}`), ...strides.map((s) => `dis_pred_stride_${s}`)],
  },
  'models/yolox_nano.onnx': {
    layers: 82,
    // The last is the finest map of the neck, which goes on to the coarser ones: the heads of all three scales depend on it.
    ends: { 777: [[64, 52, 52], 15, 67], 861: [[256, 13, 13], 29, 53], 956: [[64, 52, 52], 46, 36] },
    stages: [12, 15, 19, 40],
    // Classes, boxes and objectness by scale, before they are joined.
    reached: ['1045', '1062', '1063', '1087', '1104', '1105', '1129', '1146', '1147'],
  },
  'models/FastestDet.onnx': {
    layers: 41,
    ends: { 'input.136': [[48, 44, 44], 9, 32], 'input.308': [[48, 22, 22], 21, 20], 'input.448': [[96, 11, 11], 31, 10] },
    stages: [9, 10, 8, 14],
    reached: ['758'],
  },
  'models/yolo-fastest-1.1.onnx': {
    layers: 55,
    ends: { 'L29.add': [[8, 40, 40], 14, 41], 'L60.bn': [[24, 20, 20], 28, 27], 'L93.add': [[48, 10, 10], 42, 13] },
    stages: [13, 15, 7, 20],
    reached: ['L120.conv', 'L129.conv'],
  },
  'models/version-RFB-320.onnx': {
    layers: 33,
    // The last misses four layers: heads on finer maps, as in every SSD.
    ends: { 283: [[64, 30, 40], 6, 27], 308: [[48, 30, 40], 16, 16], 400: [[256, 8, 10], 23, 6] },
    stages: [6, 7, 8, 12],
    reached: ['scores', 'boxes'],
  },
}

describe.each(Object.entries(models))('evenStageEnds of %s', (path, figures) => {
  sharedIt(path, 'are maps that all outputs depend on, none of whose stages is empty', (file) => {
    const model = foldConstants(parseModel(readFileSync(file), file))
    const groups = findGroups(model).filter((g) => g.prunable)
    const layers = new Set(groups.flatMap((g) => g.consumers.map((c) => c.node)))
    const ends = evenStageEnds(model, groups)
    const found = ends.map((name) => {
      const end = valueNamed(model.graph, name)
      const before = ancestors(model.graph, [end]).filter((node) => layers.has(node)).length
      const behind = [...layers].filter((node) => dependsOn(model, node.outputs[0]!, end)).length
      for (const output of figures.reached) expect(dependsOn(model, valueNamed(model.graph, output), end), `${output} on ${name}`).toBe(true)
      return [name, [end.shape!.slice(1), before, behind]]
    })
    expect(layers.size).toBe(figures.layers)
    expect(Object.fromEntries(found)).toEqual(figures.ends)
    const stages = stagesOf(model, ends, groups)
    expect(stages.map((s) => s.end)).toEqual([...ends, undefined])
    expect(stages.map((s) => new Set(s.groups.flatMap((g) => g.consumers.map((c) => c.node))).size)).toEqual(figures.stages)
  })
})

function dependsOn(model: Model, value: Value, on: Value): boolean {
  return value !== on && ancestors(model.graph, [value]).includes(on.producer!)
}
