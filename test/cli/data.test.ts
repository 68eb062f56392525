/** @file data: what is to be downloaded, what is there, what is missing; the recipes' layouts open as they lie; --train-split. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { publicData } from '../../src/cli/public-data.ts'
import { writeCocoSized } from '../../scripts/coco-sized.ts'
import { cli, cliJson, drawing, filesIn, put, readJson, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
let images: Uint8Array[] = []

beforeAll(async () => {
  images = await Promise.all([0, 1, 2].map((i) => drawing(i, 'jpeg')))
})

const xml = (name: string): string => `<annotation><size><width>160</width><height>160</height></size><object><name>${name}</name><bndbox><xmin>20</xmin><ymin>20</ymin><xmax>90</xmax><ymax>90</ymax></bndbox></object></annotation>`

/** A VOCdevkit with a few images; splits by year. */
async function devkit(root: string, years: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>): Promise<string> {
  for (const [year, splits] of Object.entries(years)) {
    const base = join('VOCdevkit', year)
    for (const [split, ids] of Object.entries(splits)) {
      await put(root, join(base, 'ImageSets/Main', `${split}.txt`), `${ids.join('\n')}\n`)
      for (const [i, id] of ids.entries()) {
        await put(root, join(base, 'Annotations', `${id}.xml`), xml(i % 2 ? 'cat' : 'dog'))
        await put(root, join(base, 'JPEGImages', `${id}.jpg`), images[i % images.length]!)
      }
    }
  }
  return root
}

const splitsOf = (json: object): unknown[] => (json as { splits: { split: string; images: number; wanted: number }[] }).splits.map(({ split, images: n, wanted }) => [split, n, wanted])

describe('data', () => {
  it.each(['voc', 'coco'] as const)('%s: says what to download, with sums and layout, and needs no folder', async (name) => {
    const { code, out, err } = await cli('data', name)
    expect([code, err]).toEqual([0, ''])
    for (const { url, md5 } of publicData[name].archives) expect(out).toContain(`  ${url}  ${md5}\n`)
    for (const line of [...publicData[name].unpack, ...publicData[name].layout]) expect(out).toContain(`  ${line}\n`)
    expect(await cliJson('data', name)).toMatchObject({ name, archives: publicData[name].archives })
  })

  it('counts what is there and says what is missing, with exit code 2', async () => {
    const root = await devkit(join(folder, 'part'), { VOC2007: { trainval: ['000001', '000002'], test: ['000003'] } })
    const { code, out, err } = await cli('data', 'voc', '--dir', root, '--json')
    expect(code).toBe(2)
    const json = JSON.parse(out) as object
    expect(json).toMatchObject({ complete: false, dir: root })
    expect(splitsOf(json)).toEqual([['trainval', 2, 5011], ['test', 1, 4952], ['trainval', 0, 11_540]])
    expect(err).toContain('is not complete: VOCdevkit/VOC2007/trainval: 2 of 5011 images; VOCdevkit/VOC2007/test: 1 of 4952 images; VOCdevkit/VOC2012/trainval: 0 of 11540 images (')
    const text = await cli('data', 'voc', '--dir', root)
    expect(text.out).toContain(`tar -xf "$f" -C ${root}`)
    expect(text.out).toMatch(/VOCdevkit\/VOC2007\/test +1 +4952 +1 +2 +0 +NOT COMPLETE/)
  })

  it('knows archives by their sums', async () => {
    const root = await devkit(join(folder, 'sums'), {})
    await put(root, 'val2017.zip', 'no such archive')
    const { code, out, err } = await cli('data', 'coco', '--dir', root, '--sums')
    expect(code).toBe(2)
    expect(out).toMatch(/val2017\.zip +differs\n/)
    expect(out).toMatch(/train2017\.zip +not there\n/)
    expect(err).toContain('val2017.zip: its MD5 sum is not the published one; download it again')
  })

  it('finds COCO\'s splits, classes and images where the archives put them', async () => {
    const root = join(folder, 'coco')
    await writeCocoSized(root, 24)
    const { code, out } = await cli('data', 'coco', '--dir', root, '--json')
    expect(code).toBe(2)
    expect(splitsOf(JSON.parse(out) as object)).toEqual([['train2017', 24, 118_287], ['val2017', 1, 5000]])
    expect(JSON.parse(out)).toMatchObject({ splits: [{ classes: 80, problems: 0 }, { classes: 80, problems: 0 }] })
  })

  it.each([
    [['data', 'imagenet'], 'data set "imagenet" is not known; known are voc and coco'],
    [['data', 'voc', '--sums'], 'give --dir too'],
    [['data', 'coco', '--dir', '/nowhere/at/all'], '/nowhere/at/all: no such folder'],
  ])('%j is refused', async (argv, message) => {
    const { code, err } = await cli(...argv)
    expect(err).toContain(message)
    expect(code).toBe(2)
  })
})

describe('--train-split', () => {
  const quick = ['--threads', '1', '--batch', '2', '--epochs', '1']

  it('trains on the years of a VOCdevkit as one, measured on the test split of one', async () => {
    const root = await devkit(join(folder, '0712'), { VOC2007: { trainval: ['000001', '000002'], val: ['000002'], test: ['000003'] }, VOC2012: { trainval: ['2008_1', '2008_2', '2008_3'] } })
    const run = join(folder, 'run0712')
    const { code, err } = await cli('train', '--arch', 'ssd-small', '--data', root, '--train-split', 'trainval', '--keep', 'last', ...quick, '--out', run)
    expect(code, err).toBe(0)
    expect(readJson(join(run, 'run.json'))).toMatchObject({ passes: 4, split: 'test', images: 1, options: { trainSplit: 'trainval' } })
    expect(err).not.toContain('trained on too')
    // "val" lies within "trainval": what it says of epochs is no news.
    const told = await cli('train', '--arch', 'ssd-small', '--data', root, '--train-split', 'trainval', ...quick, '--out', join(folder, 'told'))
    expect(told.err).toContain('1 of the 1 images of split "val" are trained on too, in split "trainval"')
    const pruned = await cli('prune', join(run, 'model.onnx'), '--data', root, '--train-split', 'trainval', '--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '1', '--batch', '2', '--finetune-keep', 'last', '--threads', '1', '--out', join(folder, 'pruned0712'))
    expect(pruned.code, pruned.err).toBe(0)
    expect(readJson(join(folder, 'pruned0712/run.json'))).toMatchObject({ passes: { finetune: 4 }, split: 'test' })
  }, 60_000)

  it('is refused where the data has no such split', async () => {
    const { code, err } = await cli('train', '--arch', 'ssd-small', '--data', 'shapes', '--train-split', 'trainval', '--out', join(folder, 'refused'))
    expect(code).toBe(2)
    expect(err).toContain('"trainval"')
    expect(filesIn(join(folder, 'refused'))).toEqual([])
  })
})
