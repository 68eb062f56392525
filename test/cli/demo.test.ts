/** @file The demo, the whole way, on every engine that is here: measured, pruned with proof, trained further; its file is worth on the CPU what the engine said. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { starts } from '../support/engine.ts'
import { cliJson, filesIn, readJson, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const shipped = fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url))
const images = ['--limit', '8']

interface Side {
  readonly params: number
  readonly AP: number
}

const apOnCpu = async (model: string): Promise<number> => (await cliJson('eval', model, '--data', 'shapes', ...images))['AP'] as number

const engines = [['cpu', true, /^onnxruntime-node \d[\d.]*$/], ['wasm', true, /^onnxruntime-web \d[\d.]*, wasm$/], ['webgpu', await starts('webgpu'), /^onnxruntime-node \d[\d.]*, webgpu$/]] as const

describe.each(engines)('the demo on %s', (ep, there, runtime) => {
  it.skipIf(!there)(`ends with half of the parameters and a proof${there ? '' : ' (needs a driver that the provider takes)'}`, async () => {
    const out = join(folder, ep)
    const { before, after, certificate, bench } = (await cliJson('demo', '--ep', ep, ...images, '--finetune-epochs', '1', '--out', out)) as { before: Side; after: Side; certificate: { ok: boolean; maxRelError: number; tolerance: number }; bench: { machine: object } }
    expect(certificate.ok).toBe(true)
    expect(certificate.maxRelError).toBeLessThan(certificate.tolerance)
    expect(after.params / before.params).toBeLessThanOrEqual(0.5)
    expect(after.params / before.params).toBeGreaterThan(0.45)
    expect(before.AP).toBeGreaterThan(0.2)
    expect(before.AP).toBeCloseTo(await apOnCpu(shipped), 2)
    expect(filesIn(out)).toEqual(['log.txt', 'plan.json', 'pruned.onnx', 'run.json'])
    expect(after.AP).toBeGreaterThan(0.02)
    expect(after.AP).toBeCloseTo(await apOnCpu(join(out, 'pruned.onnx')), 2)
    expect(bench.machine).toMatchObject({ runtime: expect.stringMatching(runtime) as string })
    expect((readJson(join(out, 'run.json')).versions as { runtime: string }).runtime).toMatch(runtime)
  }, 600_000)
})
