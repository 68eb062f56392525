/** @file ONNX Runtime in Node: the native library. */
import * as ort from 'onnxruntime-node'
import { ortRuntime, type OrtModule } from './ort.ts'
import type { Runtime } from './session.ts'

/**
 * Worker threads wait for work in a busy loop, long after a run has ended, and take the cores from whoever runs next: another session
 * (a bench in turns, the frozen detector beside the pruned one), decoding, our own code. Stopped at the end of each run.
 */
const extra = { session: { force_spinning_stop: '1' } }

/** The native runtime; provider "cpu" unless another is asked for. */
export const nodeRuntime: Runtime = ortRuntime('onnxruntime-node', ort as unknown as OrtModule, { defaultProvider: 'cpu', writesInPlace: true, extra })
