/** @file Recognising folders, and mapping a data set's classes to a model's. */
import { describe, expect, it } from 'vitest'
import { foreignClasses, listSplits, mapClasses, openDataset } from '../../src/data/open.ts'
import type { Dataset } from '../../src/detection/annotation.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { UserError } from '../../src/tensor/error.ts'

const voc = (base: string): Record<string, string> => ({ [`${base}/Annotations/a.xml`]: '<annotation></annotation>', [`${base}/JPEGImages/a.jpg`]: 'x' })

describe('openDataset', () => {
  it('says what was looked for', async () => {
    const store = memoryStore({ 'd/readme.txt': 'x', 'd/papers/a.pdf': 'x' })
    await expect(openDataset(store, 'd')).rejects.toThrow(/^d: no known data set; looked, here and one folder below, for VOC .*, COCO .*, YOLO/)
    await expect(openDataset(store, 'e')).rejects.toThrow('e: no such folder; check the path')
    await expect(openDataset(store, 'd/readme.txt')).rejects.toThrow('d/readme.txt: is a file, a folder was wanted')
    await expect(openDataset(store, 'd')).rejects.toBeInstanceOf(UserError)
  })

  it('reads plain images only where labels are not needed', async () => {
    const store = memoryStore({ 'd/readme.txt': 'x', 'd/b.jpg': 'x', 'd/pictures/a.PNG': 'x', 'd/pictures/broken.png': '' })
    await expect(openDataset(store, 'd')).rejects.toThrow(/^d: holds images, but no labels that are known; looked/)
    await expect(openDataset(store, 'd', { remedy: 'ask someone' })).rejects.toThrow(/^d: holds images, .*; ask someone$/)
    const imageSize = async (bytes: Uint8Array) => {
      if (bytes.length === 0) throw new UserError('is no readable image')
      return { width: 5, height: 4 }
    }
    const { format, split, samples, skipped, classes } = await openDataset(store, 'd', { imageSize, unlabelled: true })
    expect({ format, split, classes }).toEqual({ format: 'images', split: 'all', classes: [] })
    expect(samples.map((s) => [s.id, s.path, s.width, s.height, s.truth.labels.length])).toEqual([['b', 'd/b.jpg', 5, 4, 0], ['pictures/a', 'd/pictures/a.PNG', 5, 4, 0]])
    expect(skipped).toEqual([{ path: 'd/pictures/broken.png', reason: 'd/pictures/broken.png: is no readable image' }])
    expect(await listSplits(store, 'd', { unlabelled: true })).toEqual([])
  })

  it('does not choose between two data sets', async () => {
    await expect(openDataset(memoryStore({ ...voc('d/one'), ...voc('d/two') }), 'd')).rejects.toThrow('d: holds several data sets; name one of d/one, d/two')
  })

  it('refuses a data set without images, or without any object', async () => {
    const empty = { ...voc('d'), 'd/ImageSets/Main/val.txt': 'gone\n' }
    await expect(openDataset(memoryStore(empty), 'd', { split: 'val' })).rejects.toThrow(/d: split "val" is empty: .*first of 1 problems: d\/Annotations\/gone\.xml/)
    await expect(openDataset(memoryStore(voc('d')), 'd', { imageSize: async () => ({ width: 5, height: 5 }) })).rejects.toThrow(/no object is labelled/)
  })
})

describe('mapClasses', () => {
  const dataset: Dataset = {
    format: 'voc', split: 'val', classes: ['ant', 'bee', 'cow'], problems: [], skipped: [],
    samples: [{ id: 'a', path: 'a.jpg', width: 9, height: 9, truth: { boxes: new Float32Array(8), labels: Int32Array.of(0, 2), crowd: new Uint8Array(2), difficult: new Uint8Array(2), areas: new Float32Array(2) } }],
  }

  it('goes by name; a class without an object needs no counterpart', () => {
    const mapped = mapClasses(dataset, ['cow', 'dog', 'ant'])
    expect(mapped.classes).toEqual(['cow', 'dog', 'ant'])
    expect(Array.from(mapped.samples[0]!.truth.labels)).toEqual([2, 0])
    expect(Array.from(dataset.samples[0]!.truth.labels)).toEqual([0, 2])
  })

  it('knows other spellings and VOC\'s names, the very name first', () => {
    const spelt = { ...dataset, classes: ['motorbike', 'bee', 'TVMonitor'] }
    const mapped = mapClasses(spelt, ['bee ', 'Motorcycle', 'tv'])
    expect(Array.from(mapped.samples[0]!.truth.labels)).toEqual([1, 2])
    expect(mapped.present).toEqual([0, 1, 2])
    expect(Array.from(mapClasses(spelt, ['motorcycle', 'motorbike', 'tv']).samples[0]!.truth.labels)).toEqual([1, 2])
    for (const [voc, coco] of [['aeroplane', 'airplane'], ['sofa', 'couch'], ['diningtable', 'dining table'], ['pottedplant', 'potted plant'], ['motorbike', 'motorcycle'], ['tvmonitor', 'tv']]) {
      expect(mapClasses({ ...dataset, classes: [voc!], samples: [] }, ['x', coco!]).present).toEqual([1])
      expect(mapClasses({ ...dataset, classes: [coco!], samples: [] }, ['x', voc!]).present).toEqual([1])
    }
  })

  it('says which of the model\'s classes the data knows', () => {
    expect(mapClasses(dataset, ['cow', 'dog', 'ant']).present).toEqual([0, 2])
  })

  it('names a class the model lacks', () => {
    expect(() => mapClasses(dataset, ['ant', 'bee'])).toThrow('class "cow" (in a.jpg) is unknown to the model; its classes are ant, bee')
    expect(() => mapClasses(dataset, ['ant', 'bee'], 'ask someone')).toThrow('its classes are ant, bee; ask someone')
  })
})

describe('foreignClasses', () => {
  const truth = { boxes: new Float32Array(8), labels: Int32Array.of(0, 2), crowd: new Uint8Array(2), difficult: new Uint8Array(2), areas: new Float32Array(2) }
  const dataset: Dataset = { format: 'voc', split: 'val', classes: ['ant', 'bee', 'cow'], problems: [], skipped: [], samples: [{ id: 'a', path: 'a.jpg', width: 9, height: 9, truth }] }

  it('names classes of objects that the model lacks; all where it knows none, objects or not', () => {
    expect(foreignClasses(dataset, ['cow', 'ant'])).toEqual([])
    expect(foreignClasses(dataset, ['Ant '])).toEqual(['cow'])
    expect(foreignClasses(dataset, ['dog'])).toEqual(['ant', 'bee', 'cow'])
    expect(foreignClasses({ ...dataset, samples: [] }, ['dog'])).toEqual(['ant', 'bee', 'cow'])
    expect(foreignClasses({ ...dataset, samples: [] }, ['bee'])).toEqual([])
  })
})
