/** @file One interface over every runtime that executes ONNX models. */
import type { Tensor } from '../tensor/tensor.ts'
import type { Model } from '../ir/graph.ts'

export interface SessionOptions {
  /** Threads within an operator; default: the runtime's choice (all cores). */
  readonly threads?: number
  /** Execution provider: "cpu", "wasm", "webgpu", "cuda" ...; default: the runtime's plain one. */
  readonly provider?: string
  /** Reuse memory between runs of the same shapes; default true. */
  readonly memoryPattern?: boolean
  /** Keep freed memory in an arena; default true. */
  readonly arena?: boolean
  /** Graph optimisations of the runtime; default "all". */
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all'
  /** Refuse a model whose stated types or shapes are not those that the runtime infers; default false. */
  readonly strict?: boolean
  /** Names the model in errors: its file. */
  readonly file?: string
  /** Where the runtime writes its profile (JSON), by prefix; default: none. */
  readonly profilePrefix?: string
}

export type Tensors = Readonly<Record<string, Tensor>>

export interface Session {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  /**
   * Runs the model. `into` holds pre-allocated outputs that are written in place; other outputs come back as new tensors.
   * Throws an Error that names the node where the runtime says which failed.
   */
  run(feeds: Tensors, into?: Tensors): Promise<Tensors>
  /** Frees native memory; the session must not be used afterwards. */
  release(): Promise<void>
}

export interface Runtime {
  readonly name: string
  readonly version: string
  /** Loads a model; throws UserError when the provider is not there, or naming the node when the model is refused. */
  load(model: Model | Uint8Array, options?: SessionOptions): Promise<Session>
}

/** Loads `model`, runs it on each set of inputs, frees it. */
export async function runEach(runtime: Runtime, model: Model | Uint8Array, sets: readonly Tensors[], options?: SessionOptions): Promise<Tensors[]> {
  const session = await runtime.load(model, options)
  try {
    const results: Tensors[] = []
    for (const feeds of sets) results.push(await session.run(feeds))
    return results
  } finally {
    await session.release()
  }
}

/** Loads `model`, runs it once, frees it. */
export async function runOnce(runtime: Runtime, model: Model | Uint8Array, feeds: Tensors, options?: SessionOptions): Promise<Tensors> {
  return (await runEach(runtime, model, [feeds], options))[0]!
}
