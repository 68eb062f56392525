/** @file COCO reader: boxes, ids, split names, places of images, errors. */
import { describe, expect, it } from 'vitest'
import { listSplits, openDataset } from '../../src/data/open.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { sharedIt } from '../support/shared.ts'

const instances = {
  images: [
    { id: 7, file_name: 'a.jpg', width: 100, height: 80 },
    { id: 3, file_name: 'b.jpg', width: 100, height: 80 },
  ],
  annotations: [
    { id: 1, image_id: 7, category_id: 9, bbox: [1.5, 2, 10, 20], area: 150.5, iscrowd: 0, segmentation: [[1, 2]] },
    { id: 2, image_id: 7, category_id: 4, bbox: [90, 70, 20, 20], iscrowd: 1 },
    { id: 3, image_id: 7, category_id: 4, bbox: [5, 5, 0, 20] },
  ],
  categories: [{ id: 9, name: 'zebra' }, { id: 4, name: 'yak' }],
}
const store = (change: object = {}, files: Record<string, string> = {}) =>
  memoryStore({
    'd/annotations/instances_train2017.json': JSON.stringify({ ...instances, ...change }),
    'd/images/train2017/a.jpg': 'x',
    'd/images/train2017/b.jpg': 'x',
    ...files,
  })

describe('COCO', () => {
  it('reads boxes, crowds, areas; classes by category id; ids of images', async () => {
    const data = await openDataset(store(), 'd', { split: 'train' })
    expect(data).toMatchObject({ format: 'coco', split: 'train', classes: ['yak', 'zebra'] })
    expect(data.samples.map((s) => [s.id, s.path])).toEqual([['7', 'd/images/train2017/a.jpg'], ['3', 'd/images/train2017/b.jpg']])
    const { truth } = data.samples[0]!
    expect(Array.from(truth.boxes)).toEqual([1.5, 2, 11.5, 22, 90, 70, 100, 80])
    expect(Array.from(truth.labels)).toEqual([1, 0])
    expect(Array.from(truth.crowd)).toEqual([0, 1])
    expect(Array.from(truth.areas)).toEqual([150.5, 100])
    expect(data.samples[1]!.truth.labels).toHaveLength(0)
    expect(data.problems).toHaveLength(2)
    expect(data.problems[0]).toMatch(/annotation 2 \(yak, image 7\): .*exceeds.*clipped/)
    expect(data.problems[1]).toMatch(/annotation 3 \(yak, image 7\): .*no area; dropped/)
  })

  it('says nothing of overshoot that is rounding', async () => {
    const data = await openDataset(store({ annotations: [{ image_id: 7, category_id: 4, bbox: [0, 0, 100.01, 80] }] }), 'd')
    expect(Array.from(data.samples[0]!.truth.boxes)).toEqual([0, 0, 100, 80])
    expect(data.problems).toEqual([])
  })

  it('knows a split by its name with and without the year', async () => {
    expect(await listSplits(store(), 'd')).toEqual(['train'])
    expect((await openDataset(store(), 'd', { split: 'train2017' })).split).toBe('train')
    const both = store({}, { 'd/annotations/instances_train2014.json': JSON.stringify(instances) })
    expect(await listSplits(both, 'd')).toEqual(['train2014', 'train2017'])
    await expect(openDataset(store(), 'd', { split: 'tset' })).rejects.toThrow('d: has no split "tset"; it has "train", "all"')
  })

  it('finds images by every common layout, never outside the folder', async () => {
    const image = (file_name: string) => ({ ...instances.images[0]!, file_name })
    for (const [name, path] of [['train/x.jpg', 'd/images/train/x.jpg'], ['x.jpg', 'd/images/x.jpg'], ['x.jpg', 'd/train2017/x.jpg'], ['x.jpg', 'd/x.jpg']] as const) {
      expect((await openDataset(store({ images: [image(name)] }, { [path]: 'x' }), 'd')).samples[0]!.path).toBe(path)
    }
    await expect(openDataset(store({ images: [image('../x.jpg')] }, { 'x.jpg': 'x' }), 'd')).rejects.toThrow(/split "all" is empty.*\.\.\/x\.jpg is missing/)
  })

  it('tells apart images of two splits that share an id, and refuses categories that clash', async () => {
    const val = { ...instances, images: [{ id: 7, file_name: 'v.jpg', width: 100, height: 80 }], annotations: [] }
    const files = { 'd/annotations/instances_val.json': JSON.stringify(val), 'd/images/val/v.jpg': 'x' }
    expect((await openDataset(store({}, files), 'd', { split: 'all' })).samples.map((s) => s.id)).toEqual(['7', '3', 'val/7'])
    const clash = { ...val, categories: [{ id: 9, name: 'gnu' }] }
    await expect(openDataset(store({}, { ...files, 'd/annotations/instances_val.json': JSON.stringify(clash) }), 'd', { split: 'all' })).rejects.toThrow(/category 9 is "gnu" here and "zebra" before/)
  })

  it('names the file and the place of what is wrong', async () => {
    await expect(openDataset(store({ annotations: [...instances.annotations, { image_id: 7, category_id: 9, bbox: [1, 2, 3] }] }), 'd')).rejects.toThrow(/instances_train2017\.json: is no COCO instances file: annotations\[3\]\.bbox/)
    await expect(openDataset(store({ categories: [{ id: 9, name: 'zebra' }] }), 'd')).rejects.toThrow(/annotation 2: its category_id 4 is not among the categories/)
    await expect(openDataset(store({ images: [instances.images[0], instances.images[0]] }), 'd')).rejects.toThrow(/image id 7 is used twice/)
    await expect(openDataset(store({}, { 'd/annotations/instances_train2017.json': '{"images": [' }), 'd')).rejects.toThrow(/instances_train2017\.json: is no JSON/)
    const data = await openDataset(store({ annotations: [{ id: 5, image_id: 99, category_id: 9, bbox: [1, 2, 3, 4] }] }), 'd')
    expect(data.problems).toEqual(['d/annotations/instances_train2017.json: annotation 5: its image_id 99 is not among the images; dropped'])
  })
})

const count = async (path: string, split?: string): Promise<[string, number, number, number, number]> => {
  const data = await openDataset(nodeStore(), path, { split })
  return [data.split, data.samples.length, data.samples.reduce((sum, s) => sum + s.truth.labels.length, 0), data.classes.length, data.problems.length]
}
sharedIt('data/voc15', 'reads voc15: 628 and 300 images, 15 classes', async (path) => {
  expect(await count(path, 'train')).toEqual(['train', 628, 1347, 15, 0])
  expect(await count(path)).toEqual(['val', 300, 666, 15, 0])
})
sharedIt('data/coco128', 'reads coco128: 128 images, 929 boxes, 80 classes', async (path) => {
  expect(await count(path)).toEqual(['all', 128, 929, 80, 0])
})
