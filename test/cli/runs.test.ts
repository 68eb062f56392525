/** @file Commands that write a run: train, finetune, prune, replay. Few images, random weights. */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { setInitializer } from '../../src/ir/edit.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { zeros } from '../../src/tensor/tensor.ts'
import { cli, cliJson, drawing, filesIn, put, putModel, readJson, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const few = ['--data', 'shapes', '--limit', '8', '--threads', '1']
let model = ''

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

describe('train and finetune', () => {
  it('write the model, a record of the run and a log; the model needs no options', async () => {
    const run = join(folder, 'trained')
    const json = await cliJson('train', '--arch', 'ssd-small', ...few, '--epochs', '2', '--seed', '3', '--out', run)
    expect(filesIn(run)).toEqual(['detections.json.gz', 'log.txt', 'model.onnx', 'run.json'])
    expect(json).toMatchObject({ images: 8, skipped: 0, passes: 16, epochs: [{ epoch: 1 }, { epoch: 2 }] })
    const record = readJson(join(run, 'run.json'))
    expect(record).toMatchObject({ ...json, arch: 'ssd-small', data: 'shapes', seed: 3, rate: 0.01, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4 }, options: { epochs: 2, batch: 8, augment: 'light' }, versions: { espalier: '0.1.0', node: process.versions.node } })
    // More than the runtime's library alone, no more than the machine has.
    expect(record.peakMB).toBeGreaterThan(60)
    expect(record.peakMB).toBeLessThan(totalmem() / 1e6)
    const log = readFileSync(join(run, 'log.txt'), 'utf8').trimEnd().split('\n')
    for (const line of log) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /)
    expect(log.some((line) => line.includes('epoch 2/2: classification'))).toBe(true)
    expect(await cliJson('eval', join(run, 'model.onnx'), ...few)).toMatchObject({ AP: json.AP, AP50: json.AP50 })

    const tuned = await cliJson('finetune', join(run, 'model.onnx'), ...few, '--epochs', '1', '--optimizer', 'adam', '--out', join(folder, 'tuned'))
    expect(tuned).toMatchObject({ before: { AP: json.AP }, passes: 8, bestEpoch: 1 })
    expect(readJson(join(folder, 'tuned/run.json'))).toMatchObject({ arch: 'ssd-small', model: join(run, 'model.onnx'), rate: 0.002, optimizer: { type: 'adam', relative: true, clipNorm: 10 } })

    const again = await cli('train', '--arch', 'ssd-small', ...few, '--out', run)
    expect(again.code).toBe(2)
    expect(again.err).toContain(`${run}: holds a run already; give --force to replace it, or choose another folder`)
  })

  it('take a classifier\'s weights over', async () => {
    const classifier = smallDetector(['only'])
    for (const v of classifier.graph.initializers) if (v.name === 'stem.conv1.weight') setInitializer(v, zeros('float32', v.initializer!.dims))
    for (const v of classifier.graph.initializers) v.name = `backbone.${v.name}`
    const weights = await putModel(folder, 'classifier.onnx', classifier)
    const run = join(folder, 'from-classifier')
    const { code, err } = await cli('train', '--arch', 'ssd-small', ...few, '--epochs', '1', '--lr', '1e-9', '--weights', weights, '--out', run)
    expect(code).toBe(0)
    expect(err).toMatch(/classifier\.onnx: \d+ weights taken over/)
    expect(err).toContain('"head.0.scores.weight" is [24,48,3,3], "backbone.head.0.scores.weight"')
    const stem = (await loadModel(nodeStore(), join(run, 'model.onnx'))).graph.initializers.find((v) => v.name === 'stem.conv1.weight')!
    expect(Math.max(...Array.from(stem.initializer!.data as Float32Array, Math.abs))).toBeLessThan(1e-6)
    expect(readFileSync(join(run, 'log.txt'), 'utf8')).toContain('weights: stem.conv1.weight <- backbone.stem.conv1.weight')
  })
})

describe('train --like', () => {
  it('trains the shape of a pruned file from fresh weights', async () => {
    const pruned = join(folder, 'shape/pruned.onnx')
    await cliJson('prune', model, '--method', 'l1', '--remove-params', '0.5', '--out', join(folder, 'shape'))
    const run = join(folder, 'like')
    const json = await cliJson('train', '--like', pruned, ...few, '--epochs', '1', '--lr', '1e-9', '--seed', '2', '--out', run)
    const shapesOf = async (path: string) => (await loadModel(nodeStore(), path)).graph.initializers.map((v) => [v.name, v.initializer!.dims])
    expect(await shapesOf(join(run, 'model.onnx'))).toEqual(await shapesOf(pruned))
    expect(readJson(join(run, 'run.json'))).toMatchObject({ method: 'train', arch: 'ssd-small', params: json.params, like: pruned, modelSha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
    const weightOf = async (path: string) => (await loadModel(nodeStore(), path)).graph.initializers.find((v) => v.name === 'layer2.0.conv1.weight')!.initializer!.data as Float32Array
    expect((await weightOf(join(run, 'model.onnx'))).some((v) => v !== 0)).toBe(true)
    expect(await weightOf(join(run, 'model.onnx'))).not.toEqual(await weightOf(pruned))
    const refused = async (...argv: string[]) => (await cli('train', ...argv, ...few, '--out', join(folder, 'no'))).err
    expect(await refused()).toContain('neither --arch nor --like is given; give one of them, for instance --arch ')
    expect(await refused('--like', pruned, '--arch', 'ssd-small')).toContain('--arch and --like are both given; give one of them')
    expect(await refused('--like', pruned, '--size', '160')).toContain('--size has no meaning with --like')
  })
})

describe('--keep last', () => {
  it('does not look at val, which then may be what is measured; training is the same', async () => {
    const drawings = await Promise.all([0, 1, 2, 3].map((i) => drawing(i, 'jpeg')))
    const data = await yoloFolder(join(folder, 'kept'), shapesClasses, { train: drawings, val: drawings.slice(0, 2) })
    const trained = async (keep: string) => {
      const { code, out, err } = await cli('train', '--arch', 'ssd-small', '--data', data, '--batch', '2', '--epochs', '2', '--keep', keep, '--threads', '1', '--json', '--out', join(folder, `keep-${keep}`))
      expect(code, err).toBe(0)
      return { err, json: JSON.parse(out) as { bestEpoch: number; images: number; epochs: { classification: number; AP?: number }[] } }
    }
    const [best, last] = [await trained('best'), await trained('last')]
    const note = 'measured on split "val", by which the best epoch is chosen too'
    expect(best.err).toContain(note)
    expect(last.err).not.toContain(note)
    expect(best.json.epochs.every((e) => e.AP !== undefined)).toBe(true)
    expect(last.json.epochs.some((e) => e.AP !== undefined)).toBe(false)
    expect(last.json).toMatchObject({ bestEpoch: 2, images: 2, epochs: best.json.epochs.map(({ classification }) => ({ classification })) })
    const pruned = await cli('prune', join(folder, 'keep-last/model.onnx'), '--data', data, '--method', 'l1', '--remove-params', '0.3', '--batch', '2', '--finetune-epochs', '2', '--finetune-keep', 'last', '--threads', '1', '--out', join(folder, 'keep-pruned'))
    expect(pruned.code, pruned.err).toBe(0)
    expect(pruned.err).not.toContain(note)
    const record = readJson(join(folder, 'keep-pruned/run.json')) as { bestEpoch: number; epochs: { AP?: number }[]; finetune: object; waitedForFirstBatch: number; waitedAfterFirstBatch: number; waitedSeconds: number }
    expect(record.waitedForFirstBatch).toBeGreaterThan(0)
    expect(record.waitedSeconds).toBeCloseTo(record.waitedForFirstBatch + record.waitedAfterFirstBatch)
    expect(record).toMatchObject({ bestEpoch: 2, options: { finetuneKeep: 'last' }, finetune: { rate: 0.02, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: 10 } } })
    expect(record.epochs.some((e) => e.AP !== undefined)).toBe(false)
  })
})

describe('images that do not decode', () => {
  it('are told, logged and counted, whichever split they are in', async () => {
    const [good, cut, text] = [await drawing(0, 'jpeg'), (await drawing(1, 'jpeg')).subarray(0, 1000), new TextEncoder().encode('no image')]
    const data = await yoloFolder(join(folder, 'broken'), shapesClasses, { train: [good, good, cut, text], val: [cut, good], test: [good, cut] })
    const lost = ['train/2.jpg', 'train/3.jpg', 'val/0.jpg', 'test/1.jpg'].map((name) => join(data, 'images', name)).sort()
    const short = ['--data', data, '--batch', '2', '--threads', '1', '--out']
    for (const argv of [
      ['train', '--arch', 'ssd-small', '--epochs', '1', ...short, join(folder, 'broken-train')],
      ['finetune', model, '--epochs', '1', ...short, join(folder, 'broken-finetune')],
      ['prune', model, '--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '1', ...short, join(folder, 'broken-prune')],
    ]) {
      const { code, out, err } = await cli(...argv, '--json')
      expect(code, err).toBe(0)
      const record = readJson(join(argv.at(-1)!, 'run.json'))
      for (const json of [JSON.parse(out) as typeof record, record]) {
        expect(json.skipped).toBe(4)
        expect((json.skippedFiles as { path: string }[]).map((s) => s.path).sort()).toEqual(lost)
      }
      const log = readFileSync(join(argv.at(-1)!, 'log.txt'), 'utf8')
      for (const path of lost) for (const text of [err, log]) expect(text).toContain(`skipped: ${path}: is no readable image`)
    }
  })
})

describe('prune', () => {
  it('cuts, trains, certifies, and its plan replays the same surgery', async () => {
    const run = join(folder, 'l1')
    const json = await cliJson('prune', model, ...few, '--method', 'l1', '--remove-params', '0.5', '--finetune-epochs', '1', '--seed', '4', '--out', run)
    expect(filesIn(run)).toEqual(['detections.json.gz', 'log.txt', 'plan.json', 'pruned.onnx', 'run.json'])
    const { before, cut, after } = json as { before: { params: number }; cut: { params: number }; after: { params: number } }
    expect(after.params).toBe(cut.params)
    expect(after.params).toBeLessThanOrEqual(before.params / 2)
    expect(json).toMatchObject({
      before: { images: 8, AP: expect.any(Number), perClass: { disc: { AP: expect.any(Number) } } },
      passes: { selection: 0, finetune: 8, total: 8 },
      certificate: { ok: true, inputs: 4, images: 2, sameWeights: false, outputs: [{ name: 'scores' }, { name: 'boxes' }] },
    })
    expect((json.certificate as { maxRelError: number }).maxRelError).toBeLessThan(1e-4)
    const record = readJson(join(run, 'run.json'))
    expect(record).toMatchObject({ ...json, method: 'l1', arch: 'ssd-small', data: 'shapes', seed: 4, options: { removeParams: 0.5, round: 8 } })
    expect(record.versions).toMatchObject({ runtime: expect.stringContaining('onnxruntime-node') })
    expect(readJson(join(run, 'plan.json'))).toMatchObject({ version: 1, method: 'l1', seed: 4, model: { file: 'small.onnx', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } })

    const replayed = await cliJson('prune', model, '--plan', join(run, 'plan.json'), '--out', join(folder, 'replayed'))
    expect(replayed).toMatchObject({ before: { params: before.params }, after: { params: after.params }, certificate: { ok: true, sameWeights: true }, widths: record.widths })
    const shapesOf = async (path: string) => (await loadModel(nodeStore(), path)).graph.initializers.map((v) => [v.name, v.initializer!.dims])
    expect(await shapesOf(join(folder, 'replayed/pruned.onnx'))).toEqual(await shapesOf(join(run, 'pruned.onnx')))
    expect(await cliJson('eval', join(run, 'pruned.onnx'), ...few)).toMatchObject({ AP: (after as { AP?: number }).AP })
  })

  it('--dry-run writes the plan with a record, and no model', async () => {
    const out = join(folder, 'dry')
    const json = await cliJson('prune', model, ...few, '--method', 'random', '--remove-macs', '0.5', '--dry-run', '--out', out)
    expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'run.json'])
    expect(readJson(join(out, 'run.json'))).toMatchObject({ ...json, method: 'random', arch: 'ssd-small', data: 'shapes', options: { dryRun: true } })
    const { before, after, widths } = json as { before: { macs: number }; after: { macs: number }; widths: Record<string, { before: number; after: number }> }
    expect(after.macs).toBeLessThanOrEqual(before.macs / 2)
    expect(widths['stem.conv1.weight']!.before).toBe(16)
    expect(widths['layer4.0.conv1.weight']!.after).toBeLessThan(96)
    expect((await cliJson('prune', model, '--plan', join(out, 'plan.json'), '--out', join(folder, 'dry-replayed'))).after).toEqual(after)
    // With --force, the model of the former run (and its data, where it was large) does not stay beside a plan that is not its own.
    await put(folder, 'dry-replayed/pruned.onnx.data', 'weights')
    await cliJson('prune', model, ...few, '--method', 'l1', '--remove-macs', '0.3', '--dry-run', '--force', '--out', join(folder, 'dry-replayed'))
    expect(filesIn(join(folder, 'dry-replayed'))).toEqual(['log.txt', 'plan.json', 'run.json'])
  })

  it('takes more from groups that the outputs can spare, the same from each whatever the method', async () => {
    const plans = [] as Record<string, { before: number; after: number }>[]
    for (const method of ['l1', 'random']) {
      const json = await cliJson('prune', model, ...few, '--method', method, '--remove-params', '0.4', '--widths', 'sensitive', '--width-images', '4', '--dry-run', '--out', join(folder, `sensitive-${method}`))
      const { before, after, widths } = json as unknown as { before: { params: number }; after: { params: number }; widths: Record<string, { before: number; after: number }> }
      expect(after.params).toBeLessThanOrEqual(0.6 * before.params)
      plans.push(widths)
    }
    expect(plans[1]).toEqual(plans[0])
    const kept = Object.values(plans[0]!).map(({ before, after }) => after / before)
    expect(Math.max(...kept) - Math.min(...kept)).toBeGreaterThan(0.4)
    expect(Math.min(...kept)).toBeLessThan(0.5)
    const limited = await cliJson('prune', model, ...few, '--method', 'l1', '--remove-params', '0.3', '--widths', 'sensitive', '--width-images', '4', '--width-limit', '0.5', '--dry-run', '--out', join(folder, 'limited'))
    expect(Math.min(...Object.values(limited.widths as typeof plans[0]).map(({ before, after }) => after / before))).toBeGreaterThanOrEqual(0.5)
  })

  it('chooses by lcp', async () => {
    const out = join(folder, 'lcp')
    const json = await cliJson('prune', model, ...few, '--remove-params', '0.4', '--batch', '4', '--images', '4', '--stages', 'layer2.0.out, layer4.0.out', '--update-epochs', '0', '--boxes', '8', '--dry-run', '--out', out)
    // Two stage ends of the three that the card names, and the detector's own loss; 2 epochs of 8 images each.
    expect(json).toMatchObject({ passes: { selection: 12, stage: 48, update: 0 } })
    expect((readJson(join(out, 'run.json')).stages as { end: string }[]).map((s) => s.end)).toEqual(['layer2.0.out', 'layer4.0.out', 'outputs'])
    expect(readJson(join(out, 'plan.json'))).toMatchObject({ method: 'lcp' })
  })

  it('follows the unpruned detector in place of labels, and measures statistics anew', async () => {
    const out = join(folder, 'taught')
    const json = await cliJson('prune', model, ...few, '--method', 'l1', '--remove-params', '0.4', '--finetune-epochs', '2', '--follow', 'teacher', '--recalibrate', '4', '--finetune-batch', '4', '--out', out)
    expect(json).toMatchObject({ passes: { finetune: 16, total: 16 }, certificate: { ok: true, sameWeights: false } })
    const { epochs, options } = readJson(join(out, 'run.json')) as unknown as { epochs: { classification: number; localization: number }[]; options: Record<string, unknown> }
    expect(options).toMatchObject({ follow: 'teacher', recalibrate: 4, background: 0.25, hintWeight: 10 })
    // The teacher's loss, a divergence from scores of random weights, is far below that of labels (a multibox loss of about 10).
    for (const e of epochs) expect(e.classification + e.localization).toBeLessThan(5)
    expect(readFileSync(join(out, 'log.txt'), 'utf8')).toContain('weights are fitted on 4 images')
    const wrong = await cli('prune', model, ...few, '--remove-params', '0.4', '--follow', 'nobody', '--out', join(folder, 'nobody'))
    expect(wrong.code).toBe(2)
    expect(wrong.err).toContain('labels, teacher')
  })

  it('the same seed gives the same plan', async () => {
    const plans = []
    for (const name of ['one', 'two']) {
      await cliJson('prune', model, ...few, '--method', 'random', '--remove-params', '0.5', '--seed', '9', '--dry-run', '--out', join(folder, name))
      plans.push(readJson(join(folder, name, 'plan.json')))
    }
    expect(plans[0]).toEqual(plans[1])
  })
})
