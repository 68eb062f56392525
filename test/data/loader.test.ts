/** @file Loader: the same batches whatever the timing, prefetching, skipped images, boxes that follow pixels. */
import { describe, expect, it } from 'vitest'
import { augmentPresets } from '../../src/data/augment.ts'
import { imageReader } from '../../src/data/codec.ts'
import { encodeImage, imageSize, nodeCodec } from '../../src/data/image-node.ts'
import { createLoader, type Batch, type LoaderOptions } from '../../src/data/loader.ts'
import { openDataset } from '../../src/data/open.ts'
import { shapesDataset } from '../../src/data/shapes.ts'
import type { Image, Sample } from '../../src/detection/annotation.ts'
import { toImage, type Preprocess } from '../../src/detection/preprocess.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { UserError } from '../../src/tensor/error.ts'
import { sharedIt } from '../support/shared.ts'

const { dataset, image } = shapesDataset({ seed: 1, split: 'train', count: 10, size: 64 })
const preprocess: Preprocess = { width: 48, height: 40, channels: 'RGB', mean: [123, 117, 104], std: [58, 57, 57], resize: 'stretch' }
const base: LoaderOptions = { dataset, readImage: async (sample) => image(sample), cropResize: nodeCodec.cropResize, preprocess, batch: 4 }

async function collect(options: Partial<LoaderOptions> = {}, epoch = 0): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of createLoader({ ...base, ...options }).epoch(epoch)) batches.push(batch)
  return batches
}
const ids = (batches: Batch[]): string[] => batches.flatMap((b) => b.samples.map((s) => s.id))
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('createLoader', () => {
  it('gives every image once, in order, the last batch short', async () => {
    const batches = await collect()
    expect(batches.map((b) => b.samples.length)).toEqual([4, 4, 2])
    expect(batches.map((b) => b.images.length)).toEqual([4, 4, 2].map((n) => n * 3 * 40 * 48))
    expect(ids(batches)).toEqual(dataset.samples.map((s) => s.id))
    expect(createLoader(base).batches).toBe(3)
    expect(createLoader({ ...base, dropLast: true }).batches).toBe(2)
    expect(await collect({ dropLast: true })).toHaveLength(2)
  })

  it('gives the same batches for the same seed, whatever the timing, the cache and the prefetching', async () => {
    const options = { shuffle: true, augment: augmentPresets.ssd, seed: 7 }
    const plain = await collect(options)
    let turn = 0
    const uneven = await collect({ ...options, prefetch: 0, cacheBytes: 0, readImage: async (s) => (await pause((turn++ * 7) % 11), image(s)) })
    expect(uneven).toEqual(plain)
    const loader = createLoader({ ...base, ...options })
    for await (const batch of loader.epoch(1)) void batch
    const later: Batch[] = []
    for await (const batch of loader.epoch(0)) later.push(batch)
    expect(later).toEqual(plain)
    expect(await collect({ ...options, seed: 8 })).not.toEqual(plain)
    const next = await collect(options, 1)
    expect(ids(next)).not.toEqual(ids(plain))
    expect(ids(next).sort()).toEqual(ids(plain).sort())
  })

  it('maps boxes to the input and back', async () => {
    for (const resize of ['stretch', 'letterbox'] as const) {
      for (const { truths, samples, transforms } of await collect({ preprocess: { ...preprocess, resize } })) {
        truths.forEach((truth, i) => {
          const back = toImage(truth.boxes, transforms[i]!)
          samples[i]!.truth.boxes.forEach((v, k) => expect(back[k]).toBeCloseTo(v, 3))
        })
      }
    }
  })

  it('normalises in the order of the channels and fills letterboxes with grey 114', async () => {
    const red: Image = { width: 64, height: 64, data: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i % 3 === 0 ? 200 : 10)) }
    const [first] = await collect({ readImage: async () => red, preprocess: { ...preprocess, channels: 'BGR', resize: 'letterbox' } })
    const plane = 40 * 48
    const at = (c: number, y: number, x: number): number => first!.images[c * plane + y * 48 + x]!
    expect(at(0, 0, 0)).toBeCloseTo((10 - 123) / 58, 5)
    expect(at(2, 39, 39)).toBeCloseTo((200 - 104) / 57, 5)
    expect(at(2, 0, 40)).toBeCloseTo((114 - 104) / 57, 5) // 40 columns of image, 8 of grey
  })

  it('moves pixels and boxes alike: a bright object stays in its box through every augmentation', async () => {
    const box = [20, 12, 44, 36] as const
    const data = new Uint8Array(64 * 64 * 3)
    for (let y = box[1]; y < box[3]; y++) data.fill(255, (y * 64 + box[0]) * 3, (y * 64 + box[2]) * 3)
    const lit: Image = { width: 64, height: 64, data }
    const truth = { boxes: Float32Array.from(box), labels: new Int32Array(1), crowd: new Uint8Array(1), difficult: new Uint8Array(1), areas: Float32Array.of(576) }
    const samples = Array.from({ length: 60 }, (_, i): Sample => ({ id: `${i}`, path: `${i}`, width: 64, height: 64, truth }))
    for (const resize of ['stretch', 'letterbox'] as const) {
      const pre: Preprocess = { width: 96, height: 80, channels: 'RGB', mean: [0, 0, 0], std: [255, 255, 255], resize }
      const batches = await collect({ dataset: { ...dataset, samples }, readImage: async () => lit, preprocess: pre, augment: { ...augmentPresets.ssd, photometric: 'none' } })
      for (const { images, truths } of batches) {
        truths.forEach((t, n) => {
          const [x1, y1, x2, y2] = Array.from(t.boxes) as [number, number, number, number]
          let wrong = 0
          for (let y = 0; y < 80; y++) {
            for (let x = 0; x < 96; x++) {
              const value = images[n * 3 * 7680 + y * 96 + x]!
              const away = Math.max(x1 - (x + 0.5), x + 0.5 - x2, y1 - (y + 0.5), y + 0.5 - y2)
              // A blurred edge is as wide as a pixel of the coarser side; grey 114 is 0.447.
              if ((away < -5 && value < 0.9) || (away > 5 && value > 0.5)) wrong++
            }
          }
          expect(wrong).toBe(0)
        })
      }
    }
  })

  it('reads ahead while the caller works, within bounds', async () => {
    let started = 0
    const loader = createLoader({ ...base, batch: 2, prefetch: 2, readImage: async (s) => (started++, await pause(15), image(s)) })
    let seen = 0
    for await (const batch of loader.epoch(0)) {
      seen += batch.samples.length
      // The batch in hand and two more, never a fourth.
      expect(started).toBe(Math.min(10, seen + 4))
      if (seen === 2) expect(loader.waitedMs.first).toBeGreaterThan(10)
      await pause(5)
    }
  })

  it('reads on into the next epoch while the last batches of one are used, and never beyond the last epoch', async () => {
    let started = 0
    const options = { ...base, batch: 2, prefetch: 2, cacheBytes: 0, lastEpoch: 2 }
    const loader = createLoader({ ...options, readImage: async (s) => (started++, image(s)) })
    let seen = 0
    for (const n of [1, 2]) {
      for await (const batch of loader.epoch(n)) {
        seen += batch.samples.length
        expect(started).toBe(Math.min(20, seen + 4))
      }
    }
    expect(seen).toBe(20)
  })

  it('caches images up to its bound, and not beyond', async () => {
    const bytes = 64 * 64 * 3
    for (const [cacheBytes, expected] of [[0, 20], [4 * bytes, 16], [10 * bytes, 10]] as const) {
      let reads = 0
      const loader = createLoader({ ...base, cacheBytes, readImage: async (s) => (reads++, image(s)), augment: augmentPresets.ssd })
      for (const n of [0, 1]) for await (const batch of loader.epoch(n)) void batch
      expect(reads).toBe(expected)
    }
  })

  it('does not let augmentation change cached images', async () => {
    const same = { ...preprocess, width: 64, height: 64 }
    const only = { ...augmentPresets.light, flip: true }
    const loader = createLoader({ ...base, preprocess: same, augment: only })
    const twice: Batch[][] = []
    for (let k = 0; k < 2; k++) {
      const batches: Batch[] = []
      for await (const batch of loader.epoch(0)) batches.push(batch)
      twice.push(batches)
    }
    expect(twice[1]).toEqual(twice[0])
  })

  it('names, counts and leaves out images that do not decode, filling batches with the next ones', async () => {
    const png = await encodeImage({ width: 8, height: 8, data: new Uint8Array(192) }, 'png')
    const files: Record<string, Uint8Array | string> = { 'd/classes.txt': 'ant' }
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      files[`d/images/${name}.png`] = png
      files[`d/labels/${name}.txt`] = '0 0.5 0.5 0.5 0.5'
    }
    const store = memoryStore(files)
    const data = await openDataset(store, 'd', { imageSize })
    await store.writeAtomic('d/images/b.png', 'broken')
    await store.writeAtomic('d/images/c.png', await encodeImage({ width: 9, height: 8, data: new Uint8Array(216) }, 'png'))
    const loader = createLoader({ ...base, batch: 2, dataset: data, readImage: imageReader(store, nodeCodec) })
    for (const n of [0, 1]) {
      const batches: Batch[] = []
      for await (const batch of loader.epoch(n)) batches.push(batch)
      expect(batches.map((b) => b.samples.map((s) => s.id))).toEqual([['a', 'd'], ['e']])
    }
    expect(loader.skipped.map((s) => s.path)).toEqual(['d/images/b.png', 'd/images/c.png'])
    expect(loader.skipped[0]!.reason).toMatch(/^d\/images\/b\.png: is no readable image/)
    expect(loader.skipped[1]!.reason).toMatch(/is 9x8, its annotation says 8x8/)
    for (const name of ['a', 'd', 'e']) await store.writeAtomic(`d/images/${name}.png`, 'broken')
    const none = createLoader({ ...base, dataset: data, readImage: imageReader(store, nodeCodec) })
    await expect(none.epoch(0).next()).rejects.toThrow(/none of the 5 images of split "all" can be read; the first: d\/images\/a\.png/)
  })

  it('lets faults of the program through, refuses impossible batches', async () => {
    const broken = createLoader({ ...base, readImage: async () => { throw new TypeError('a fault') } })
    await expect(broken.epoch(0).next()).rejects.toThrow(TypeError)
    expect(() => createLoader({ ...base, batch: 0 })).toThrow(UserError)
    await expect(createLoader({ ...base, batch: 11, dropLast: true }).epoch(0).next()).rejects.toThrow(/10 usable images, less than a batch of 11/)
  })
})

sharedIt('data/bccd', 'loads augmented blood cells', async (path) => {
  const store = nodeStore()
  const val = await openDataset(store, path, { split: 'val' })
  const loader = createLoader({ ...base, dataset: { ...val, samples: val.samples.slice(0, 16) }, readImage: imageReader(store, nodeCodec), preprocess: { ...preprocess, width: 300, height: 300 }, batch: 8, augment: augmentPresets.ssd, shuffle: true })
  for await (const { images, truths } of loader.epoch(0)) {
    expect(images.length).toBe(8 * 3 * 300 * 300)
    expect(images.every((v) => v > -3 && v < 3)).toBe(true)
    expect(truths.every((t) => t.labels.length > 0)).toBe(true)
  }
  expect(loader.skipped).toEqual([])
})
