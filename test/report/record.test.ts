/** @file Runs read from their folders, and sorted into methods. */
import { describe, expect, it } from 'vitest'
import { loggedLosses } from '../../src/report/log-losses.ts'
import { readRuns } from '../../src/report/record.ts'
import { spreadOf, variantsOf } from '../../src/report/variants.ts'
import { pruneRecord, storeOf } from './runs.ts'

describe('readRuns', () => {
  it('takes the runs below a folder that is none itself, each once', async () => {
    const store = storeOf({ 'exp/a/lcp-s0': pruneRecord('lcp', 0, 0.3), 'exp/a/lcp-s1': pruneRecord('lcp', 1, 0.3), 'exp/b': pruneRecord('l1', 0, 0.2) }, 'a log\n')
    const runs = await readRuns(store, ['exp', 'exp/b/'])
    expect(runs.map((r) => [r.name, r.path, r.record.method])).toEqual([['a/lcp-s0', 'exp/a/lcp-s0', 'lcp'], ['a/lcp-s1', 'exp/a/lcp-s1', 'lcp'], ['b', 'exp/b', 'l1']])
    expect(runs[0]!.log).toBe('a log\n')
  })

  it('names runs of one name by their paths', async () => {
    const runs = await readRuns(storeOf({ 'x/run': pruneRecord('l1', 0, 0.3), 'y/run': pruneRecord('l1', 1, 0.3), 'y/other': pruneRecord('l1', 2, 0.3) }), ['x/run', 'y/run', 'y/other'])
    expect(runs.map((r) => r.name)).toEqual(['x/run', 'y/run', 'other'])
  })

  it.each([
    ['missing', 'nowhere', /^nowhere: no such folder; name the folder of a run/],
    ['a file', 'runs/a/run.json', /^runs\/a\/run.json: is a file; name the folder/],
    ['no run', 'images', /^images: holds no run.json, nor does a folder in it: .*; name the folder that train/],
    ['broken', 'cut', /^cut\/run.json: is no JSON \(.*\); run again what wrote it/],
    ['of something else', 'other', /^other\/run.json: is not the record of a run: (method|options|versions): .*; name the folder of a run/],
    ['of wrong types', 'odd', /^odd\/run.json: is not the record of a run: after.AP: .*; name the folder of a run/],
  ])('says what is wrong with a folder that is %s', async (_, folder, message) => {
    const store = storeOf({ 'runs/a': pruneRecord('l1', 0, 0.3), cut: '{"method": "lcp",', other: { name: 'not ours' }, odd: pruneRecord('l1', 0, 0.3, { after: { AP: 'high' } }) })
    await store.writeAtomic('images/1.txt', 'no run')
    await expect(readRuns(store, [folder])).rejects.toThrow(message)
  })
})

describe('variantsOf', () => {
  it('are methods, and options that differ within one; seeds and places do not count', async () => {
    const store = storeOf({
      a: pruneRecord('lcp', 0, 0.3), b: pruneRecord('lcp', 1, 0.32), c: pruneRecord('l1', 0, 0.2),
      d: pruneRecord('lcp', 0, 0.3, { options: { method: 'lcp', removeParams: 0.5, seed: 0, out: 'd' } }),
    })
    const variants = variantsOf(await readRuns(store, ['a', 'b', 'c', 'd']))
    expect(variants.map((v) => [v.label, v.runs.map((r) => r.name)])).toEqual([['lcp, removeParams 0.7', ['a', 'b']], ['l1', ['c']], ['lcp, removeParams 0.5', ['d']]])
  })

  it('tell detectors apart', async () => {
    const store = storeOf({ a: pruneRecord('lcp', 0, 0.3), b: pruneRecord('lcp', 0, 0.3, { arch: 'ssd300-resnet18' }) })
    expect(variantsOf(await readRuns(store, ['a', 'b'])).map((v) => v.label)).toEqual(['lcp, ssd-small on data/cells', 'lcp, ssd300-resnet18 on data/cells'])
  })

  it('have a mean and the deviation of a sample', () => {
    expect(spreadOf([0.2, undefined, 0.4, 0.3])).toEqual({ mean: expect.closeTo(0.3, 12), deviation: expect.closeTo(0.1, 12), low: expect.closeTo(0.2, 12), high: expect.closeTo(0.4, 12), count: 3 })
    expect(spreadOf([0.2])).toMatchObject({ deviation: 0, count: 1 })
    expect(spreadOf([undefined])).toBeUndefined()
  })
})

it('loggedLosses reads the steps of each phase', () => {
  const at = '2026-01-01T00:00:00.000Z'
  expect(loggedLosses([
    `${at} prune model.onnx {"data":"x: 1/2 steps, loss 9"}`,
    `${at} stage a: fine-tune: 50 steps`,
    `${at} stage a: fine-tune: 2/50 steps, 1.4 images/s, ETA 4:25, loss 2.591`,
    `${at} stage a: fine-tune: 50/50 steps, 2.6 images/s, ETA 0:00, loss 1.5e-2`,
    `${at} stage a: fine-tune: loss 2.592, detection 2.114`,
    `${at} stage a: update 4 layers: 8/25 steps, 5.8 images/s, ETA 0:23, loss 2.903`,
    `${at} detect: 31/40 images, 6.1 images/s, ETA 0:01`,
  ].join('\n'))).toEqual([{ name: 'stage a: fine-tune', steps: [{ step: 2, loss: 2.591 }, { step: 50, loss: 0.015 }] }])
})
