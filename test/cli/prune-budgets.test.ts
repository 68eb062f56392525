/** @file Budgets, kept layers, rankings and rounds on the command line: what is written keeps what was asked for. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseSize, savePruned } from '../../src/cli/budget-options.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { savedSize } from '../../src/onnx/save.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { bareModel, cli, cliJson, filesIn, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const few = ['--data', 'shapes', '--limit', '8', '--threads', '1']
const quick = ['--batch', '4', '--images', '4', '--boxes', '8', '--stage-epochs', '1', '--update-epochs', '0']
let detector = ''
let bare = ''

beforeAll(async () => {
  detector = await putModel(folder, 'detector.onnx', smallDetector())
  bare = await putModel(folder, 'bare.onnx', bareModel())
})

interface Result {
  readonly before: { params: number; macs: number }
  readonly after: { params: number; macs: number }
  readonly widths: Record<string, { before: number; after: number }>
}

describe('--max-size', () => {
  it('is kept by the file that is written', async () => {
    const limit = Math.floor(statSync(bare).size * 0.6)
    const out = join(folder, 'small')
    const { code, out: stdout, err } = await cli('prune', bare, '--method', 'l1', '--max-size', `${limit}`, '--out', out)
    expect(code, err).toBe(0)
    const bytes = statSync(join(out, 'pruned.onnx')).size
    expect(bytes).toBeLessThanOrEqual(limit)
    expect(bytes).toBeGreaterThan(limit * 0.6)
    expect(readJson(join(out, 'run.json'))).toMatchObject({ size: { limitBytes: limit, bytes } })
    expect(stdout).toContain(`(${bytes} bytes), `)
  })

  it('holds after training too, with data', async () => {
    const out = join(folder, 'trained')
    const json = await cliJson('prune', detector, ...few, '--method', 'l1', '--max-size', '900KB', '--finetune-epochs', '1', '--out', out)
    const bytes = statSync(join(out, 'pruned.onnx')).size
    expect(bytes).toBeLessThanOrEqual(900_000)
    expect(json).toMatchObject({ size: { limitBytes: 900_000, bytes }, certificate: { ok: true, sameWeights: false } })
  })

  it('removes what is larger on the disk, and says so', async () => {
    const path = join(folder, 'large.onnx')
    const model = await loadModel(nodeStore(), bare)
    await expect(savePruned(path, model, { maxSize: savedSize(model) - 1 })).rejects.toThrow(/large\.onnx: takes 41\.7 KB \(\d+ bytes\) as written, more than --max-size \d+ bytes; it is removed again/)
    expect(filesIn(folder)).not.toContain('large.onnx')
    await savePruned(path, model, { maxSize: savedSize(model) })
    expect(statSync(path).size).toBe(savedSize(model))
  })

  it('reads sizes', () => {
    expect(['3MB', '3 mb', '3MiB', '.5KB', '2KiB', '120000', '1.5gb', '7B'].map(parseSize)).toEqual([3e6, 3e6, 3 * 2 ** 20, 500, 2048, 120_000, 1.5e9, 7])
    for (const wrong of ['', 'small', '0MB', '-3MB', '3 TB', '3M', '1e6']) expect(() => parseSize(wrong)).toThrow(`--max-size must be a size above 0 such as 3MB, 500KB or 3MiB, not "${wrong}"`)
  })
})

describe('several budgets', () => {
  it('are all met', async () => {
    const { before, after, widths } = await cliJson('prune', bare, '--method', 'l1', '--remove-params', '0.2', '--remove-macs', '0.3', '--remove-channels', '0.5', '--max-size', '40KB', '--dry-run', '--out', join(folder, 'several')) as unknown as Result
    expect(after.params).toBeLessThanOrEqual(0.8 * before.params)
    expect(after.macs).toBeLessThanOrEqual(0.7 * before.macs)
    const sum = (key: 'before' | 'after'): number => Object.values(widths).reduce((n, w) => n + w[key], 0)
    expect(sum('after')).toBeLessThanOrEqual(0.5 * sum('before'))
  })
})

describe('--keep', () => {
  it('leaves layers whole, by names with *, given once or more often', async () => {
    const { widths } = await cliJson('prune', detector, ...few, '--method', 'l1', '--remove-params', '0.2', '--keep', 'stem.*, layer1.*', '--keep', 'layer2.0.conv1', '--dry-run', '--out', join(folder, 'kept')) as unknown as Result
    for (const [id, w] of Object.entries(widths)) if (/^(stem|layer1)\.|^layer2\.0\.conv1/.test(id)) expect([id, w.after]).toEqual([id, w.before])
    expect(Object.values(widths).filter((w) => w.after < w.before).length).toBeGreaterThan(0)
  })

  it('is told by inspect, in full with --json', async () => {
    const { out } = await cli('inspect', bare)
    expect(out).toContain('prune --keep NAMES')
  })
})

describe('--ranking global', () => {
  it('lets groups differ in what they lose, within the same budget, and cuts by the same scores', async () => {
    const runs = []
    for (const ranking of ['uniform', 'global']) runs.push(await cliJson('prune', detector, ...few, '--method', 'l1', '--remove-params', '0.4', '--round', '1', '--ranking', ranking, '--dry-run', '--out', join(folder, `ranking-${ranking}`)) as unknown as Result)
    const shares = runs.map(({ widths }) => Object.values(widths).filter((w) => w.after < w.before).map((w) => w.after / w.before))
    const spread = shares.map((list) => Math.max(...list) - Math.min(...list))
    expect(spread[1]!).toBeGreaterThan(2 * spread[0]!)
    for (const { before, after } of runs) expect(after.params).toBeLessThanOrEqual(0.6 * before.params)
  })
})

describe('--rounds', () => {
  it.each([['l1', []], ['lcp', quick]])('%s: reaches the budget in steps, with one plan for the original file', async (method, options) => {
    const out = join(folder, `rounds-${method}`)
    const json = await cliJson('prune', detector, ...few, '--method', method, ...options, '--finetune-batch', '4', '--remove-params', '0.6', '--round', '4', '--rounds', '3', '--round-epochs', '1', '--finetune-epochs', '1', '--out', out)
    const { before, after, passes, certificate } = json as unknown as Result & { passes: Record<string, number>; certificate: object }
    expect(certificate).toMatchObject({ ok: true, sameWeights: false })
    expect(after.params).toBeLessThanOrEqual(0.4 * before.params)
    const record = readJson(join(out, 'run.json')) as unknown as { rounds: { round: number; params: number; passes: Record<string, number>; epochs: object[] }[]; epochs: object[] }
    expect(record.rounds.map((r) => [r.round, r.epochs.length])).toEqual([[1, 1], [2, 1], [3, 0]])
    expect(record.epochs).toHaveLength(1)
    // What is left shrinks by the same factor in every step.
    record.rounds.forEach(({ params }, i) => {
      const wanted = before.params * 0.4 ** ((i + 1) / 3)
      expect(params).toBeLessThanOrEqual(wanted)
      expect(params).toBeGreaterThan(0.8 * wanted)
    })
    expect(record.rounds[2]!.params).toBe(after.params)
    for (const key of ['selection', 'stage', 'update'] as const) expect(record.rounds.reduce((n, r) => n + r.passes[key]!, 0)).toBe(passes[key])
    expect(passes.finetune).toBe(8 * 3)
    expect(passes.total).toBe(passes.selection! + passes.stage! + passes.update! + passes.finetune!)
    // The plan alone makes the same shapes of the original file, and is proven on it.
    const replayed = await cliJson('prune', detector, '--plan', join(out, 'plan.json'), '--out', join(folder, `replayed-${method}`))
    expect(replayed).toMatchObject({ after: { params: after.params }, certificate: { ok: true, sameWeights: true } })
    expect(readFileSync(join(out, 'log.txt'), 'utf8')).toContain('step 2 of 3')
  }, 120_000)

  it('divides a size and counts towards --total-passes; --dry-run trains between steps', async () => {
    const out = join(folder, 'rounds-dry')
    const json = await cliJson('prune', detector, ...few, '--method', 'l1', '--max-size', '800KB', '--rounds', '2', '--dry-run', '--out', out)
    expect(json).toMatchObject({ passes: { finetune: 8 }, size: { limitBytes: 800_000 } })
    expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'run.json'])
    const total = await cliJson('prune', detector, ...few, '--method', 'l1', '--remove-params', '0.5', '--rounds', '2', '--total-passes', '24', '--out', join(folder, 'rounds-total'))
    expect(total).toMatchObject({ passes: { finetune: 24, total: 24 } })
  }, 60_000)
})

describe('--epsilon alone', () => {
  it('keeps what greedy selection chose, which need not be the same share of each group', async () => {
    const out = join(folder, 'settled')
    const json = await cliJson('prune', detector, ...few, ...quick, '--select', 'greedy', '--epsilon', '0.2', '--finetune-epochs', '0', '--keep', 'stem.*,layer1.*,layer2.*,extra*', '--out', out) as unknown as Result
    expect(json).toMatchObject({ certificate: { ok: true } })
    const { stages } = readJson(join(out, 'run.json')) as unknown as { stages: { layers: { before: number; after: number }[]; rounds: number }[] }
    const layers = stages.flatMap((s) => s.layers)
    expect(layers.length).toBeGreaterThan(0)
    // At least two blocks of 8 are added before a change can be small.
    for (const { before, after } of layers) expect([after % 8 === 0 || after === before, after >= Math.min(16, before)]).toEqual([true, true])
    expect(json.after.params).toBeLessThan(json.before.params)
    expect(Object.values(json.widths ?? readJson(join(out, 'run.json')).widths as Result['widths']).some((w) => w.after < w.before)).toBe(true)
  }, 120_000)
})

describe('what cannot be combined', () => {
  it.each([
    [['--remove-params', '0.3', '--widths', 'sensitive', '--ranking', 'global', ...few], '--ranking global and --widths sensitive both decide what each group loses'],
    [['--remove-params', '0.3', '--ranking', 'global', ...few], '--ranking global puts the channels of all groups in one order before the first cut, but --method lcp scores stage by stage'],
    [['--epsilon', '0.1', ...few], '--epsilon alone leaves it to greedy selection how many channels stay, and --method lcp selects otherwise here; give --select greedy'],
    [['--epsilon', '0.1', '--method', 'l1', ...few], '--epsilon alone leaves it to greedy selection'],
    [['--epsilon', '0.1', '--select', 'greedy', '--rounds', '2', ...few], '--rounds divides a budget into steps'],
    [['--epsilon', '0.1', '--select', 'greedy', '--ranking', 'global', ...few], '--ranking global shares out a budget'],
    [['--method', 'l1', '--remove-params', '0.3', '--round-epochs', '2', ...few], '--round-epochs has no meaning with a single step'],
    [['--method', 'l1', '--remove-params', '0.3', '--rounds', '2'], '--rounds has no meaning without images'],
    [['--method', 'l1', '--remove-params', '0.3', '--keep', 'stem,,head'], '--keep "stem,,head" has an empty name'],
    [['--method', 'l1', '--remove-params', '0.3', '--keep', 'layer9.0.conv1'], 'matches no node, weight or channel group of the model; near it are "layer'],
    [['--method', 'l1', '--max-size', '1KB'], 'a file of 1.0 KB (1000 bytes) cannot be reached'],
    [['--method', 'l1', '--max-size', 'small'], '--max-size must be a size above 0'],
    [['--method', 'l1', '--remove-channels', '0.99'], '99% of the channels cannot be removed'],
    [['--plan', 'plan.json', '--max-size', '3MB'], 'give either --plan or a budget'],
    [['--plan', 'plan.json', '--keep', 'stem.*'], '--keep has no meaning with --plan'],
  ])('%j', async (argv, message) => {
    const out = join(folder, 'refused')
    const { code, err } = await cli('prune', detector, ...argv, '--out', out)
    expect(err).toContain(message)
    expect({ code, files: filesIn(out) }).toEqual({ code: 2, files: [] })
  })
})
