/** @file profile, and prune for a latency: what is printed, written, kept and refused. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadModel } from '../../src/onnx/load.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { Net } from '../pruning/nets.ts'
import { cli, cliJson, filesIn, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const caches = join(folder, 'cache', 'espalier')
let bare = ''
let detector = ''

beforeAll(async () => {
  process.env.XDG_CACHE_HOME = join(folder, 'cache')
  const n = new Net(1, [1, 3, 24, 24])
  bare = await putModel(folder, 'bare.onnx', n.model(n.conv('head', n.act('Relu', n.conv('b', n.act('Relu', n.conv('a', n.x, 64)), 64)), 4, 1)))
  detector = await putModel(folder, 'detector.onnx', smallDetector())
})

interface Profile {
  readonly layers: readonly { readonly name: string; readonly shape: string; readonly count: number; readonly ms: number; readonly points: readonly object[] }[]
  readonly whole: readonly { readonly share: number | null; readonly measuredMs: number; readonly predictedMs: number }[]
  readonly cache: string
}

interface Latency {
  readonly limitMs: number
  readonly clock: string
  readonly predicted: { readonly beforeMs: number; readonly afterMs: number }
  readonly measured: { readonly beforeMs: number; readonly afterMs: number }
}

describe('profile', () => {
  it('times each layer and the whole model, and takes no time twice', async () => {
    const first = (await cliJson('profile', bare, '--threads', '1')) as unknown as Profile
    expect(first.layers).toHaveLength(3)
    expect(first.layers.map((l) => l.count)).toEqual([1, 1, 1])
    expect(first.whole.map((w) => w.share)).toEqual([1, 0.9, 0.75, 0.5, 0.25, 0, null, null, null])
    for (const { measuredMs } of first.whole) expect(measuredMs).toBeGreaterThan(0)
    expect(readdirSync(caches)).toEqual([expect.stringMatching(/^latency-[0-9a-f]{16}\.json$/)])
    expect(first.cache).toBe(join(caches, readdirSync(caches)[0]!))
    const before = readFileSync(first.cache, 'utf8')
    expect(await cliJson('profile', bare, '--threads', '1')).toEqual(first)
    expect(readFileSync(first.cache, 'utf8')).toBe(before)
    const { code, out } = await cli('profile', bare, '--threads', '1')
    expect(code).toBe(0)
    expect(out).toMatch(/layer +times +ms +of all +at 90.0%/)
    expect(out).toContain('uneven widths')
  })

  it('--no-cache times all anew and keeps the new times', async () => {
    const { cache } = (await cliJson('profile', bare, '--threads', '1')) as unknown as Profile
    const known = readJson(cache) as { times: Record<string, number> }
    writeFileSync(cache, JSON.stringify({ ...known, times: Object.fromEntries(Object.keys(known.times).map((key) => [key, 1e6])) }))
    const stale = (await cliJson('profile', bare, '--threads', '1')) as unknown as Profile
    expect(stale.whole[0]!.measuredMs).toBe(1e6)
    const { whole } = (await cliJson('profile', bare, '--threads', '1', '--no-cache')) as unknown as Profile
    expect(whole[0]!.measuredMs).not.toBe(1e6)
    expect(Object.values((readJson(cache) as { times: Record<string, number> }).times)).not.toContain(1e6)
  })

  it('tells of a damaged file of times, and measures anew', async () => {
    const file = join(caches, readdirSync(caches)[0]!)
    writeFileSync(file, 'nonsense')
    const { code, err } = await cli('profile', bare, '--threads', '1')
    expect(code).toBe(0)
    expect(err).toContain(`${file}: is damaged and not used`)
    expect(Object.keys((readJson(file) as { times: object }).times).length).toBeGreaterThan(10)
  })
})

describe('prune for a latency', () => {
  it.each([[['--speedup', '1.4']], [['--speedup', '1.4', '--dry-run']]])('%j, without images: the prediction meets the budget; predicted and measured are told and saved', async (asked) => {
    const out = join(folder, asked.join(''))
    const json = (await cliJson('prune', bare, '--method', 'l1', ...asked, '--threads', '1', '--out', out)) as unknown as { latency: Latency; after: object }
    const { limitMs, predicted, measured, clock } = json.latency
    expect(predicted.afterMs).toBeLessThanOrEqual(limitMs)
    expect(predicted.beforeMs).toBeGreaterThan(predicted.afterMs)
    expect([measured.beforeMs > 0, measured.afterMs > 0, clock]).toEqual([true, true, 'processor'])
    expect(json.latency).toMatchObject({ asked: { speedup: 1.4 } })
    expect(readJson(join(out, 'run.json'))).toMatchObject({ latency: json.latency, options: { speedup: 1.4, cache: true } })
    if (!asked.includes('--dry-run')) expect(modelCost(await loadModel(nodeStore(), join(out, 'pruned.onnx')))).toMatchObject(json.after)
    else expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'run.json'])
  })

  it('widths by sensitivity on images, by a time', async () => {
    const whole = ((await cliJson('profile', detector, '--threads', '1')) as unknown as Profile).whole[0]!.measuredMs
    const out = join(folder, 'sensitive')
    const { code, out: text, err } = await cli('prune', detector, '--data', 'shapes', '--method', 'l1', '--widths', 'sensitive', '--width-images', '4', '--latency', `${(whole * 0.9).toFixed(3)}ms`, '--threads', '1', '--dry-run', '--out', out)
    expect(code, err).toBe(0)
    expect(text).toMatch(/predicted +\d+\.\d\d +\d+\.\d\d +\d+\.\d\dx\nmeasured +\d/)
    const { latency } = readJson(join(out, 'run.json')) as unknown as { latency: Latency }
    expect(latency.predicted.afterMs).toBeLessThanOrEqual(latency.limitMs)
    expect(latency.limitMs).toBeCloseTo(whole * 0.9, 2)
  })

  it('says so where the model is fast enough, and leaves it whole', async () => {
    const out = join(folder, 'enough')
    const { code, err } = await cli('prune', bare, '--method', 'l1', '--latency', '100s', '--threads', '1', '--dry-run', '--out', out)
    expect(code, err).toBe(0)
    expect(err).toMatch(/bare\.onnx: a run takes \d+\.\d\d ms as it is; for --latency 100s nothing has to go/)
    expect(readJson(join(out, 'run.json'))).toMatchObject({ widths: { 'a.w': { before: 64, after: 64 }, 'b.w': { before: 64, after: 64 } } })
  })

  it('names the lowest prediction where the time is too short, before anything is written', async () => {
    const out = join(folder, 'short')
    const { code, err } = await cli('prune', bare, '--method', 'l1', '--latency', '0.000001s', '--threads', '1', '--out', out)
    expect(code).toBe(2)
    expect(err).toMatch(/espalier: 0\.001 ms cannot be reached: with the 2 chosen groups at their least widths a run is predicted to take \d+\.\d\d ms\. Allow more time/)
    expect(filesIn(out)).toEqual([])
  })

  it.each([
    [['--latency', 'soon'], '--latency must be a time above 0 such as 12ms or 0.012s, not "soon"'],
    [['--latency', '0ms'], '--latency must be a time above 0'],
    [['--latency', '12 min'], '--latency must be a time above 0'],
    [['--speedup', '1'], '--speedup must be a number above 1, not "1"'],
    [['--latency', '12ms', '--speedup', '2', '--remove-params', '0.3'], '--latency and --speedup are both given; give one of them'],
    [['--remove-macs', '0.3', '--no-cache'], '--no-cache has no meaning without --latency or --speedup'],
    [['--speedup', '2', '--plan', 'plan.json'], 'give either --plan or a budget'],
  ])('%j is refused', async (options, message) => {
    const { code, err } = await cli('prune', bare, '--method', 'l1', ...options, '--out', join(folder, 'refused'))
    expect(err).toContain(message)
    expect(code).toBe(2)
  })
})
