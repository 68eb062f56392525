/** @file Bad input: the message names file and remedy, the exit code is 2, nothing is written. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { saveModel, serializeModel } from '../../src/onnx/save.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { cardKey } from '../../src/detection/card.ts'
import { cli, cliJson, drawing, filesIn, put, putModel, shapesClasses, smallDetector, temporaryFolder, withOperator, yoloFolder } from './support.ts'

const folder = temporaryFolder()
let model = ''

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

/** Runs, expects exit code 2 and an empty output folder; returns the message. */
async function refused(...argv: string[]): Promise<string> {
  const out = join(folder, 'out')
  const { code, out: stdout, err } = await cli(...argv, ...(['eval', 'inspect', 'bench'].includes(argv[0]!) ? [] : ['--out', out]))
  expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 2, stdout: '', files: [] })
  return err
}

describe('models', () => {
  it.each(['inspect', 'bench'])('%s: files that are no model', async (command) => {
    const text = await put(folder, 'text.onnx', 'this is no model')
    expect(await refused(command, text)).toBe(`espalier: ${text}: is not an ONNX file; export the model to ONNX first\n`)
    const empty = await put(folder, 'empty.onnx', '')
    expect(await refused(command, empty)).toContain(`${empty}: is empty; download or export it again`)
  })

  it('a truncated file', async () => {
    const cut = await put(folder, 'cut.onnx', serializeModel(smallDetector()).subarray(0, 100_000))
    expect(await refused('eval', cut, '--data', 'shapes')).toMatch(/^espalier: .*cut\.onnx: .*(truncated|not an ONNX).*export/)
  })

  it('external data that is not there', async () => {
    const path = join(folder, 'external.onnx')
    await saveModel(nodeStore(), path, smallDetector(), { externalData: true })
    await nodeStore().remove(`${path}.data`)
    expect(await refused('eval', path, '--data', 'shapes')).toMatch(/external\.onnx: initializer ".+": its data file "external\.onnx\.data" is missing; put it beside the model/)
  })

  it('a model without a card', async () => {
    const bare = smallDetector()
    bare.metadata.clear()
    const path = await putModel(folder, 'bare.onnx', bare)
    expect(await refused('eval', path, '--data', 'shapes')).toContain(`${path}: has no detector card`)
  })

  it('a file that is missing, and a folder in its place', async () => {
    expect(await refused('eval', join(folder, 'none.onnx'), '--data', 'shapes')).toContain('none.onnx: no such file; check the path')
    expect(await refused('inspect', folder)).toContain('is a folder, a file was wanted')
  })
})

describe('operators that are not known', () => {
  const unknown = /RandomNormalLike/
  let random = ''
  let blind = ''

  beforeAll(async () => {
    random = await putModel(folder, 'random.onnx', withOperator('RandomNormalLike'))
    const model = withOperator('RandomNormalLike')
    for (const node of model.graph.nodes) for (const v of node.outputs) if (v && !model.graph.outputs.includes(v)) v.shape = undefined
    blind = await putModel(folder, 'blind.onnx', model)
  })

  it('inspect counts by the shapes that the file states, and tells what it cannot count', async () => {
    const plain = await cliJson('inspect', model)
    expect(await cliJson('inspect', random)).toMatchObject({ params: plain.params, macs: plain.macs })
    const { code, out, err } = await cli('inspect', blind, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ params: plain.params, macs: null })
    expect(err).toMatch(/blind\.onnx: the multiply-accumulates of Conv ".+" cannot be counted: .* RandomNormalLike "layer1\.0\.out", on which it depends, is an operator that is not known/)
  })

  it('training through one is refused before anything is written', async () => {
    const budget = ['--data', 'shapes', '--limit', '8', '--remove-params', '0.3']
    for (const refusal of [
      await refused('finetune', random, '--data', 'shapes', '--limit', '8'),
      await refused('prune', random, ...budget),
      await refused('prune', random, ...budget, '--dry-run'),
    ]) {
      expect(refusal).toMatch(unknown)
      expect(refusal).toContain('layer1.0.out')
    }
    expect(await refused('prune', blind, ...budget, '--method', 'l1')).toMatch(/blind\.onnx: the multiply-accumulates .* cannot be counted/)
  })

  it('a model that the runtime refuses is named with the node', async () => {
    const gadget = await putModel(folder, 'gadget.onnx', withOperator('Gadget', 'acme'))
    const image = await put(folder, 'gadget.png', await drawing(0, 'png'))
    for (const argv of [['eval', gadget, '--data', 'shapes', '--limit', '1'], ['bench', gadget], ['predict', gadget, image]]) {
      expect(await refused(...argv)).toMatch(/^espalier: .*gadget\.onnx: the runtime refuses node "layer1\.0\.out" \(.*acme/m)
    }
  })
})

describe('cards of another model', () => {
  it.each([['decoder', /names the output "nowhere"/], ['stageEnds', /names the stage end "nowhere"/]] as const)('%s', async (key, message) => {
    const other = smallDetector()
    const card = JSON.parse(other.metadata.get(cardKey)!) as { decoder: object }
    other.metadata.set(cardKey, JSON.stringify({ ...card, ...(key === 'decoder' ? { decoder: { ...card.decoder, scores: 'nowhere' } } : { stageEnds: ['nowhere'] }) }))
    const path = await putModel(folder, `card-${key}.onnx`, other)
    expect(await refused('eval', path, '--data', 'shapes', '--limit', '1')).toMatch(message)
    expect(await refused('prune', path, '--data', 'shapes', '--remove-params', '0.5')).toContain(`card-${key}.onnx: its detector card`)
  })
})

describe('data', () => {
  it('a folder of no known format, and none', async () => {
    await put(folder, 'plain/readme.txt', 'nothing')
    expect(await refused('eval', model, '--data', join(folder, 'plain'))).toMatch(/plain: no known data set; looked, here and one folder below, for VOC .* COCO .* YOLO/)
    expect(await refused('train', '--arch', 'ssd-small', '--data', join(folder, 'absent'))).toContain('absent: no such folder; check the path')
  })

  it('a file', async () => {
    const file = await put(folder, 'labels.json', '{}')
    expect(await refused('eval', model, '--data', file)).toContain('labels.json: is a file, a folder was wanted')
  })

  it('a class that the model lacks', async () => {
    const data = await yoloFolder(join(folder, 'zebras'), ['zebra'], [await drawing(0, 'jpeg')])
    expect(await refused('eval', model, '--data', data)).toMatch(/class "zebra" \(in .*0\.jpg\) is unknown to the model; its classes are disc/)
    expect(await refused('finetune', model, '--data', data)).toContain('class "zebra"')
  })

  it('a split that is not there', async () => {
    expect(await refused('eval', model, '--data', 'shapes', '--split', 'night')).toContain('shapes has no split "night"; it has "train", "val", "test", "all"')
  })

  it('no image that decodes', async () => {
    const data = await yoloFolder(join(folder, 'noise'), ['disc'], [(await drawing(0, 'jpeg')).subarray(0, 1000)])
    expect(await refused('eval', model, '--data', data)).toContain('none of the 1 images of split "all" can be read')
    const headless = await yoloFolder(join(folder, 'headless'), ['disc'], [new TextEncoder().encode('no image')])
    expect(await refused('eval', model, '--data', headless)).toMatch(/none of the 1 images of split "all" can be read; the first: .*0\.jpg: is no readable image/)
  })

  it.each(['train', 'val', 'test'])('a split without a usable image is told before training: %s', async (split) => {
    const [good, bad] = [await drawing(0, 'jpeg'), (await drawing(1, 'jpeg')).subarray(0, 1000)]
    const data = await yoloFolder(join(folder, `split-${split}`), shapesClasses, { train: [good, good], val: [good], test: [good], [split]: [bad, bad] })
    const message = `none of the 2 images of split "${split}" can be read; the first: ${join(data, 'images', split, '0.jpg')}`
    expect(await refused('train', '--arch', 'ssd-small', '--batch', '2', '--data', data)).toContain(message)
    expect(await refused('prune', model, '--remove-params', '0.5', '--batch', '2', '--data', data)).toContain(message)
  })

  it('fewer images than a batch', async () => {
    expect(await refused('train', '--arch', 'ssd-small', '--data', 'shapes', '--limit', '3')).toContain('split "train" has 3 images, less than a batch of 8; choose a smaller --batch')
  })
})

describe('prune', () => {
  it.each([
    [['--data', 'shapes'], 'no budget: give --remove-params or --remove-macs'],
    [['--remove-params', '0.5'], '--data is missing'],
    [['--remove-params', '0.99', '--data', 'shapes'], '99% of the parameters cannot be removed: the 7 chosen groups allow'],
    [['--remove-params', '0.5', '--data', 'shapes', '--images', '4'], '--images 4 is less than a batch of 8'],
    [['--remove-params', '0.5', '--data', 'shapes', '--no-reconstruction', '--alpha', '0'], 'leaves no loss to score channels by'],
    [['--remove-params', '0.5', '--data', 'shapes', '--no-reconstruction', '--gamma', '0'], 'leaves no loss to update the kept weights by'],
    [['--remove-params', '0.5', '--data', 'shapes', '--stage-epochs', '0'], '--stage-epochs 0 leaves the auxiliary network untrained'],
    [['--remove-params', '0.5', '--data', 'shapes', '--stage-epochs', '0', '--alpha', '0', '--gamma', '0'], 'the reconstruction loss has no gradient; give --start zero'],
    [['--remove-params', '0.5', '--data', 'shapes', '--select', 'greedy', '--sweep', 'stage'], 'need a sweep by layer'],
    [['--remove-params', '0.5', '--data', 'shapes', '--start', 'zero', '--sweep', 'stage'], 'need a sweep by layer'],
    [['--remove-params', '0.5', '--data', 'shapes', '--stages', 'layer2.0.out,nowhere'], 'small.onnx: has no value "nowhere" to be a stage end; check --stages'],
    [['--remove-params', '0.5', '--data', 'shapes', '--stages', 'layer2.0.out,'], 'has an empty name'],
    [['--remove-params', '0.5', '--data', 'shapes', '--boxes', '1'], '--boxes must be a whole number from 2'],
    [['--remove-params', '0.5', '--data', 'shapes', '--limit', '8', '--finetune-batch', '9'], 'split "train" has 8 images, less than a batch of 9 of the training after the cut; choose a smaller --finetune-batch'],
    [['--remove-params', '0.5', '--plan', 'plan.json'], 'give either --plan or a budget'],
    [['--plan', 'none.json'], 'none.json: no such file; check the path'],
  ])('%j', async (options, message) => {
    expect(await refused('prune', model, ...options)).toContain(message)
  })

  it('a plan of another model', async () => {
    const plan = { version: 1, method: 'l1', groups: [{ id: 'x', channelsBefore: 4, channelsAfter: 2, initializers: [{ name: 'x', axis: 0, length: 4, keep: [0, 1] }] }] }
    const file = await put(folder, 'other-plan.json', JSON.stringify(plan))
    expect(await refused('prune', model, '--plan', file)).toContain(`${file}: names the initializer "x", which the model lacks`)
  })

  it('a folder that holds a plan', async () => {
    await put(folder, 'planned/plan.json', '{}')
    const { code, err } = await cli('prune', model, '--data', 'shapes', '--remove-params', '0.5', '--dry-run', '--out', join(folder, 'planned'))
    expect(code).toBe(2)
    expect(err).toContain('planned: holds a file plan.json already; give --force to replace it, or choose another folder')
  })
})

describe('outputs that cannot be written', () => {
  it('below a file, and where no folder can be made', async () => {
    const file = await put(folder, 'a-file', 'text')
    const image = await put(folder, 'one.png', await drawing(0, 'png'))
    for (const [argv, message] of [
      [['predict', model, image, '--out', file], `${file}: cannot be written to, for ${file} is a file, not a folder`],
      [['train', '--arch', 'ssd-small', '--data', 'shapes', '--out', join(file, 'sub')], `${join(file, 'sub')}: cannot be written to, for ${file} is a file, not a folder`],
      [['train', '--arch', 'ssd-small', '--data', 'shapes', '--out', '/proc/nope/x'], '/proc/nope/x: '],
      [['predict', model, image, '--out', '/proc/nope/x'], '/proc/nope/x: '],
    ] as const) {
      const { code, out, err } = await cli(...argv)
      expect({ code, out }, err).toEqual({ code: 2, out: '' })
      expect(err).toContain(`espalier: ${message}`)
    }
  })

  it('an --out that is a file', async () => {
    const file = await put(folder, 'taken', 'text')
    const { code, err } = await cli('prune', model, '--data', 'shapes', '--remove-params', '0.5', '--out', file)
    expect(code).toBe(2)
    expect(err).toContain(`${file}: is a file, --out wants a folder; choose another name`)
  })
})
