/** @file Layers timed alone: what is run, what is kept, and what a cache file that is not right does. No times are judged. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { cpuClock } from '../../src/runtime/clock-node.ts'
import { layerKey, layerModel, layerOf, timeLayer } from '../../src/runtime/layer-times.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { cacheFolder, openTimesCache } from '../../src/runtime/times-cache-node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { inputsFor, Net } from '../pruning/nets.ts'

/** Dense and depthwise layers of a small net. */
function layers() {
  const net = new Net(1, [1, 3, 6, 6])
  const model = net.model(net.grouped('deep', net.conv('b', net.conv('a', net.x, 8, 3), 8, 3), 8, 8))
  return model.graph.nodes.filter((n) => n.opType === 'Conv').map(layerOf)
}

describe('layers', () => {
  it('have one key where they take the same time', () => {
    const [a, b] = layers()
    expect(layerKey(a!)).not.toBe(layerKey(b!))
    expect(layers().map(layerKey)).toEqual(layers().map(layerKey))
    expect(layerKey(a!)).toContain('x1x3x6x6')
  })

  it.each([0, 1, 2])('run as they are, one or several side by side (layer %i)', async (i) => {
    const layer = layers()[i]!
    for (const count of [1, 3]) {
      const model = layerModel(layer, count)
      expect(model.graph.nodes.filter((n) => n.opType === layer.node.opType)).toHaveLength(count)
      const { sum } = await runOnce(nodeRuntime, model, inputsFor(model, createRng(1)))
      expect(sum!.dims).toEqual([1, 8, 6, 6])
    }
    expect(await timeLayer(layer, { runtime: nodeRuntime, session: { threads: 1 } })).toBeGreaterThanOrEqual(0)
  })
})

describe('cpuClock', () => {
  it('is there where one thread of the CPU does the work', () => {
    expect([{ threads: 1 }, { threads: 1, provider: 'cpu' }].map((s) => cpuClock(s) !== undefined)).toEqual([true, true])
    expect([{}, { threads: 2 }, { threads: 1, provider: 'webgpu' }].map(cpuClock)).toEqual([undefined, undefined, undefined])
  })
})

describe('openTimesCache', () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-times-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const on = { cpu: 'some processor', provider: 'cpu', threads: 1, runtime: 'a runtime 1.0' }
  const notes: string[] = []
  const open = (more: { anew?: boolean; on?: typeof on } = {}) => openTimesCache(more.on ?? on, { folder, anew: more.anew, note: (text) => void notes.push(text) })

  it('keeps times for the next process, each combination in a file of its own', async () => {
    const first = await open()
    await first.set('a', 1.5)
    await first.save()
    expect((await open()).get('a')).toBe(1.5)
    for (const other of [{ ...on, cpu: 'another' }, { ...on, threads: 2 }, { ...on, provider: 'wasm' }, { ...on, runtime: 'a runtime 1.1' }]) expect((await open({ on: other })).get('a')).toBeUndefined()
    expect(readdirSync(folder)).toHaveLength(1)
    expect(notes).toEqual([])
  })

  it('keeps what another process wrote meanwhile', async () => {
    const [one, two] = [await open(), await open()]
    await one.set('b', 2)
    await two.set('c', 3)
    await one.save()
    await two.save()
    const next = await open()
    expect(['a', 'b', 'c'].map((key) => next.get(key))).toEqual([1.5, 2, 3])
  })

  it('measured anew, knows nothing and replaces', async () => {
    const anew = await open({ anew: true })
    expect(anew.get('a')).toBeUndefined()
    await anew.set('a', 7)
    await anew.save()
    const next = await open()
    expect(['a', 'b'].map((key) => next.get(key))).toEqual([7, 2])
  })

  it.each([['no JSON', '{"version":1'], ['another form', '{"version":2,"times":{}}'], ['a time below 0', JSON.stringify({ version: 1, on, times: { a: -1 } })]])('tells of a damaged file and does without it: %s', async (_, content) => {
    const { file } = await open()
    notes.length = 0
    writeFileSync(file, content)
    const cache = await open()
    expect(cache.get('a')).toBeUndefined()
    expect(notes).toEqual([expect.stringMatching(/: is damaged and not used \(.+\); layers are timed anew$/)])
    await cache.set('d', 4)
    await cache.save()
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ version: 1, on, times: { d: 4 } })
  })

  it('is in the folder that the user\'s environment names', () => {
    expect(cacheFolder({ XDG_CACHE_HOME: '/somewhere' })).toBe(join('/somewhere', 'espalier'))
    expect(cacheFolder({ XDG_CACHE_HOME: '' })).toBe(cacheFolder({}))
    expect(cacheFolder({})).toMatch(/\.cache.espalier$/)
  })
})
