/** @file Pixels made by a worker: the same numbers as here, and errors that keep their class. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { augmentPresets } from '../../src/data/augment.ts'
import { imageReader } from '../../src/data/codec.ts'
import { encodeImage, nodeCodec } from '../../src/data/image-node.ts'
import { type Batch, createLoader, type LoaderOptions } from '../../src/data/loader.ts'
import { pixelsApart } from '../../src/data/pixels-node.ts'
import { shapesDataset } from '../../src/data/shapes.ts'
import type { Sample } from '../../src/detection/annotation.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { UserError } from '../../src/tensor/error.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-pixels-'))
afterAll(() => rmSync(folder, { recursive: true }))

const shapes = shapesDataset({ seed: 3, split: 'train', count: 9, size: 64 })
const samples = await Promise.all(shapes.dataset.samples.map(async (sample): Promise<Sample> => {
  const path = join(folder, `${sample.id}.png`)
  writeFileSync(path, await encodeImage(shapes.image(sample), 'png'))
  return { ...sample, path }
}))
const base: LoaderOptions = {
  dataset: { ...shapes.dataset, samples },
  readImage: imageReader(nodeStore(), nodeCodec),
  cropResize: nodeCodec.cropResize,
  preprocess: { width: 48, height: 40, channels: 'BGR', mean: [123, 117, 104], std: [58, 57, 57], resize: 'letterbox' },
  batch: 4,
  shuffle: true,
  augment: augmentPresets.ssd,
}

async function batches(options: Partial<LoaderOptions>, epochs: readonly number[] = [1, 2]): Promise<Batch[]> {
  const loader = createLoader({ ...base, ...options })
  const all: Batch[] = []
  for (const n of epochs) for await (const batch of loader.epoch(n)) all.push(batch)
  return all
}

describe('pixelsApart', () => {
  it('makes the same batches as this thread, epoch after epoch, with and without a cache', async () => {
    const here = await batches({})
    expect(here).toHaveLength(6)
    for (const options of [{}, { cacheBytes: 0 }, { prefetch: 0 }, { lastEpoch: 2 }]) expect(await batches({ ...options, pixels: pixelsApart }), JSON.stringify(options)).toEqual(here)
  })

  it('says what is wrong with an image as this thread does', async () => {
    const [a, b] = [join(folder, 'broken.png'), join(folder, 'absent.png')]
    writeFileSync(a, 'no image')
    const odd = [{ ...samples[0]!, path: a }, { ...samples[1]!, path: b }, { ...samples[2]!, width: 63 }, samples[3]!]
    const skippedBy = async (pixels?: LoaderOptions['pixels']) => {
      const loader = createLoader({ ...base, dataset: { ...base.dataset, samples: odd }, pixels })
      for await (const batch of loader.epoch(0)) expect(batch.samples.map((s) => s.id)).toEqual([samples[3]!.id])
      return loader.skipped
    }
    const said = await skippedBy(pixelsApart)
    expect(said.map((s) => s.path).sort()).toEqual([a, b, samples[2]!.path].sort())
    expect(said).toEqual(await skippedBy())
    const job = { preprocess: base.preprocess, rect: { x: 0, y: 0, width: 64, height: 64 }, flip: false }
    await expect(pixelsApart(odd[0]!, job, 0)).rejects.toBeInstanceOf(UserError)
  })

  it('passes on errors that are no user\'s', async () => {
    const nowhere = { preprocess: base.preprocess, rect: { x: 900, y: 0, width: 64, height: 64 }, flip: false }
    const failed = pixelsApart(samples[0]!, nowhere, 0)
    await expect(failed).rejects.toThrow('does not touch an image of 64 pixels')
    await expect(failed).rejects.not.toBeInstanceOf(UserError)
  })
})
