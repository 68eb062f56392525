/** @file The certificate of prune: on random inputs and on images; a cut that fails it ends with exit code 3, and nothing is written. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { setInitializer } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { cancelling, pairs } from '../pruning/cancelling.ts'
import { Net } from '../pruning/nets.ts'
import { cli, cliJson, filesIn, put, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const few = ['--data', 'shapes', '--limit', '8', '--threads', '1']
const l1 = ['--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '0']
let model = ''

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

/** A detector of which one layer's sums cancel, pair by pair of channels, so that only rounding is left; l1 keeps or removes both of a pair. */
function cancellingDetector(): Model {
  const detector = smallDetector()
  const change = (name: string, f: (x: Float32Array, per: number) => void): void => {
    const v = valueNamed(detector.graph, name)
    const { dims } = v.initializer!
    const data = floats(v.initializer!).slice()
    f(data, data.length / dims[0]!)
    setInitializer(v, f32(data, dims))
  }
  const layer = 'layer4.0'
  change(`${layer}.conv1.weight`, (x, per) => {
    for (let c = 0; c < x.length / per; c += 2) x.copyWithin((c + 1) * per, c * per, (c + 1) * per)
  })
  change(`${layer}.bn1.bias`, (x) => x.forEach((_, c) => (x[c] = 1e7 + 1e5 * (c >> 1))))
  change(`${layer}.conv2.weight`, (x, per) => {
    for (let at = 0; at < x.length; at += per) for (let c = 0; c < per; c += 18) for (let k = 0; k < 9; k++) x[at + c + 9 + k] = -x[at + c + k]!
  })
  return detector
}

describe('the certificate', () => {
  it('of prune tries random inputs and images, and looks at every shape', async () => {
    const out = join(folder, 'pruned')
    const { certificate } = (await cliJson('prune', model, ...few, ...l1, '--out', out)) as { certificate: { maxRelError: number; shapes: number; outputs: { maxReference: number }[] } }
    expect(certificate).toMatchObject({ ok: true, tolerance: 1e-4, inputs: 4, images: 2, sameWeights: true, strict: true, folding: expect.any(Number), outputs: [{ name: 'scores' }, { name: 'boxes' }] })
    expect(certificate.maxRelError).toBeLessThan(1e-4)
    expect(certificate.shapes).toBeGreaterThan(50)
    for (const { maxReference } of certificate.outputs) expect(maxReference).toBeGreaterThan(0)
    expect(readJson(join(out, 'run.json'))).toMatchObject({ certificate })
  })

  it('of a replay takes images where --data is given', async () => {
    const plan = join(folder, 'pruned/plan.json')
    expect(await cliJson('prune', model, '--plan', plan, '--out', join(folder, 'blind'))).toMatchObject({ certificate: { ok: true, inputs: 2, images: 0 } })
    expect(await cliJson('prune', model, '--plan', plan, ...few, '--out', join(folder, 'seeing'))).toMatchObject({ certificate: { ok: true, inputs: 4, images: 2 } })
    expect(readJson(join(folder, 'seeing/run.json'))).toMatchObject({ data: 'shapes' })
  })

  it('lists what enters a choice', async () => {
    const net = new Net(1, [1, 3, 4, 4])
    const scores = net.b.reshape(net.conv('score', net.act('Sigmoid', net.conv('c1', net.x, 6, 1)), 1, 1), [16])
    const [best, places] = net.b.ops('TopK', [scores, net.b.ints([3])], 2, { axis: 0 }, 'best')
    const path = await putModel(folder, 'topk.onnx', net.model(best!, places!))
    const plan = await planFor(net.model(), 'c1.w', [0, 2], 'topk.json')
    expect(await cliJson('prune', path, '--plan', plan, '--out', join(folder, 'topk'))).toMatchObject({
      certificate: { outputs: [{ name: 'best_0' }, { name: 'best_1' }, { name: 'reshape', before: 'TopK "best_0"', relative: expect.any(Number) }] },
    })
  })
})

async function planFor(original: Model, id: string, units: readonly number[], name: string): Promise<string> {
  return put(folder, name, JSON.stringify(makePlan(findGroups(original), new Map([[id, units]]), { method: 'hand' })))
}

describe('a cut that is not proven', () => {
  const message = (file: string, output: string): RegExp => new RegExp(`^espalier: ${file}: the cut is not proven to be the same as zeroing its channels: output "${output}" is off by \\S+ where its largest value is \\S+: a share of \\S+, 0\\.0001 is allowed\\. Nothing was written; please report the model\\n$`)

  it('ends a replay with exit code 3; nothing is written', async () => {
    const original = cancelling()
    const path = await putModel(folder, 'cancelling.onnx', original)
    const plan = await planFor(original, 'big.w', pairs((k) => k % 3 !== 1), 'cancelling.json')
    const out = join(folder, 'refused')
    const { code, out: stdout, err } = await cli('prune', path, '--plan', plan, '--out', out)
    expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 3, stdout: '', files: [] })
    expect(err).toMatch(message(path, 'head'))
  })

  it('ends prune with exit code 3; only the log is there, and what a former run left is as it was', async () => {
    const path = await putModel(folder, 'cancelling-detector.onnx', cancellingDetector())
    const out = join(folder, 'refused-run')
    const { code, out: stdout, err } = await cli('prune', path, ...few, ...l1, '--quiet', '--out', out)
    expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 3, stdout: '', files: ['log.txt'] })
    expect(err).toMatch(message(path, '(scores|boxes)'))
    expect(readFileSync(join(out, 'log.txt'), 'utf8')).toContain('failed: UserError')

    const former = join(folder, 'pruned')
    const contents = (): string[] => ['run.json', 'plan.json', 'pruned.onnx'].map((name) => readFileSync(join(former, name), 'latin1'))
    const before = contents()
    expect((await cli('prune', path, ...few, ...l1, '--quiet', '--force', '--out', former)).code).toBe(3)
    expect(contents()).toEqual(before)
  })

  it('is told from a model that does not run in the first place', async () => {
    const net = new Net(2, [1, 3, 4, 4])
    const model = net.model(net.conv('head', net.act('Relu', net.conv('c1', net.x, 4, 1)), 2, 1))
    const plan = await planFor(model, 'c1.w', [0], 'unknown.json')
    Object.assign(model.graph.nodes[1]!, { opType: 'NoSuchThing', domain: '' })
    const path = await putModel(folder, 'unknown.onnx', model)
    const { code, err } = await cli('prune', path, '--plan', plan, '--out', join(folder, 'unknown'))
    expect(code).toBe(2)
    expect(err).toMatch(/unknown/)
  })
})
