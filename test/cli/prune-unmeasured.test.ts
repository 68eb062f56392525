/** @file prune without --data: any model, weights alone; what is written, and what is refused. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { cloneModel, setInitializer } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { l1 } from '../../src/pruning/criteria/l1.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { inputsFor, Net } from '../pruning/nets.ts'
import { sharedIt } from '../support/shared.ts'
import { bareModel, cli, cliJson, filesIn, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
let detector = ''
let bare = ''

beforeAll(async () => {
  detector = await putModel(folder, 'detector.onnx', smallDetector())
  bare = await putModel(folder, 'bare.onnx', bareModel())
})

interface Result {
  readonly before: { params: number; macs: number }
  readonly cut: object
  readonly after: { params: number; macs: number }
  readonly widths: Record<string, { before: number; after: number }>
}

describe('prune without --data', () => {
  it.each(['l1', 'random'])('%s: cuts a model without a card, proves it, and marks it as unmeasured', async (method) => {
    const out = join(folder, method)
    const { code, out: stdout, err } = await cli('prune', bare, '--method', method, '--remove-macs', '0.3', '--out', out, '--json')
    expect(code, err).toBe(0)
    const json = JSON.parse(stdout) as Result
    expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'pruned.onnx', 'run.json'])
    const pruned = await loadModel(nodeStore(), join(out, 'pruned.onnx'))
    const { params, macs } = modelCost(pruned)
    expect(json.after).toEqual({ params, macs })
    expect(json.cut).toEqual(json.after)
    expect(macs).toBeLessThanOrEqual(0.7 * json.before.macs)
    expect(json).toMatchObject({ measured: false, certificate: { ok: true, sameWeights: true, images: 0 } })
    const record = readJson(join(out, 'run.json'))
    expect(record).toMatchObject({ measured: false, method, data: null, arch: null, before: json.before, after: json.after, widths: json.widths, options: { removeMacs: 0.3 } })
    expect(Object.keys(record.after as object)).toEqual(['params', 'macs'])
    expect(err).toContain(`${join(out, 'pruned.onnx')}: neither trained nor measured. Next: measure it with "espalier eval `)
    expect(err).toContain(`"espalier finetune ${join(out, 'pruned.onnx')} --teacher ${bare} --data DIR --out RUN"`)
    const feeds = inputsFor(pruned, createRng(1))
    expect((await runOnce(nodeRuntime, pruned, feeds)).head!.dims).toEqual([1, 4, 8, 8])
  })

  it('says unmeasured in words; a detector keeps its card, so that eval goes on from there', async () => {
    const out = join(folder, 'worded')
    const { out: stdout } = await cli('prune', detector, '--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '0', '--out', out)
    expect(stdout).toMatch(/^ +params +MACs +AP\n.*\nbefore .* unmeasured\nafter .* unmeasured\n\nl1, without images: AP not measured, nothing trained; the cut is proven on \d+ random inputs; written to /)
    expect(readJson(join(out, 'run.json'))).toMatchObject({ arch: 'ssd-small' })
    expect(await cliJson('eval', join(out, 'pruned.onnx'), '--data', 'shapes', '--limit', '2')).toMatchObject({ images: 2 })
  })

  it('chooses what the same method chooses with data', async () => {
    const [a, b] = [join(folder, 'without'), join(folder, 'with')]
    await cliJson('prune', detector, '--method', 'random', '--seed', '3', '--remove-params', '0.4', '--dry-run', '--out', a)
    await cliJson('prune', detector, '--method', 'random', '--seed', '3', '--remove-params', '0.4', '--dry-run', '--data', 'shapes', '--limit', '8', '--out', b)
    expect(readJson(join(a, 'plan.json'))).toEqual(readJson(join(b, 'plan.json')))
  })

  it('--dry-run prints the widths and the costs, and writes the plan alone', async () => {
    const out = join(folder, 'dry')
    const { code, out: stdout } = await cli('prune', bare, '--method', 'l1', '--remove-params', '0.5', '--dry-run', '--out', out)
    expect(code).toBe(0)
    const { before, after, widths, measured } = readJson(join(out, 'run.json')) as unknown as Result & { measured: boolean }
    expect(measured).toBe(false)
    expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'run.json'])
    for (const [id, w] of Object.entries(widths)) expect(stdout).toMatch(new RegExp(`\\n${id} +${w.before} +-> +${w.after} +-\\d+\\.\\d%\\n`))
    expect(stdout).toContain('\n2 of 2 groups are cut\n')
    expect(stdout).toMatch(new RegExp(`\\nparams +${(before.params / 1000).toFixed(1)} k +-> +${(after.params / 1000).toFixed(1)} k +-\\d+\\.\\d%\\nMACs `))
    expect(await cliJson('prune', bare, '--plan', join(out, 'plan.json'), '--out', join(folder, 'dry-replayed'))).toMatchObject({ measured: false, after })
  })

  it('ranks half-precision weights by their values', async () => {
    const n = new Net(3, [1, 3, 8, 8])
    const model = n.model(n.conv('head', n.act('Relu', n.conv('a', n.x, 16)), 4, 1))
    const halves = cloneModel(model).model
    // Powers of two: exact in half precision, where 2^e has the word (e + 15) << 10.
    const exponents = Array.from({ length: 16 }, (_, k) => (k * 7) % 16 - 8)
    for (const [copy, dtype] of [[model, 'float32'], [halves, 'float16']] as const) {
      const weight = valueNamed(copy.graph, 'a.w')
      const words = Array.from({ length: 16 * 27 }, (_, i) => exponents[Math.floor(i / 27)]!)
      setInitializer(weight, { dtype, dims: [16, 3, 3, 3], data: dtype === 'float16' ? Uint16Array.from(words, (e) => (e + 15) << 10) : Float32Array.from(words, (e) => 2 ** e) })
    }
    const scores = (m: Model): number[] => [...l1.score(findGroups(m).find((g) => g.id === 'a.w')!, { rng: createRng(0) })]
    expect(scores(halves)).toEqual(exponents.map((e) => 27 * 2 ** e))
    expect(scores(halves)).toEqual(scores(model))
  })

  sharedIt('models/nanodet_m_320.onnx', 'a real detector without a card', async (path) => {
    const json = await cliJson('prune', path, '--method', 'l1', '--remove-macs', '0.3', '--threads', '1', '--out', join(folder, 'nanodet'))
    expect(json).toMatchObject({ measured: false, certificate: { ok: true } })
    expect((json as unknown as Result).after.macs).toBeLessThanOrEqual(0.7 * (json as unknown as Result).before.macs)
  }, 180_000)

  it.each([
    [['--remove-params', '0.3'], '--data is missing: --method lcp judges channels on images'],
    [['--method', 'l1'], 'no budget: give --remove-params or --remove-macs'],
    [['--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '3'], '--finetune-epochs has no meaning without images'],
    [['--method', 'l1', '--remove-params', '0.3', '--widths', 'sensitive'], '--widths sensitive needs images to measure what the outputs suffer; give --data'],
    [['--method', 'l1', '--remove-params', '0.3', '--width-limit', '0.5'], '--width-limit has no meaning with --widths uniform; give --widths sensitive too'],
    [['--method', 'l1', '--remove-params', '0.3', '--width-images', '4'], '--width-images has no meaning with --widths uniform; give --widths sensitive too'],
    [['--method', 'l1', '--remove-params', '0.3', '--split', 'val'], '--split has no meaning without images'],
    [['--method', 'l1', '--remove-params', '0.3', '--limit', '8'], '--limit has no meaning without images'],
    [['--method', 'random', '--remove-params', '0.3', '--no-reconstruction'], '--no-reconstruction has no meaning without images'],
    [['--method', 'l1', '--remove-params', '0.99'], '99% of the parameters cannot be removed'],
  ])('refuses %j', async (argv, message) => {
    const out = join(folder, 'refused')
    const { code, out: stdout, err } = await cli('prune', bare, ...argv, '--out', out)
    expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 2, stdout: '', files: [] })
    expect(err).toContain(message)
  })

  it('refuses a model of which nothing can be cut', async () => {
    const n = new Net(2, [1, 3, 6, 6])
    const path = await putModel(folder, 'whole.onnx', n.model(n.conv('head', n.x, 2, 1)))
    const { code, err } = await cli('prune', path, '--method', 'l1', '--remove-params', '0.3', '--out', join(folder, 'whole'))
    expect(code).toBe(2)
    expect(err).toContain('the model has no channel group to cut')
  })
})
