/** @file Models of more than 2 GiB: read by ranges, cut, written in a stream; untouched weights are in memory once. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { afterAll, describe, expect, it } from 'vitest'
import { serializeInParts } from '../../src/onnx/save.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { cutBytes, weightBytes, writeLargeModel } from '../support/large-model.ts'
import { inputsFor, Net, run } from '../pruning/nets.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-large-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { bavail, bsize } = statfsSync(folder)
const gigabyte = 2 ** 30
const lack = bavail * bsize < 3 * gigabyte ? 'needs 3 GiB of disk' : freemem() < 5 * gigabyte ? 'needs 5 GiB of memory' : undefined

/** What test/support/large-model.ts tells of the model `name`. */
async function take(name: string): Promise<Record<'before' | 'loaded' | 'cut' | 'saved' | 'shared', number> & { corners: number[]; dims: number[][] }> {
  const script = join(root, 'test/support/large-model.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script, folder, name], { cwd: root })
  return JSON.parse(stdout) as Awaited<ReturnType<typeof take>>
}

describe('a model over 2 GiB', () => {
  it.skipIf(lack !== undefined)(`is loaded, cut and saved with its weights in memory once${lack === undefined ? '' : ` (${lack})`}`, { timeout: 300_000 }, async () => {
    writeLargeModel(folder)
    expect(weightBytes).toBeGreaterThan(2 ** 31)
    expect(statSync(join(folder, 'big.bin')).blocks * 512).toBeLessThan(gigabyte / 100)
    const first = await take('big.onnx')
    expect(first.loaded - first.before).toBeLessThan(1.05 * weightBytes)
    expect(first.saved - first.before).toBeLessThan(1.1 * weightBytes)
    // All layers but the two that the cut touches.
    expect(first.shared).toBe(8)

    expect(statSync(join(folder, 'cut.onnx.data')).size).toBe(cutBytes)
    expect(cutBytes).toBeGreaterThan(2 ** 31)
    const second = await take('cut.onnx')
    expect(second.corners).toEqual(new Array<number>(10).fill(2))
    expect(second.dims.slice(2, 6)).toEqual([[8192, 8192], [8192, 1024], [1024, 8192], [8192, 8192]])
    expect(second.loaded - second.before).toBeLessThan(1.05 * cutBytes)
  })
})

describe('a model in parts', () => {
  it('runs with its weights where they are', async () => {
    const net = new Net(1)
    const model = net.model(net.conv('head', net.act('Relu', net.conv('c1', net.x, 60)), 2, 1))
    const parts = serializeInParts(model)
    expect(parts.data.map((d) => d.data.length)).toEqual([60 * 27 * 4])
    expect(parts.data[0]!.data.buffer).toBe((model.graph.initializers[0]!.initializer!.data as Float32Array).buffer)
    const feeds = inputsFor(model, createRng(1))
    const session = await InferenceSession.create(parts.model, { externalData: parts.data, logSeverityLevel: 4 })
    const out = await session.run({ x: new OrtTensor('float32', feeds.x!.data as Float32Array, feeds.x!.dims) })
    await session.release()
    expect(out.head!.data).toEqual((await run(model, feeds)).head!.data)
  })
})
