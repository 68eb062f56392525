/** @file YOLO reader: three layouts, two lists of classes, polygons, errors. */
import { describe, expect, it } from 'vitest'
import { encodeImage, imageSize } from '../../src/data/image-node.ts'
import { listSplits, openDataset } from '../../src/data/open.ts'
import { memoryStore } from '../../src/storage/memory.ts'

const png = await encodeImage({ width: 200, height: 100, data: new Uint8Array(200 * 100 * 3) }, 'png')
const open = (files: Record<string, Uint8Array | string>, split?: string) => openDataset(memoryStore(files), 'd', { split, imageSize })
const labels = '0 0.5 0.5 0.2 0.4\n1 0.05 0.5 0.1 1\n'

describe('YOLO', () => {
  it('reads images/<split> with data.yaml', async () => {
    const data = await open({
      'd/data.yaml': 'train: images/train\nnames:\n  0: ant\n  1: bee\n',
      'd/images/train/a.png': png, 'd/images/train/b.png': png, 'd/labels/train/a.txt': labels,
      'd/images/val/c.png': png, 'd/labels/val/c.txt': '',
    }, 'train')
    expect(data).toMatchObject({ format: 'yolo', split: 'train', classes: ['ant', 'bee'], problems: [] })
    expect(data.samples.map((s) => [s.id, s.path, s.width, s.height])).toEqual([['a', 'd/images/train/a.png', 200, 100], ['b', 'd/images/train/b.png', 200, 100]])
    const boxes = Array.from(data.samples[0]!.truth.boxes)
    ;[80, 30, 120, 70, 0, 0, 20, 100].forEach((v, i) => expect(boxes[i]).toBeCloseTo(v, 4))
    expect(Array.from(data.samples[0]!.truth.labels)).toEqual([0, 1])
    expect(data.samples[1]!.truth.labels).toHaveLength(0)
  })

  it('reads a flat folder with classes.txt', async () => {
    const files = { 'd/images/a.png': png, 'd/labels/a.txt': labels, 'd/labels/classes.txt': 'ant\nbee\n' }
    expect(await listSplits(memoryStore(files), 'd')).toEqual([])
    const data = await open(files)
    expect(data).toMatchObject({ split: 'all', classes: ['ant', 'bee'], problems: [] })
    expect(data.samples).toHaveLength(1)
    await expect(open(files, 'train')).rejects.toThrow('d: has no split "train"; it has "all"')
  })

  it('reads <split>/images, "valid" being val, and tells apart equal names over all splits', async () => {
    const files = {
      'd/data.yaml': 'names: [ant, bee]', 'd/train/images/a.png': png, 'd/train/labels/a.txt': labels, 'd/valid/images/a.png': png, 'd/valid/labels/a.txt': labels,
    }
    expect((await open(files)).split).toBe('val')
    expect((await open(files, 'all')).samples.map((s) => s.id)).toEqual(['train/a', 'val/a'])
  })

  it('takes the extent of polygons and reports boxes that exceed the image', async () => {
    const data = await open({ 'd/classes.txt': 'ant', 'd/images/a.png': png, 'd/labels/a.txt': '0 0.1 0.2 0.5 0.2 0.3 0.9\n0 0.95 0.5 0.2 0.2\n0 0.5 0.5 0 0.2' })
    const boxes = Array.from(data.samples[0]!.truth.boxes)
    ;[20, 20, 100, 90, 170, 40, 200, 60].forEach((v, i) => expect(boxes[i]).toBeCloseTo(v, 4))
    expect(data.problems).toHaveLength(2)
    expect(data.problems[0]).toMatch(/d\/labels\/a\.txt:2 \(ant\): .*clipped/)
    expect(data.problems[1]).toMatch(/d\/labels\/a\.txt:3 \(ant\): .*no area; dropped/)
  })

  it('reports broken images and labels without an image', async () => {
    const data = await open({ 'd/classes.txt': 'ant', 'd/images/a.png': png, 'd/images/bad.png': 'no image', 'd/labels/a.txt': '', 'd/labels/lost.txt': '' })
    expect(data.samples.map((s) => s.id)).toEqual(['a'])
    expect(data.problems).toEqual(['d/labels/lost.txt: has no image in d/images; dropped'])
    expect(data.skipped).toEqual([{ path: 'd/images/bad.png', reason: expect.stringMatching(/^d\/images\/bad\.png: is no readable image \(/) }])
    await expect(open({ 'd/classes.txt': 'ant', 'd/images/bad.png': 'no image', 'd/labels/bad.txt': '' })).rejects.toThrow('none of the 1 images of split "all" can be read; the first: d/images/bad.png: is no readable image')
  })

  it('names the file and the place of what is wrong', async () => {
    const bad = (text: string, classes: Record<string, string> = { 'd/classes.txt': 'ant\nbee' }) => open({ ...classes, 'd/images/a.png': png, 'd/labels/a.txt': text })
    await expect(bad('0 0.5 0.5 0.1')).rejects.toThrow(/d\/labels\/a\.txt:1: "0 0\.5 0\.5 0\.1" is neither/)
    await expect(bad('\n0 0.5 x 0.1 0.1')).rejects.toThrow(/d\/labels\/a\.txt:2: .*neither/)
    await expect(bad('2 0.5 0.5 0.1 0.1')).rejects.toThrow(/a\.txt:1: class 2 is not among the 2 classes \(0 to 1\)/)
    await expect(bad('', {})).rejects.toThrow(/without class names; add classes\.txt/)
    await expect(bad('', { 'd/data.yaml': 'nc: 3' })).rejects.toThrow(/data\.yaml: has no usable names/)
    await expect(bad('', { 'd/data.yaml': 'names: [a' })).rejects.toThrow(/data\.yaml: is no YAML/)
    await expect(bad('', { 'd/data.yaml': 'names: {1: a, 2: b}' })).rejects.toThrow(/numbered 0, 1/)
  })
})
