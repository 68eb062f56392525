/** @file ONNX Runtime in Node: the native library. */
import * as ort from 'onnxruntime-node'
import { ortRuntime, type OrtModule } from './ort.ts'
import type { Runtime } from './session.ts'

/** The native runtime; provider "cpu" unless another is asked for. */
export const nodeRuntime: Runtime = ortRuntime('onnxruntime-node', ort as unknown as OrtModule, { defaultProvider: 'cpu', writesInPlace: true })
