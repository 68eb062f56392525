/** @file Stage ends where no card names them. */
import { describe, expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { evenStageEnds, stagesOf } from '../../src/pruning/stages.ts'
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

  it('finds none where there is none', () => {
    const net = new Net(1)
    const model = net.model(net.conv('only', net.x, 4))
    expect(evenStageEnds(model, findGroups(model))).toEqual([])
  })
})
