/** @file ONNX Runtime in Node: the native library, and WebAssembly where that is asked for. */
import { availableParallelism } from 'node:os'
import * as ort from 'onnxruntime-node'
import { ortRuntime, type OrtModule } from './ort.ts'
import type { Runtime } from './session.ts'

/**
 * Worker threads wait for work in a busy loop, long after a run has ended, and take the cores from whoever runs next: another session
 * (a bench in turns, the frozen detector beside the pruned one), decoding, our own code. Stopped at the end of each run.
 */
const extra = { session: { force_spinning_stop: '1' } }

// A provider that does not start would be told of twice: by the library on stderr, and by us. It takes this level when the first session is made.
ort.env.logLevel = 'fatal'

const native = ortRuntime('onnxruntime-node', ort as unknown as OrtModule, { defaultProvider: 'cpu', writesInPlace: true, mayBlock: true, extra, platform: `${process.platform} ${process.arch}` })

/** Loaded when it is asked for: reading the package takes longer than most commands need to start. */
const web = async (): Promise<Runtime> => (await import('./web.ts')).webRuntime

/** Every execution provider that Node has: provider "wasm" is onnxruntime-web's, the others the native library's; "cpu" unless another is asked for. */
export const nodeRuntime: Runtime = {
  ...native,
  async load(model, options = {}) {
    if (options.provider !== 'wasm') return native.load(model, options)
    return (await web()).load(model, { ...options, threads: options.threads ?? availableParallelism() })
  },
}

/** What runs models on a provider: "onnxruntime-node 1.30.0", and the provider where it is not the plain one. */
export async function runtimeOf(provider: string | undefined): Promise<string> {
  const { name, version } = provider === 'wasm' ? await web() : native
  return `${name} ${version}${provider === undefined || provider === 'cpu' ? '' : `, ${provider}`}`
}
