/** @file Execution providers that are not there: one message, which says what is missing and what to do. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { runtimeOf } from '../../src/runtime/node.ts'
import { providerAbsence, providerNames } from '../../src/runtime/providers.ts'
import { cli, cliJson, filesIn, putModel, smallDetector, temporaryFolder } from '../cli/support.ts'

const folder = temporaryFolder()
const root = fileURLToPath(new URL('../..', import.meta.url))
const here = `${process.platform} ${process.arch}`
const said = { runtime: 'onnxruntime-node 9', message: 'backend not found' }

describe('the message', () => {
  it('names the platforms that have the provider, where this one has not', () => {
    expect(providerAbsence({ provider: 'coreml', platform: 'linux x64', ...said })).toBe(
      'execution provider "coreml" does not run on Linux x64: onnxruntime-node has it for macOS arm64 alone; choose another with --ep (cpu and wasm run everywhere). onnxruntime-node 9 says: backend not found',
    )
    expect(providerAbsence({ provider: 'dml', platform: 'darwin arm64', ...said })).toMatch(/does not run on macOS arm64: .* Windows x64, Windows arm64 alone/)
    expect(providerAbsence({ provider: 'cuda', platform: 'win32 x64', ...said })).toMatch(/does not run on Windows x64: .* Linux x64 alone/)
    expect(providerAbsence({ provider: 'webgpu', platform: 'linux arm64', ...said })).toMatch(/does not run on Linux arm64/)
  })

  it('says what is needed where the platform has it', () => {
    expect(providerAbsence({ provider: 'coreml', platform: 'darwin arm64', ...said })).toMatch(/does not start here\. It needs macOS .*; or choose another/)
    expect(providerAbsence({ provider: 'dml', platform: 'win32 arm64', ...said })).toMatch(/It needs .* DirectX 12/)
    expect(providerAbsence({ provider: 'cuda', platform: 'linux x64', ...said })).toMatch(/It needs an NVIDIA card .* CUDA 12, cuDNN 9, .*--onnxruntime-node-install=cuda12/)
    expect(providerAbsence({ provider: 'webgpu', platform: 'linux x64', ...said })).toMatch(/It needs .* Vulkan driver .* Mesa 25/)
    expect(providerAbsence({ provider: 'webgpu', platform: undefined, ...said })).toMatch(/does not start here/)
    expect(providerAbsence({ provider: 'wasm', platform: 'linux x64', ...said })).toMatch(/install it anew; or choose another with --ep \(cpu runs everywhere\)/)
  })
})

describe('the command line', () => {
  it('lists the providers that it knows', async () => {
    const { code, out, err } = await cli('demo', '--ep', 'abacus')
    expect({ code, out, err }).toEqual({ code: 2, out: '', err: `espalier: --ep must be one of ${providerNames.join(', ')}, not "abacus"\n` })
  })

  // Each of these is missing on all platforms but its own; CUDA's libraries are never installed by npm here.
  const missing = [...(process.platform === 'darwin' ? [] : ['coreml']), ...(process.platform === 'win32' ? [] : ['dml']), 'cuda']
  it.each(missing)('--ep %s ends with one message, before anything is opened or written', async (ep) => {
    const run = join(folder, `run-${ep}`)
    const { code, out, err } = await cli('train', '--arch', 'ssd-small', '--data', join(folder, 'nowhere'), '--out', run, '--ep', ep)
    expect({ code, out, lines: err.trim().split('\n').length }).toEqual({ code: 2, out: '', lines: 1 })
    expect(err).toMatch(new RegExp(`^espalier: execution provider "${ep}" does not (run on|start here).* choose another with --ep .*\\. onnxruntime-node \\d.* says: .+`))
    expect(filesIn(run)).toEqual([])
  })

  it.skipIf(here !== 'linux x64')('--ep webgpu without a driver ends with the message last, in a process whose libraries log too', async () => {
    const args = [join(root, 'bin/espalier.js'), 'bench', join(root, 'assets/shapes-detector.onnx'), '--ep', 'webgpu']
    const nothing = join(folder, 'nothing.json')
    const failed = await promisify(execFile)(process.execPath, args, { env: { ...process.env, VK_DRIVER_FILES: nothing, VK_ICD_FILENAMES: nothing } }).catch((error: unknown) => error as { code: number; stdout: string; stderr: string })
    expect(failed).toMatchObject({ code: 2, stdout: '' })
    const lines = failed.stderr.trim().split('\n')
    expect(lines.at(-1)).toMatch(/^espalier: execution provider "webgpu" does not start here\. It needs a graphics driver/)
    expect(failed.stderr).not.toContain('E:onnxruntime')
  })

  it('says which package ran the model', async () => {
    expect(await runtimeOf(undefined)).toMatch(/^onnxruntime-node \d+\.\d+\.\d+$/)
    const model = await putModel(folder, 'small.onnx', smallDetector())
    const bench = await cliJson('bench', model, '--ep', 'wasm', '--runs', '1', '--warmup', '0', '--threads', '1')
    expect(bench.machine).toMatchObject({ runtime: expect.stringMatching(/^onnxruntime-web \d+\.\d+\.\d+, wasm$/) as string })
  })
})
