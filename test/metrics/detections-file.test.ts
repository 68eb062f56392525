/** @file The file of detections: what is read is what was written, to the bit. */
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { packDetections, unpackDetections } from '../../src/metrics/detections-file.ts'
import { randomImages } from './random-images.ts'

const images = randomImages('file', 12, 30).map(({ truth, detections }, i) => ({ sample: { id: `${i}`, path: `images/${i}.jpg`, width: 320, height: 300 + i, truth }, detections }))
const file = { split: 'test', classes: ['a', 'b', 'c', 'd'], images }

describe('the file of detections', () => {
  it('gives back what it was made of', async () => {
    const bytes = await packDetections(file)
    const read = await unpackDetections(new Uint8Array(bytes), 'run/detections.json.gz')
    expect(read).toEqual(file)
    const measure = (of: typeof images) => evaluateCoco(of.map(({ sample, detections }) => ({ truth: sample.truth, detections })), 4)
    expect(measure(read.images as typeof images)).toEqual(measure(images))
    // Anything that reads gzip and JSON reads it.
    expect(JSON.parse(gunzipSync(bytes).toString())).toMatchObject({ version: 1, split: 'test', classes: file.classes })
  })

  it('names the file where it is something else', async () => {
    const name = 'run/detections.json.gz'
    const whole = await packDetections(file)
    await expect(unpackDetections(new Uint8Array(whole.slice(0, 100)), name)).rejects.toThrow(`${name}: is no gzipped JSON; run again what wrote it`)
    await expect(unpackDetections(new TextEncoder().encode('{}'), name)).rejects.toThrow(`${name}: is no gzipped JSON`)
    await expect(unpackDetections(new Uint8Array(gzipSync('{"version":2}')), name)).rejects.toThrow(`${name}: are no detections of a run`)
  })
})
