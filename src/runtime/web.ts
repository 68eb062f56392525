/** @file ONNX Runtime as WebAssembly: browsers, and Node where the native library is not wanted. */
import * as ort from 'onnxruntime-web'
import { ortRuntime, type OrtModule } from './ort.ts'
import type { Runtime } from './session.ts'

/** The WebAssembly runtime; `threads` applies to all its sessions, so the first load decides it. */
export const webRuntime: Runtime = (() => {
  const runtime = ortRuntime('onnxruntime-web', ort as unknown as OrtModule, { defaultProvider: 'wasm', writesInPlace: false, alwaysStrict: true })
  return {
    ...runtime,
    async load(model, options = {}) {
      if (options.threads !== undefined) ort.env.wasm.numThreads = options.threads
      return runtime.load(model, options)
    },
  }
})()
