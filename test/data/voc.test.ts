/** @file VOC reader: the corner rule, splits, classes over all splits, what is reported. */
import { describe, expect, it } from 'vitest'
import { defaultSplit, listSplits, openDataset } from '../../src/data/open.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { UserError } from '../../src/tensor/error.ts'
import { sharedIt } from '../support/shared.ts'

interface Box { name: string; box: [number, number, number, number]; difficult?: number }
function xml(objects: Box[], size = '<size><width>100</width><height>80</height><depth>3</depth></size>', filename = ''): string {
  const parts = objects.map(({ name, box: [x1, y1, x2, y2], difficult = 0 }) =>
    `<object><name>${name}</name><difficult>${difficult}</difficult><bndbox><xmin>${x1}</xmin><ymin>${y1}</ymin><xmax>${x2}</xmax><ymax>${y2}</ymax></bndbox>
     <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>`)
  return `<annotation><filename>${filename}</filename>${size}${parts.join('\n')}</annotation>`
}
const files = (extra: Record<string, string> = {}): Record<string, string> => ({
  'd/VOC/Annotations/a.xml': xml([{ name: 'dog', box: [1, 1, 100, 80] }, { name: 'cat &amp; kitten', box: [11, 21, 30, 40], difficult: 1 }]),
  'd/VOC/Annotations/b.xml': xml([{ name: 'ant', box: [5, 5, 9, 9] }]),
  'd/VOC/JPEGImages/a.jpg': 'x',
  'd/VOC/JPEGImages/b.png': 'x',
  'd/VOC/ImageSets/Main/train.txt': 'a\n',
  'd/VOC/ImageSets/Main/test.txt': 'b\r\n\r\n',
  'd/VOC/ImageSets/Main/dog_train.txt': 'a  1\n',
  ...extra,
})

describe('VOC', () => {
  it('turns 1-based inclusive corners into 0-based exclusive ones', async () => {
    const { classes, samples, problems, format } = await openDataset(memoryStore(files()), 'd', { split: 'train' })
    expect(format).toBe('voc')
    expect(classes).toEqual(['ant', 'cat & kitten', 'dog']) // of both splits
    expect(samples).toHaveLength(1)
    expect(samples[0]).toMatchObject({ id: 'a', path: 'd/VOC/JPEGImages/a.jpg', width: 100, height: 80 })
    const { truth } = samples[0]!
    expect(Array.from(truth.boxes)).toEqual([0, 0, 100, 80, 10, 20, 30, 40])
    expect(Array.from(truth.labels)).toEqual([2, 1])
    expect(Array.from(truth.difficult)).toEqual([0, 1])
    expect(Array.from(truth.areas)).toEqual([8000, 400])
    expect(problems).toEqual([])
  })

  it('finds splits, not the lists of one class', async () => {
    expect(await listSplits(memoryStore(files()), 'd')).toEqual(['test', 'train'])
    expect((await openDataset(memoryStore(files()), 'd/VOC')).split).toBe('test')
    expect((await openDataset(memoryStore(files()), 'd', { split: 'all' })).samples.map((s) => s.id)).toEqual(['a', 'b'])
  })

  it('drops and clips boxes, saying so', async () => {
    const boxes: Box[] = [
      { name: 'dog', box: [50, 50, 50, 50] },
      { name: 'dog', box: [30, 10, 20, 40] },
      { name: 'dog', box: [101, 1, 120, 20] },
      { name: 'dog', box: [91, 71, 120, 95] },
    ]
    const { samples, problems } = await openDataset(memoryStore(files({ 'd/VOC/Annotations/a.xml': xml(boxes) })), 'd', { split: 'train' })
    expect(Array.from(samples[0]!.truth.boxes)).toEqual([90, 70, 100, 80])
    expect(problems).toHaveLength(4)
    expect(problems[0]).toBe('d/VOC/Annotations/a.xml: object 1 (dog): box 50 50 50 50 (x1 y1 x2 y2) has no area; dropped')
    expect(problems[1]).toMatch(/object 2 .*no area; dropped/)
    expect(problems[2]).toMatch(/object 3 .*outside the image of 100x80; dropped/)
    expect(problems[3]).toMatch(/object 4 .*exceeds the image of 100x80; clipped/)
  })

  it('reports a missing image and a missing annotation', async () => {
    const store = memoryStore(files({ 'd/VOC/ImageSets/Main/val.txt': 'a\nc\ngone\n', 'd/VOC/Annotations/c.xml': xml([{ name: 'dog', box: [1, 1, 5, 5] }], undefined, 'c.jpg') }))
    const { samples, problems } = await openDataset(store, 'd', { split: 'val' })
    expect(samples.map((s) => s.id)).toEqual(['a'])
    expect(problems).toEqual([
      'd/VOC/Annotations/c.xml: its image d/VOC/JPEGImages/c.jpg is missing; dropped',
      'd/VOC/Annotations/gone.xml: is missing, though split "val" lists it; the image is dropped',
    ])
  })

  it('measures the image where the annotation has no size', async () => {
    for (const size of ['', '<size><width>0</width><height>0</height></size>']) {
      const store = memoryStore(files({ 'd/VOC/Annotations/a.xml': xml([{ name: 'dog', box: [1, 1, 60, 60] }], size) }))
      const { samples } = await openDataset(store, 'd', { split: 'train', imageSize: async () => ({ width: 50, height: 40 }) })
      expect(samples[0]).toMatchObject({ width: 50, height: 40 })
      expect(Array.from(samples[0]!.truth.boxes)).toEqual([0, 0, 50, 40])
    }
  })

  it('skips an image that cannot be measured', async () => {
    const store = memoryStore(files({ 'd/VOC/Annotations/a.xml': xml([{ name: 'dog', box: [1, 1, 60, 60] }], '') }))
    const data = await openDataset(store, 'd', { split: 'all', imageSize: async () => { throw new UserError('is no readable image') } })
    expect(data.samples.map((s) => s.id)).toEqual(['b'])
    expect(data.skipped).toEqual([{ path: 'd/VOC/JPEGImages/a.jpg', reason: 'd/VOC/JPEGImages/a.jpg: is no readable image' }])
    expect(data.problems).toEqual([])
  })

  it('names the file and the place of what is wrong', async () => {
    const open = (text: string) => openDataset(memoryStore(files({ 'd/VOC/Annotations/b.xml': text })), 'd')
    await expect(open('<annotation>\n<object></annotation>')).rejects.toThrow(/b\.xml: line 2 is no XML/)
    await expect(open('<html></html>')).rejects.toThrow(/b\.xml: is no VOC annotation/)
    await expect(open(xml([{ name: 'dog', box: [1, 2, 3, Number.NaN] }]))).rejects.toThrow(/b\.xml: is no VOC annotation: .*"NaN" is no number[^]*annotation\.object\[0\]\.bndbox\.ymax/)
  })
})

describe('a VOCdevkit', () => {
  const year = (name: string, splits: Record<string, string>, annotations: Record<string, string>): Record<string, string> => Object.fromEntries([
    ...Object.entries(splits).map(([split, ids]) => [`d/VOCdevkit/${name}/ImageSets/Main/${split}.txt`, ids]),
    ...Object.entries(annotations).flatMap(([id, text]) => [[`d/VOCdevkit/${name}/Annotations/${id}.xml`, text], [`d/VOCdevkit/${name}/JPEGImages/${id}.jpg`, 'x']]),
  ])
  const devkit = memoryStore({
    ...year('VOC2007', { trainval: '000001\nshared\n', test: '000002\n', dog_trainval: '000001 1\n' }, { '000001': xml([{ name: 'dog', box: [1, 1, 50, 50] }]), '000002': xml([{ name: 'cat', box: [1, 1, 50, 50] }]), shared: xml([{ name: 'dog', box: [1, 1, 9, 9] }]) }),
    ...year('VOC2012', { trainval: '2008_1\nshared\n' }, { '2008_1': xml([{ name: 'ant', box: [1, 1, 50, 50] }]), shared: xml([{ name: 'ant', box: [1, 1, 9, 9] }]) }),
    'd/VOCdevkit/VOCcode/README': 'x',
  })

  it('is one data set of all years, from it or from the folder above', async () => {
    for (const root of ['d', 'd/VOCdevkit']) {
      expect(await listSplits(devkit, root)).toEqual(['test', 'trainval'])
      const data = await openDataset(devkit, root, { split: 'trainval' })
      expect(data).toMatchObject({ format: 'voc', split: 'trainval', classes: ['ant', 'cat', 'dog'], problems: [] })
      expect(data.samples.map((s) => [s.id, s.path, Array.from(s.truth.labels)])).toEqual([
        ['000001', 'd/VOCdevkit/VOC2007/JPEGImages/000001.jpg', [2]], ['shared', 'd/VOCdevkit/VOC2007/JPEGImages/shared.jpg', [2]],
        ['2008_1', 'd/VOCdevkit/VOC2012/JPEGImages/2008_1.jpg', [0]], ['VOC2012/shared', 'd/VOCdevkit/VOC2012/JPEGImages/shared.jpg', [0]],
      ])
    }
  })

  it('has splits that one year alone has, in the same classes; and all', async () => {
    const test = await openDataset(devkit, 'd')
    expect([test.split, test.classes, test.samples.map((s) => s.id), Array.from(test.samples[0]!.truth.labels)]).toEqual(['test', ['ant', 'cat', 'dog'], ['000002'], [1]])
    expect((await openDataset(devkit, 'd', { split: 'all' })).samples).toHaveLength(5)
    await expect(openDataset(devkit, 'd', { split: 'val' })).rejects.toThrow('has no split "val"; it has "test", "trainval", "all"')
    expect((await openDataset(devkit, 'd/VOCdevkit/VOC2012', { split: 'trainval' })).classes).toEqual(['ant'])
  })
})

it('chooses test, else val, else all', () => {
  expect(defaultSplit(['train', 'val', 'test'])).toBe('test')
  expect(defaultSplit(['train', 'val'])).toBe('val')
  expect(defaultSplit(['train'])).toBe('all')
})

sharedIt('data/bccd', 'reads the blood cells: 364 images, 4,886 boxes, two degenerate ones reported', async (path) => {
  const store = nodeStore()
  const all = await openDataset(store, path, { split: 'all' })
  const boxes = (d: typeof all): number => d.samples.reduce((sum, s) => sum + s.truth.labels.length, 0)
  expect([all.samples.length, boxes(all)]).toEqual([364, 4886])
  expect(all.classes).toEqual(['Platelets', 'RBC', 'WBC'])
  expect(all.problems).toHaveLength(2)
  expect(all.problems[0]).toMatch(/BloodImage_00338\.xml: object 13 \(RBC\): box 504 337 504 337 .* dropped/)
  expect(all.problems[1]).toMatch(/BloodImage_00343\.xml: object 4 \(RBC\): .* dropped/)
  const sizes = await Promise.all(['train', 'val', 'test'].map(async (split) => (await openDataset(store, path, { split })).samples.length))
  expect(sizes).toEqual([205, 87, 72])
  expect((await openDataset(store, path)).split).toBe('test')
  const first = all.samples.find((s) => s.id === 'BloodImage_00001')!
  expect(Array.from(first.truth.boxes.slice(0, 4))).toEqual([67, 314, 286, 480])
})
