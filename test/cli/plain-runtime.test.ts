/** @file A pruned file needs nothing of ours: a bare onnxruntime-node process runs it, from the file alone. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { loadModel } from '../../src/onnx/load.ts'
import { randomFeeds } from '../../src/runtime/latency.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { cliJson, put, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a deployment does; no flag of `node` loads TypeScript, so nothing of src/ could be imported. */
const deployment = `
  import { readFileSync, writeFileSync } from 'node:fs'
  import { createRequire } from 'node:module'
  const { InferenceSession, Tensor } = createRequire(process.argv[1])('onnxruntime-node')
  const [, , model, image, result] = process.argv
  const session = await InferenceSession.create(model)
  const bytes = readFileSync(image)
  const pixels = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  const outputs = await session.run({ [session.inputNames[0]]: new Tensor('float32', pixels, [1, 3, 160, 160]) })
  writeFileSync(result, JSON.stringify(Object.fromEntries(session.outputNames.map((name) => [name, { dims: outputs[name].dims, data: [...outputs[name].data] }]))))
`

it('pruned.onnx runs in plain onnxruntime-node and gives what our session gives', async () => {
  const model = await putModel(folder, 'small.onnx', smallDetector())
  await cliJson('prune', model, '--data', 'shapes', '--limit', '8', '--threads', '1', '--method', 'l1', '--remove-params', '0.5', '--finetune-epochs', '1', '--out', join(folder, 'run'))
  const file = join(folder, 'run/pruned.onnx')
  const pruned = await loadModel(nodeStore(), file)
  expect(pruned.graph.nodes.map((n) => n.domain).filter((domain) => domain !== '' && domain !== 'ai.onnx')).toEqual([])

  const feeds = randomFeeds(pruned, file, createRng('image'))
  const [image] = Object.values(feeds)
  const pixels = await put(folder, 'image.raw', new Uint8Array((image!.data as Float32Array).slice().buffer))
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', deployment, '--', join(root, 'package.json'), file, pixels, join(folder, 'outputs.json')], { cwd: folder, env: {} })

  const plain = readJson(join(folder, 'outputs.json')) as Record<string, { dims: number[]; data: number[] }>
  const ours = await runOnce(nodeRuntime, readFileSync(file), feeds)
  expect(Object.keys(plain)).toEqual(['scores', 'boxes'])
  for (const [name, { dims, data }] of Object.entries(plain)) {
    expect(dims).toEqual([...ours[name]!.dims])
    const wanted = Array.from(ours[name]!.data as Float32Array)
    const scale = Math.max(...wanted.map(Math.abs))
    expect(scale).toBeGreaterThan(0.01)
    expect(Math.max(...data.map((x, i) => Math.abs(x - wanted[i]!))) / scale).toBeLessThan(1e-5)
  }
})
