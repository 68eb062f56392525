/** @file Pruned real detectors run in plain onnxruntime-web, as WebAssembly, and give what plain onnxruntime-node gives. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { loadModel } from '../../src/onnx/load.ts'
import { randomFeeds } from '../../src/runtime/latency.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { sharedIt } from '../support/shared.ts'
import { cliJson, put, readJson, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a page or a server does, with the names that both packages share; no flag of `node` loads TypeScript, so nothing of src/ could be imported. */
const deployment = `
  import { readFileSync, writeFileSync } from 'node:fs'
  const [, packageName, provider, model, image, dims, result] = process.argv
  const ort = await import(packageName)
  if (provider === 'wasm') ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: [provider] })
  const bytes = readFileSync(image)
  const pixels = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', pixels, JSON.parse(dims)) })
  writeFileSync(result, JSON.stringify(Object.fromEntries(session.outputNames.map((name) => [name, { dims: outputs[name].dims, data: [...outputs[name].data] }]))))
`

type Outputs = Readonly<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>>

async function runPlain(packageName: string, provider: string, model: string, image: string, dims: readonly number[]): Promise<Outputs> {
  const result = `${model}.${provider}.json`
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', deployment, '--', packageName, provider, model, image, JSON.stringify(dims), result], { cwd: root, env: {} })
  return readJson(result) as Outputs
}

const span = (xs: readonly number[]): [number, number] => xs.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity])

// In Node the package's main entry is a build for Node; under /wasm lies the file that browsers load.
describe.each(['nanodet_m_320', 'yolox_nano', 'FastestDet', 'yolo-fastest-1.1', 'version-RFB-320'])('%s, pruned', (name) => {
  sharedIt(`models/${name}.onnx`, 'computes in onnxruntime-web what it computes in onnxruntime-node', async (path) => {
    const out = join(folder, name)
    await cliJson('prune', path, '--method', 'l1', '--remove-macs', '0.3', '--threads', '1', '--out', out)
    const file = join(out, 'pruned.onnx')
    const pruned = await loadModel(nodeStore(), file)
    const [image, ...others] = Object.values(randomFeeds(pruned, file, createRng(name)))
    expect(others).toEqual([])
    const pixels = await put(out, 'image.raw', new Uint8Array((image!.data as Float32Array).slice().buffer))

    const wanted = await runPlain('onnxruntime-node', 'cpu', file, pixels, image!.dims)
    expect(Object.keys(wanted)).toEqual(pruned.graph.outputs.map((v) => v.name))
    for (const build of ['onnxruntime-web', 'onnxruntime-web/wasm']) {
      const web = await runPlain(build, 'wasm', file, pixels, image!.dims)
      expect(Object.keys(web), build).toEqual(Object.keys(wanted))
      for (const [output, { dims, data }] of Object.entries(web)) {
        const reference = wanted[output]!
        expect(dims, output).toEqual(reference.dims)
        expect(data.length, output).toBe(reference.data.length)
        const [low, high] = span(reference.data)
        const scale = Math.max(-low, high)
        // Constants would be equal whatever went wrong.
        expect((high - low) / scale, output).toBeGreaterThan(0.1)
        expect(span(data.map((x, i) => Math.abs(x - reference.data[i]!)))[1] / scale, `${build}, ${output}`).toBeLessThan(1e-4)
      }
    }
  })
})
