/** @file Bad input: the message names file and remedy, the exit code is 2, nothing is written. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { saveModel, serializeModel } from '../../src/onnx/save.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { cli, drawing, filesIn, put, putModel, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

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

describe('data', () => {
  it('a folder of no known format, and none', async () => {
    await put(folder, 'plain/readme.txt', 'nothing')
    expect(await refused('eval', model, '--data', join(folder, 'plain'))).toMatch(/plain: no known data set; looked, here and one folder below, for VOC .* COCO .* YOLO/)
    expect(await refused('train', '--arch', 'ssd-small', '--data', join(folder, 'absent'))).toContain('absent: no such folder; check the path')
  })

  it('a class that the model lacks', async () => {
    const data = await yoloFolder(join(folder, 'zebras'), ['zebra'], [await drawing(0, 'jpeg')])
    expect(await refused('eval', model, '--data', data)).toMatch(/class "zebra" \(in .*0\.jpg\) is unknown to the model; its classes are disc/)
    expect(await refused('finetune', model, '--data', data)).toContain('class "zebra"')
  })

  it('a split that is not there', async () => {
    expect(await refused('eval', model, '--data', 'shapes', '--split', 'night')).toContain('shapes has no split "night"; it has "train", "val", "test"')
  })

  it('no image that decodes', async () => {
    const data = await yoloFolder(join(folder, 'noise'), ['disc'], [(await drawing(0, 'jpeg')).subarray(0, 1000)])
    expect(await refused('eval', model, '--data', data)).toContain('none of the 1 images of split "all" can be read')
  })

  it('fewer images than a batch', async () => {
    expect(await refused('train', '--arch', 'ssd-small', '--data', 'shapes', '--limit', '3')).toContain('split "train" has 3 images, less than a batch of 8; choose a smaller --batch')
  })
})

describe('prune', () => {
  it.each([
    [['--remove-params', '0.5', '--remove-macs', '0.5', '--data', 'shapes'], '--remove-params and --remove-macs are both given; give one of them'],
    [['--data', 'shapes'], 'no budget: give --remove-params or --remove-macs'],
    [['--remove-params', '0.5'], '--data is missing'],
    [['--remove-params', '0.99', '--data', 'shapes'], '99% of the parameters cannot be removed: the 7 chosen groups allow'],
    [['--remove-params', '0.5', '--data', 'shapes', '--images', '4'], '--images 4 is less than a batch of 8'],
    [['--remove-params', '0.5', '--data', 'shapes', '--no-reconstruction', '--alpha', '0'], 'leaves no loss to score channels by'],
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

  it('an --out that is a file', async () => {
    const file = await put(folder, 'taken', 'text')
    const { code, err } = await cli('prune', model, '--data', 'shapes', '--remove-params', '0.5', '--out', file)
    expect(code).toBe(2)
    expect(err).toContain(`${file}: is a file, --out wants a folder; choose another name`)
  })
})
