/** @file inspect: what it tells of channel groups, as JSON and as a table. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { saveModel } from '../../src/onnx/save.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { prunableShare } from '../../src/pruning/share.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { Net } from '../pruning/nets.ts'
import { sharedIt } from '../support/shared.ts'
import { cli, cliJson, putModel, smallDetector, temporaryFolder } from './support.ts'

interface Group {
  readonly id: string
  readonly channels: number
  readonly prunable: boolean
  readonly reason?: string
  readonly producers: readonly string[]
  readonly consumers: readonly string[]
  readonly paramsPerChannel: number
  readonly macsPerChannel: number | null
}

const folder = temporaryFolder()
let model = ''

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

describe('inspect', () => {
  it('names the layers of a group and what one of its channels costs', async () => {
    const json = await cliJson('inspect', model)
    const groups = json.groups as Group[]
    const inner = groups.find((g) => g.id === 'layer1.0.conv1.weight')!
    expect(inner).toMatchObject({ producers: ['layer1.0.conv1'], consumers: ['layer1.0.conv2'], prunable: true })
    const detector = smallDetector()
    const kept = Array.from({ length: inner.channels - 1 }, (_, k) => k)
    const cut = modelCost(applyPlan(detector, makePlan(findGroups(detector), new Map([[inner.id, kept]]), { method: 'hand' })))
    expect(inner.paramsPerChannel).toBe((json.params as number) - cut.params)
    expect(inner.macsPerChannel).toBe((json.macs as number) - cut.macs)
    for (const g of groups) expect(g.producers.length, g.id).toBeGreaterThan(0)
    const { params, prunable, removable } = prunableShare(detector, findGroups(detector))
    expect(json.share).toEqual({ params, prunable, removable })
  })

  it('prints one line a group that can be cut, then those that stay whole with the node that keeps them', async () => {
    const { code, out } = await cli('inspect', model)
    expect(code).toBe(0)
    expect(out).toMatch(/\nlayer1\.0\.conv1\.weight +24 +layer1\.0\.conv1 +layer1\.0\.conv2 +\d+ +[\d.]+ [kM] +inner\n/)
    expect(out).toMatch(/\n8 stay whole\n\ngroup +channels +why\n/)
    expect(out.match(/\nhead\.\S+ +\d+ +Reshape "head/g)).toHaveLength(8)
  })

  it('shortens long names and long lists, and leaves them whole in the JSON', async () => {
    const net = new Net(1, [1, 3, 6, 6])
    const long = '/backbone/stage_with_a_long_name/block_with_a_long_name'
    const parts = Array.from({ length: 5 }, (_, i) => net.conv(`${long}/${i}`, net.x, 8, 1))
    const sum = parts.reduce((a, b) => net.b.add(a, b))
    const path = join(folder, 'long.onnx')
    await saveModel(nodeStore(), path, net.model(net.conv('head', sum, 2, 1)))
    const { out } = await cli('inspect', path)
    const line = out.split('\n').find((text) => text.includes('coupled') && text.includes(' 8 '))!
    expect(line).toMatch(/^\.\.\.\S+\/0\.w +8 +\.\.\.\S+\/0 \+4 +head +/)
    for (const text of out.split('\n').slice(1)) expect(text.length, text).toBeLessThanOrEqual(120)
    const groups = (await cliJson('inspect', path)).groups as Group[]
    expect(groups[0]).toMatchObject({ id: `${long}/0.w`, producers: parts.map((_, i) => `${long}/${i}`), consumers: ['head'] })
  })

  it('a model of which nothing can be cut', async () => {
    const net = new Net(2, [1, 3, 6, 6])
    const path = await putModel(folder, 'whole.onnx', net.model(net.conv('head', net.x, 2, 1)))
    expect((await cli('inspect', path)).out).toMatch(/\n0 of 1 channel groups can be cut\n\n1 stay whole\n\n.*\n.*\nhead\.w +2 {2}"head", which Conv "head" makes, is an output of the model\n\n0\.0% of the 6 kernel weights lie in groups that can be cut; 0\.0% would go if each group kept one channel\n$/)
  })

  for (const name of ['FastestDet', 'mobilenetv1_0.25_imagenet_bn', 'nanodet_m_320', 'version-RFB-320', 'yolo-fastest-1.1', 'yolox_nano']) {
    sharedIt(`models/${name}.onnx`, `${name}: lines fit a screen, every whole group names a node, costs are counted`, async (path) => {
      const { code, out } = await cli('inspect', path)
      expect(code).toBe(0)
      for (const text of out.split('\n')) expect(text.length, text).toBeLessThanOrEqual(125)
      const groups = (await cliJson('inspect', path)).groups as Group[]
      for (const g of groups.filter((found) => !found.prunable)) expect(g.reason).toMatch(/[A-Z]\w+ "[^"]+"/)
      for (const g of groups) expect([g.paramsPerChannel > 0, g.macsPerChannel! > 0], g.id).toEqual([true, true])
    })
  }
})
