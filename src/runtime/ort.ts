/** @file The common part of ONNX Runtime's Node and web packages: they share one API. */
import type { InferenceSession as OrtSession, Tensor as OrtTensor, TypedTensor } from 'onnxruntime-common'
import type { Model } from '../ir/graph.ts'
import { exceedsOneFile, type ModelInParts, serializeInParts, serializeModel } from '../onnx/save.ts'
import type { DType } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import type { Runtime, Session, SessionOptions } from './session.ts'

/** What we use of `onnxruntime-node` and `onnxruntime-web`. */
export interface OrtModule {
  readonly InferenceSession: { create(model: Uint8Array, options?: OrtSession.SessionOptions): Promise<OrtSession> }
  readonly Tensor: new (type: OrtTensor.Type, data: never, dims: readonly number[]) => TypedTensor<OrtTensor.Type>
  readonly env: { readonly versions: { readonly common: string; readonly node?: string; readonly web?: string } }
}

export interface OrtTraits {
  readonly defaultProvider: string
  /** Whether given outputs are written where they are: the native library does; WebAssembly has memory of its own and would leave them as they were. */
  readonly writesInPlace: boolean
  /** Configuration of every session beyond SessionOptions, as the package takes it in `extra`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

export function ortRuntime(name: string, ort: OrtModule, { defaultProvider, writesInPlace, extra }: OrtTraits): Runtime {
  return {
    name,
    version: ort.env.versions.node ?? ort.env.versions.web ?? ort.env.versions.common,
    async load(model, options = {}) {
      const { bytes, externalData } = inMemory(model)
      const provider = options.provider ?? defaultProvider
      let session: OrtSession
      try {
        session = await ort.InferenceSession.create(bytes, { ...(externalData && { externalData }), ...sessionOptions(options, provider), extra: withStrictness(extra, options.strict) })
      } catch (error) {
        throw loadError(error, name, provider, options.file)
      }
      return wrap(ort, session, writesInPlace)
    },
  }
}

/** What the package is given: one file in memory, or, for models too large for that, the model and its weights where they are. */
function inMemory(model: Model | Uint8Array): { readonly bytes: Uint8Array; readonly externalData?: ModelInParts['data'] } {
  if (model instanceof Uint8Array) return { bytes: model }
  if (!exceedsOneFile(model)) return { bytes: serializeModel(model) }
  const parts = serializeInParts(model)
  return { bytes: parts.model, externalData: parts.data }
}

function withStrictness(extra: OrtTraits['extra'] = {}, strict = false): Readonly<Record<string, unknown>> {
  return strict ? { ...extra, session: { ...(extra.session as object | undefined), strict_shape_type_inference: '1' } } : extra
}

function sessionOptions(options: SessionOptions, provider: string): OrtSession.SessionOptions {
  return {
    executionProviders: [provider],
    ...(options.threads !== undefined && { intraOpNumThreads: options.threads, interOpNumThreads: 1 }),
    enableMemPattern: options.memoryPattern ?? true,
    enableCpuMemArena: options.arena ?? true,
    graphOptimizationLevel: options.optimization ?? 'all',
    // What the runtime logs would mix with our own output; its errors reach us as exceptions.
    logSeverityLevel: 4,
    ...(options.profilePrefix !== undefined && { enableProfiling: true, profileFilePrefix: options.profilePrefix }),
  }
}

function wrap(ort: OrtModule, session: OrtSession, writesInPlace: boolean): Session {
  const toOrt = (t: Tensor): TypedTensor<OrtTensor.Type> => new ort.Tensor(t.dtype as OrtTensor.Type, t.data as never, t.dims)
  const wanted = new Set(session.inputNames)
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, into = {}) {
      const given: Record<string, OrtTensor> = {}
      for (const [name, t] of Object.entries(feeds)) if (wanted.has(name)) given[name] = toOrt(t)
      for (const name of session.inputNames) if (!given[name]) throw new Error(`input "${name}" of the model was not given`)
      const fetches: Record<string, OrtTensor | null> = {}
      for (const name of session.outputNames) fetches[name] = writesInPlace && into[name] ? toOrt(into[name]) : null
      let results: OrtSession.OnnxValueMapType
      try {
        results = await session.run(given, fetches)
      } catch (error) {
        throw runError(error)
      }
      const out: Record<string, Tensor> = {}
      for (const name of session.outputNames) {
        const t = results[name] as OrtTensor | undefined
        if (!t) continue
        const given = into[name]
        out[name] = given ?? { dtype: t.type as DType, dims: t.dims, data: t.data as Tensor['data'] }
        if (given && !writesInPlace) (given.data as Float32Array).set(t.data as Float32Array)
        if (sizeOf(t.dims) !== out[name].data.length) throw new Error(`output "${name}" has dims [${t.dims.join(',')}] but ${out[name].data.length} elements`)
      }
      return out
    },
    async release() {
      await session.release()
    },
  }
}

/** Names the failing node first: "running Conv "layer1.conv2": <the runtime's words>". */
function runError(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  const match = /running (\w+) node\. Name:'([^']*)'/.exec(message)
  return match ? new Error(`running ${match[1]} "${match[2]}": ${message}`, { cause: error }) : new Error(`running the model: ${message}`, { cause: error })
}

/** A provider that cannot start says so in words of its own: "OrtSessionOptionsAppendExecutionProvider_Cuda: ...", ".../providers/webgpu/...". */
const providerFault = /ExecutionProvider_|no available backend|backend not found|execution provider|\/providers\/(?!cpu\/)/i

/** How ONNX Runtime names the node that it refuses; the first group is the node's name. */
const nodeFaults = [/In Node, \("([^"]*)"/, /Node \(([^)]*)\) Op \(/, /node with name '([^']*)'/i, /\bNode:\s*(\S+)/]

function loadError(error: unknown, runtime: string, provider: string, file: string | undefined): UserError {
  const message = (error instanceof Error ? error.message : String(error)).trim()
  if (providerFault.test(message) && !/\bnode\b/i.test(message.replaceAll(runtime, ''))) {
    return new UserError(`${runtime} has no execution provider "${provider}" here (${message}); choose another with --ep`, { cause: error })
  }
  const node = nodeFaults.map((fault) => fault.exec(message)?.[1]).find((name) => name !== undefined && name !== '')
  const subject = node === undefined ? 'the model' : `node "${node}"`
  const place = file === undefined ? '' : `${file}: `
  return new UserError(`${place}the runtime refuses ${subject} (${message}); export the model with operators that ${runtime} knows`, { cause: error })
}
