/** @file export: files in half precision and in 8 bits, what they cost and score, what is refused. */
import { copyFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { bytesOnDisk, compareOutputs } from '../../src/cli/export-measure.ts'
import { readCard } from '../../src/detection/card.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { f32, scalar } from '../../src/tensor/tensor.ts'
import { Net } from '../passes/nets.ts'
import { exactProducts } from '../support/eight-bit.ts'
import { nmsLike } from '../support/heads.ts'
import { shared, sharedIt } from '../support/shared.ts'
import { cli, cliJson, drawing, filesIn, type Json, put, putModel, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const shipped = join(folder, 'shapes.onnx')
const out = join(folder, 'out.onnx')
/** What docs/export.md gives processors without VNNI. */
const fitting = exactProducts ? [] : ['--weight-bits', '7']
const quick = ['--threads', '1', '--runs', '2', '--warmup', '1']

beforeAll(() => copyFileSync('assets/shapes-detector.onnx', shipped))

interface Row {
  readonly role: string
  readonly file: string
  readonly bytes: number
  readonly medianMs: number
  readonly AP?: number
}

const rowsOf = (json: Json): readonly Row[] => json.models as readonly Row[]

/** Runs, expects exit code 2 and no file; returns the message. */
async function refused(...argv: string[]): Promise<string> {
  const before = filesIn(folder)
  const { code, out: stdout, err } = await cli('export', ...argv)
  expect({ code, stdout, files: filesIn(folder) }, err).toEqual({ code: 2, stdout: '', files: before })
  return err
}

describe('int8', () => {
  let json: Json

  beforeAll(async () => {
    json = await cliJson('export', shipped, '--int8', '--data', 'shapes', '--images', '24', '--limit', '60', ...quick, '--out', out)
  })

  it('the detector of the demo loses next to no AP, and is a third of its size', () => {
    const [float, exported] = rowsOf(json)
    expect([float!.role, exported!.role]).toEqual(['float', 'exported'])
    // Measured: .352 in float and .356 in 8 bits on these sixty images, .368 and .371 on all 200.
    expect(float!.AP! - exported!.AP!).toBeLessThan(0.02)
    expect(float!.AP!).toBeGreaterThan(0.3)
    expect(exported!.bytes / float!.bytes).toBeLessThan(0.35)
    expect(rowsOf(json).map((r) => r.bytes)).toEqual([shipped, out].map((path) => statSync(path).size))
    expect(json).toMatchObject({ written: out, precision: 'int8', measured: { split: 'test', images: 60 }, calibration: { split: 'train', images: 24, range: 'percentile' }, float32: [] })
    expect(json.layers).toHaveLength(23)
  })

  it('the file has its card, is measured as it was, and is not exported or pruned again', async () => {
    const model = await loadModel(nodeStore(), out)
    expect(readCard(model.metadata, out)).toEqual(readCard((await loadModel(nodeStore(), shipped)).metadata, shipped))
    expect((await cliJson('eval', out, '--data', 'shapes', '--limit', '60', '--threads', '1')).AP).toBe(rowsOf(json)[1]!.AP)
    const again = join(folder, 'again.onnx')
    expect(await refused(out, '--fp16', '--out', again)).toMatch(/^espalier: .*out\.onnx: QuantizeLinear "[^"]+": the model is quantized already; export the float model that it was made from\n$/)
    expect(await refused(out, '--int8', '--data', 'shapes', '--out', again)).toContain('quantized already')
  })

  it('layers named stay in float, a pruned model stands beside the whole one, and the seed decides', async () => {
    const layers = json.layers as string[]
    const pruned = await cliJson('export', shipped, '--int8', '--data', 'shapes', '--images', '8', '--limit', '4', '--float', `${layers[0]}, ${layers[3]}`, '--spare', '0', '--beside', out, ...quick, '--out', join(folder, 'part.onnx'))
    expect(rowsOf(pruned).map((r) => r.role)).toEqual(['beside', 'float', 'exported'])
    expect(rowsOf(pruned)[0]!.bytes).toBe(rowsOf(json)[1]!.bytes)
    expect(pruned.float32).toEqual([layers[0], layers[3]].map((node) => ({ node, why: 'as asked' })))
    expect(pruned.layers).toEqual(layers.filter((_, i) => i !== 0 && i !== 3))
    const text = await cli('export', shipped, '--int8', '--data', 'shapes', '--images', '8', '--limit', '4', '--range', 'minmax', ...quick, '--out', join(folder, 'text.onnx'))
    expect(text.code, text.err).toBe(0)
    expect(text.out).toMatch(/model +AP +AP50 +median ms +speed-up +size\n/)
    expect(text.out).toContain('23 layers in 8 bits; ranges by minmax of 8 images of split "train"')
  })

  it('layers that alone harm the outputs more than --spare stay in float, the worst first, and no others', async () => {
    const spared = await cliJson('export', shipped, '--int8', '--data', 'shapes', '--images', '8', '--limit', '4', '--spare', '0.005', ...quick, '--out', join(folder, 'spared.onnx'))
    const kept = spared.float32 as { node: string; why: string }[]
    const harms = kept.map(({ why }) => Number(/^in 8 bits it alone puts the outputs off by ([\d.]+)$/.exec(why)![1]))
    expect(kept.length).toBeGreaterThan(0)
    expect(Math.min(...harms)).toBeGreaterThanOrEqual(0.005)
    expect(harms).toEqual([...harms].sort((a, b) => b - a))
    expect([...kept.map((k) => k.node), ...(spared.layers as string[])].sort()).toEqual([...(json.layers as string[])].sort())
    expect(await refused(shipped, '--int8', '--data', 'shapes', '--images', '4', '--limit', '2', '--spare', '1e-9', '--out', join(folder, 'none.onnx'))).toContain('every layer alone puts the outputs off by more than 1e-9')
  })

  it('images without labels: no AP, but how far the outputs are off', async () => {
    const photos = join(folder, 'photos')
    for (const i of [0, 1, 2]) await put(photos, `${i}.png`, await drawing(i, 'png'))
    await put(photos, 'broken.png', (await drawing(3, 'png')).subarray(0, 400))
    const { code, out: text, err } = await cli('export', shipped, '--int8', '--data', photos, ...quick, '--force', '--out', join(folder, 'photos.onnx'))
    expect(code, err).toBe(0)
    expect(err).toContain(`AP is not measured: ${photos} has no labels`)
    expect(err).toMatch(/skipped: .*broken\.png/)
    expect(text).not.toContain('AP50')
    expect(text).toMatch(/outputs off by \(share of the largest number, on images\): scores 0\.\d+, boxes 0\.\d+/)
    const labelled = await yoloFolder(join(folder, 'gadgets'), ['gadget'], [await drawing(0, 'jpeg')])
    expect((await cli('export', shipped, '--int8', '--data', labelled, ...quick, '--out', join(folder, 'gadgets.onnx'))).err).toContain(`AP is not measured: class "gadget" of ${labelled} is unknown to the model`)
  })

  it('a model of images that is no detector needs to be told what they go through', async () => {
    const net = new Net()
    const features = net.op('GlobalAveragePool', [net.op('Relu', [net.op('Conv', [net.input('image', [1, 3, 32, 32]), net.weights('w', [8, 3, 3, 3]), net.weights('b', [8])])])])
    const path = await putModel(folder, 'classifier.onnx', net.model(17, net.op('Flatten', [features])))
    const target = join(folder, 'classifier.int8.onnx')
    expect(await refused(path, '--int8', '--data', 'shapes', '--out', target)).toContain('no decoder fits its outputs')
    const found = await cliJson('export', path, '--int8', '--data', 'shapes', '--images', '8', '--preprocess', 'rgb /255 stretch', ...fitting, ...quick, '--out', target)
    expect(found.layers).toHaveLength(1)
    expect(found.measured).toBeUndefined()
    expect((found.differences as { relative: number }[])[0]!.relative).toBeLessThan(0.03)
  })
})

describe('fp16', () => {
  it('weights that the file lists among its inputs become constants, which the table tells of', async () => {
    const old = smallDetector()
    old.graph.inputs.push(...old.graph.initializers)
    const target = join(folder, 'constant.onnx')
    const { code, err } = await cli('export', await putModel(folder, 'old-style.onnx', old), '--fp16', ...quick, '--out', target)
    expect(code, err).toBe(0)
    expect((await loadModel(nodeStore(), target)).graph.inputs.map((v) => v.name)).toEqual(['image'])
    expect(err).toContain(`old-style.onnx: ${old.graph.initializers.length} of its weights are inputs too`)
  })

  it('the detector of the demo keeps its AP at half its size, with images and without', async () => {
    const target = join(folder, 'half.onnx')
    const json = await cliJson('export', shipped, '--fp16', '--data', 'shapes', '--images', '4', '--limit', '40', ...quick, '--out', target)
    const [float, exported] = rowsOf(json)
    expect(Math.abs(float!.AP! - exported!.AP!)).toBeLessThan(0.005)
    expect(exported!.bytes / float!.bytes).toBeLessThan(0.52)
    expect(json).toMatchObject({ precision: 'fp16', float32: [], calibration: { split: 'train', images: 4 } })
    expect(json).not.toHaveProperty('layers')
    const plain = await cliJson('export', shipped, '--fp16', ...quick, '--out', target, '--force')
    expect(plain).not.toHaveProperty('calibration')
    expect(rowsOf(plain)[1]!.AP).toBeUndefined()
    for (const { relative } of plain.differences as { relative: number }[]) expect(relative).toBeLessThan(0.01)
    expect(await refused(target, '--fp16', '--out', join(folder, 'twice.onnx'))).toContain('half.onnx: has no float32 weight that can become float16; is it in half precision already?')
  })

  it('any model: says what stays in float32; tells numbers that pass the range', async () => {
    const net = new Net()
    const x = net.input('x', [1, 4])
    const far = net.op('Add', [net.op('MatMul', [x, net.weights('w', [4, 4])], {}, ['product']), net.constant('far', scalar(1e6))], {}, ['sum'])
    const path = await putModel(folder, 'far.onnx', net.model(17, net.op('Relu', [far], {}, ['y'])))
    const { code, out: text, err } = await cli('export', path, '--fp16', ...quick, '--out', join(folder, 'far.fp16.onnx'))
    expect(code, err).toBe(0)
    expect(text).toContain('in float32 stay sum (constant "far" holds 1.00e+6, beyond float16\'s 65504), y ("sum" holds what float16 cannot)')

    const wide = new Net()
    const product = wide.op('MatMul', [wide.op('MatMul', [wide.input('x', [1, 4]), wide.weights('w', [4, 4])]), wide.constant('large', f32(new Float32Array(16).fill(60000), [4, 4]))], {}, ['product'])
    const path2 = await putModel(folder, 'wide.onnx', wide.model(17, wide.op('Mul', [product, wide.op('Relu', [wide.op('MatMul', [wide.graph.inputs[0]!, wide.graph.initializers[0]!])])], {}, ['y'])))
    const json = await cliJson('export', path2, '--fp16', '--float', 'matmul1', ...quick, '--out', join(folder, 'wide.fp16.onnx'))
    expect((json.float32 as { node: string; why: string }[]).map(({ node, why }) => [node, why.replace(/reaches [\d.e+]+/, 'reaches')])).toEqual([
      ['matmul1', 'as asked'], ['product', '"product" reaches, float16 ends at 65504'], ['y', '"product" reaches, float16 ends at 65504'],
    ])
  })

  it('outputs that are not finite are no export', async () => {
    const build = (factor: number) => {
      const net = new Net()
      return net.model(17, net.op('Mul', [net.input('x', [2]), net.constant('c', scalar(factor))], {}, ['y']))
    }
    const feeds = [{ x: f32([1, 0]) }]
    expect(await compareOutputs(build(4), build(5), feeds, { threads: 1 }, 'out.onnx')).toEqual([{ output: 'y', relative: 0.25 }])
    await expect(compareOutputs(build(4), build(Infinity), feeds, { threads: 1 }, 'out.onnx')).rejects.toThrow('output "y" of out.onnx is not finite where the float model\'s is')
  })

  it('weights in a file of their own count in the size', async () => {
    const net = new Net()
    const model = net.model(17, net.op('MatMul', [net.input('x', [1, 50]), net.weights('w', [50, 50])]))
    const whole = await putModel(folder, 'whole.onnx', model)
    expect(await bytesOnDisk(whole, model)).toBe(statSync(whole).size)
    expect(await bytesOnDisk(await put(folder, 'graph-alone.onnx', 'x'.repeat(100)), model)).toBe(100 + 4 * 50 * 50)
  })

  it('a model that ends in NMS', async () => {
    const path = await putModel(folder, 'nms.onnx', nmsLike())
    const json = await cliJson('export', path, '--fp16', ...quick, '--out', join(folder, 'nms.fp16.onnx'))
    expect((json.float32 as { why: string }[]).map((k) => k.why)).toContain('TopK needs float32')
  })
})

describe('refused', () => {
  const target = join(folder, 'refused.onnx')

  it.each<[string[], string]>([
    [[], 'give --fp16 or --int8: each makes a file of its own'],
    [['--fp16', '--int8'], 'give --fp16 or --int8, not both: each makes a file of its own'],
    [['--int8'], '--int8 needs images to find the range of every value; give --data'],
    [['--fp16', '--images', '5'], '--images has no meaning without images; give --data, or leave it out'],
    [['--fp16', '--range', 'minmax'], '--range is an option of --int8; leave it out'],
    [['--int8', '--data', 'shapes', '--weight-bits', '4'], '--weight-bits must be a whole number from 7 and to 8, not "4"'],
    [['--fp16', '--float', 'nothing'], '--float: no node of'],
    [['--int8', '--data', 'shapes', '--calibration-split', 'nowhere'], 'nowhere'],
    [['--fp16', '--beside', target], `${target}: is --beside itself; choose another --out`],
  ])('%j', async (argv, message) => {
    expect(await refused(shipped, ...argv, '--out', target)).toContain(message)
  })

  it('files that are there, or are the model itself; models without a layer', async () => {
    expect(await refused(shipped, '--fp16', '--out', shipped, '--force')).toContain(`${shipped}: is the model itself; choose another --out`)
    const there = await put(folder, 'there.onnx', 'x')
    expect(await refused(shipped, '--fp16', '--out', there)).toContain(`${there}: is there already; give --force to replace it, or choose another name`)
    const net = new Net()
    const none = await putModel(folder, 'none.onnx', net.model(17, net.op('Relu', [net.input('image', [1, 3, 8, 8])])))
    expect(await refused(none, '--int8', '--data', 'shapes', '--preprocess', 'rgb /255 stretch', '--out', target)).toContain(`${none}: no layer of it can compute on 8-bit numbers`)
    expect(await refused(none, '--fp16', '--out', target)).toContain(`${none}: has no float32 weight that can become float16`)
    const other = await putModel(folder, 'other.onnx', smallDetector(['ball', 'box']))
    expect(await refused(shipped, '--fp16', '--data', 'shapes', '--images', '2', '--limit', '2', '--beside', other, '--out', target)).toContain(`${other}: has other classes (ball, box) than the model`)
  })
})

describe('real detectors', () => {
  for (const name of ['nanodet_m_320', 'yolox_nano']) {
    sharedIt(`models/${name}.onnx`, `${name}: both precisions run under strict checks, smaller than the float file`, async (path) => {
      const data = shared('data/voc15')
      const images = ['--data', data ?? 'shapes', '--images', '3', '--limit', '2', ...quick]
      const int8 = await cliJson('export', path, '--int8', '--spare', '0', ...images, '--out', join(folder, `${name}.int8.onnx`))
      const half = await cliJson('export', path, '--fp16', ...images, '--out', join(folder, `${name}.fp16.onnx`))
      const ratio = (json: Json): number => rowsOf(json)[1]!.bytes / rowsOf(json)[0]!.bytes
      expect(ratio(int8)).toBeLessThan(0.36)
      expect(ratio(half)).toBeLessThan(0.53)
      expect({ half: half.float32, int8: int8.float32 }).toEqual({ half: [], int8: [] })
    }, 120_000)
  }
})
