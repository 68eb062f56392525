/** @file score, inspect, bench, eval and predict on small models and images. */
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { decodeImage } from '../../src/data/image-node.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { shared, sharedIt } from '../support/shared.ts'
import { cli, cliJson, drawing, filesIn, put, putModel, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const twelve = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl']
let model = ''

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

describe('score', () => {
  sharedIt('oracles/coco/instances_val2014_100.json', 'the numbers of pycocotools', async (path) => {
    const json = await cliJson('score', path, `${dirname(path)}/instances_val2014_fakebbox100_results.json`)
    expect(twelve.map((name) => json[name])).toEqual([0.504581, 0.696973, 0.572982, 0.585626, 0.5194, 0.501398, 0.386813, 0.59368, 0.595353, 0.639811, 0.566421, 0.564291].map((v) => expect.closeTo(v, 5)))
    expect(json.perClass).toMatchObject({ person: { AP: expect.closeTo(0.532606, 5) } })
  })

  it('a hand-made case, as text', async () => {
    const truth = { images: [{ id: 1 }], categories: [{ id: 7, name: 'cat' }], annotations: [{ image_id: 1, category_id: 7, bbox: [10, 10, 50, 50] }] }
    const results = [{ image_id: 1, category_id: 7, bbox: [10, 10, 50, 50], score: 0.9 }]
    const files = [await put(folder, 'gt.json', JSON.stringify(truth)), await put(folder, 'dt.json', JSON.stringify(results))]
    const { code, out } = await cli('score', ...files)
    expect(code).toBe(0)
    expect(out).toMatch(/^ +AP +AP50 .*\n.*\nall +1\.000 +1\.000 +1\.000 +- +1\.000 +-/)
  })

  it('the types of errors: a box of half the height, and an object that nothing points at', async () => {
    const annotations = [{ image_id: 1, category_id: 7, bbox: [10, 10, 50, 50] }, { image_id: 1, category_id: 7, bbox: [100, 10, 50, 50] }, { image_id: 1, category_id: 7, bbox: [200, 10, 50, 50] }]
    const results = [{ image_id: 1, category_id: 7, bbox: [10, 10, 50, 50], score: 0.9 }, { image_id: 1, category_id: 7, bbox: [100, 10, 50, 20], score: 0.8 }]
    const files = [await put(folder, 'gt3.json', JSON.stringify({ images: [{ id: 1 }], categories: [{ id: 7, name: 'cat' }], annotations })), await put(folder, 'dt3.json', JSON.stringify(results))]
    const { errorTypes } = await cliJson('score', ...files)
    expect(errorTypes).toMatchObject({
      AP50: expect.closeTo(34 / 101, 12),
      dAP: { localization: expect.closeTo(33 / 101, 12), missed: expect.closeTo(17 / 101, 12), classification: 0, both: 0, duplicate: 0, background: 0 },
      count: { localization: 1, missed: 1, classification: 0, both: 0, duplicate: 0, background: 0 },
      falsePositive: 0,
      falseNegative: expect.closeTo(67 / 101, 12),
    })
    expect((await cli('score', ...files)).out).toMatch(/localization +0\.327 +1\n/)
  })
})

describe('inspect', () => {
  it('tells cost, ports, groups and the card', async () => {
    const json = await cliJson('inspect', model)
    expect(json).toMatchObject({
      opset: 17,
      inputs: [{ name: 'image', dtype: 'float32', shape: ['N', 3, 160, 160] }],
      outputs: [{ name: 'scores', dtype: 'float32' }, { name: 'boxes', dtype: 'float32' }],
      card: { architecture: 'ssd-small', classes: shapesClasses },
    })
    // The parameters of Conv, BatchNormalization and biases, counted from the initializers.
    const counted = smallDetector().graph.initializers.filter((v) => v.initializer!.dtype === 'float32').reduce((n, v) => n + v.initializer!.data.length, 0)
    expect(json.params).toBe(counted)
    const groups = json.groups as { id: string; channels: number; prunable: boolean; reason?: string; members: unknown[] }[]
    expect(groups.find((g) => g.id === 'layer1.0.conv1.weight')).toMatchObject({ channels: 24, prunable: true, coupled: false })
    expect(groups.find((g) => g.id === 'layer1.0.conv1.weight')!.members).toContainEqual({ value: 'layer1.0.conv2.weight', axis: 1, role: 'consumes', perUnit: 1 })
    const whole = groups.filter((g) => !g.prunable)
    expect(whole).toHaveLength(8)
    for (const g of whole) expect(g.reason).toMatch(/Reshape "head/)
  })

  sharedIt('models/nanodet_m_320.onnx', 'needs no card', async (path) => {
    const json = await cliJson('inspect', path)
    expect(json.card).toBeUndefined()
    expect((json.groups as { prunable: boolean }[]).some((g) => g.prunable)).toBe(true)
    expect(json.params).toBeGreaterThan(5e5)
  })
})

describe('bench', () => {
  it('compares two models', async () => {
    const json = await cliJson('bench', model, model, '--runs', '4', '--warmup', '1', '--threads', '1')
    const [a, b] = json.models as { file: string; medianMs: number; minMs: number; macs: number; runs: number }[]
    expect(a).toMatchObject({ file: model, runs: 4 })
    expect(a!.minMs).toBeLessThanOrEqual(a!.medianMs)
    expect(json.ratio).toBeCloseTo(a!.medianMs / b!.medianMs, 10)
    expect(json.macsRatio).toBe(1)
    expect(json.efficiency).toBeCloseTo(json.ratio as number, 10)
    expect(json.machine).toMatchObject({ threads: 1, runtime: expect.stringMatching(/^onnxruntime-node \d/) })
  })

  it('tells node by node where the second one loses speed', async () => {
    const json = await cliJson('bench', model, model, '--runs', '2', '--warmup', '1', '--threads', '1', '--layers')
    const losses = json.losses as { left: number; nodes: { name: string; work: string; workBefore: number; workAfter: number }[] }
    expect(losses.left).toBe(1)
    const multiply = losses.nodes.filter((n) => n.work === 'macs')
    // Every convolution is among them, with its own multiply-accumulates.
    expect(multiply.map((n) => n.name).sort()).toEqual(smallDetector().graph.nodes.filter((n) => n.opType === 'Conv').map((n) => n.outputs[0]!.name).sort())
    expect(multiply.reduce((sum, n) => sum + n.workAfter, 0)).toBe((json.models as { macs: number }[])[1]!.macs)
    const { code, out } = await cli('bench', model, model, '--runs', '2', '--warmup', '1', '--threads', '1', '--layers')
    expect(code).toBe(0)
    expect(out).toMatch(/100\.0% of the multiply-accumulates are left[^]*slower at their work[^]*node +ran as +ms before/)
  })

  it('refuses --layers for one model, or for another engine', async () => {
    expect(await cli('bench', model, '--layers')).toMatchObject({ code: 2, err: expect.stringContaining('--layers compares two models') })
    expect(await cli('bench', model, model, '--layers', '--ep', 'wasm')).toMatchObject({ code: 2, err: expect.stringContaining('not of "wasm"') })
  })

  it('says so where only one of two models may have its weights replaced', async () => {
    const old = smallDetector()
    old.graph.inputs.push(...old.graph.initializers)
    const file = await putModel(folder, 'old.onnx', old)
    const quick = ['--runs', '1', '--warmup', '0'] as const
    expect((await cli('bench', file, model, ...quick)).err).toContain(`${file}: ${old.graph.initializers.length} of its weights are inputs too`)
    expect((await cli('bench', file, file, ...quick)).err).not.toContain('inputs too')
    const exported = await cli('export', file, '--fp16', '--beside', model, '--out', join(folder, 'old.half.onnx'), ...quick)
    expect(exported.err).toContain(`${file}: ${old.graph.initializers.length} of its weights are inputs too, so the runtime cannot fold or rearrange them; in another model they are constants`)
    expect((await cli('inspect', file)).out).toContain(`${old.graph.initializers.length} weights are inputs too`)
  })

  it('measures one alone', async () => {
    const json = await cliJson('bench', model, '--runs', '1', '--warmup', '0', '--batch', '2')
    expect(json.models).toHaveLength(1)
    expect(json).not.toHaveProperty('ratio')
  })
})

describe('eval', () => {
  it('measures the first images of the built-in data', async () => {
    const json = await cliJson('eval', model, '--data', 'shapes', '--limit', '3')
    expect(json).toMatchObject({ images: 3, skipped: 0, skippedFiles: [], split: 'test' })
    for (const name of twelve) expect(json[name]).toBeTypeOf('number')
    expect(Object.keys(json.perClass as object)).toEqual([...shapesClasses])
  })

  it('names, skips and counts images that do not decode', async () => {
    const data = await yoloFolder(join(folder, 'broken'), shapesClasses, [await drawing(0, 'jpeg'), (await drawing(1, 'jpeg')).subarray(0, 1000)])
    const { code, out, err } = await cli('eval', model, '--data', data, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ images: 1, skipped: 1, split: 'all', skippedFiles: [{ path: join(data, 'images/1.jpg') }] })
    expect(err).toContain(`skipped: ${join(data, 'images/1.jpg')}: is no readable image`)
  })

  it('counts images whose header cannot be read', async () => {
    const data = await yoloFolder(join(folder, 'headless'), shapesClasses, [await drawing(0, 'jpeg'), new TextEncoder().encode('no image')])
    const { out, err } = await cli('eval', model, '--data', data, '--json')
    expect(JSON.parse(out)).toMatchObject({ images: 1, skipped: 1, skippedFiles: [{ path: join(data, 'images/1.jpg') }] })
    expect(err.match(/1\.jpg/g)).toHaveLength(1)
  })

  it('takes all splits of the built-in data together', async () => {
    expect(await cliJson('eval', model, '--data', 'shapes', '--split', 'all', '--limit', '2')).toMatchObject({ images: 2, split: 'all' })
  })

  it('with --quiet, stderr stays empty', async () => {
    const { err } = await cli('eval', model, '--data', 'shapes', '--limit', '1', '--quiet')
    expect(err).toBe('')
  })
})

describe('predict', () => {
  it('draws and lists what it finds, and skips what is no image', async () => {
    const files = [await put(folder, 'in/a.png', await drawing(0, 'png')), await put(folder, 'other/a.jpg', await drawing(1, 'jpeg')), await put(folder, 'in/no.jpg', 'no image')]
    const out = join(folder, 'drawn')
    const json = await cliJson('predict', model, ...files, '--out', out, '--threshold', '0')
    expect(filesIn(out)).toEqual(['a.jpg', 'a.png'])
    expect(json).toMatchObject({ skipped: 1, skippedFiles: [{ path: files[2] }] })
    const images = json.images as { file: string; detections: { box: number[]; label: string; score: number }[] }[]
    expect(images.map((i) => i.file)).toEqual(files.slice(0, 2))
    const [best] = images[0]!.detections
    expect(shapesClasses).toContain(best!.label)
    expect(best!.box).toHaveLength(4)
    const [before, after] = [await decodeImage(await nodeStore().read(files[0]!)), await decodeImage(await nodeStore().read(join(out, 'a.png')))]
    expect([after.width, after.height]).toEqual([before.width, before.height])
    expect(after.data.some((v, i) => v !== before.data[i])).toBe(true)
  })

  it('never draws over an input', async () => {
    const file = await put(folder, 'own/a.png', await drawing(0, 'png'))
    const { code, err } = await cli('predict', model, file, '--out', join(folder, 'own'))
    expect(code).toBe(2)
    expect(err).toContain('would overwrite an input image; choose another --out')
  })
})

describe.skipIf(shared('data/coco128') === undefined)('real data', () => {
  it('a class that the model lacks is named', async () => {
    const { code, err } = await cli('eval', model, '--data', shared('data/coco128')!, '--limit', '2')
    expect(code).toBe(2)
    expect(err).toMatch(/class ".+" \(in .+\) is unknown to the model; its classes are disc/)
  })
})
