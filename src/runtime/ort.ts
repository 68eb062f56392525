/** @file The common part of ONNX Runtime's Node and web packages: they share one API. */
import type { InferenceSession as OrtSession, Tensor as OrtTensor, TypedTensor } from 'onnxruntime-common'
import { cloneModel } from '../ir/edit.ts'
import { createModel, Graph, type Model } from '../ir/graph.ts'
import { parseModel } from '../onnx/load.ts'
import { exceedsOneFile, type ModelInParts, serializeInParts, serializeModel } from '../onnx/save.ts'
import { Builder } from '../ops/builder.ts'
import { blockedKernels, blockedTrial } from '../ops/blocked-kernels.ts'
import { webgpuFaults } from '../ops/webgpu-faults.ts'
import type { DType } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { f32, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { providerAbsence } from './providers.ts'
import type { Runtime, Session, SessionOptions } from './session.ts'

/** What we use of `onnxruntime-node` and `onnxruntime-web`. */
export interface OrtModule {
  readonly InferenceSession: { create(model: Uint8Array, options?: OrtSession.SessionOptions): Promise<OrtSession> }
  readonly Tensor: new (type: OrtTensor.Type, data: never, dims: readonly number[]) => TypedTensor<OrtTensor.Type>
  readonly env: { readonly versions: { readonly common: string; readonly node?: string; readonly web?: string } }
}

/** What the runtime logs would mix with our own output; its errors reach us as exceptions. */
const silent = 4

export interface OrtTraits {
  readonly defaultProvider: string
  /** Whether given outputs are written where they are: the native library does; WebAssembly has memory of its own and would leave them as they were. */
  readonly writesInPlace: boolean
  /**
   * Whether a model is refused where the shapes that it states are not those that the runtime infers, which is wrong about windows that round up: the
   * WebAssembly build cannot go on after such an error, as the native one does unless it is told to be strict.
   */
  readonly alwaysStrict?: boolean
  /** Configuration of every session beyond SessionOptions, as the package takes it in `extra`. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Whether its CPU provider has kernels for channels in blocks, on the machines that they are written for. */
  readonly mayBlock?: boolean
  /** As in "linux x64", where it is known: for messages. */
  readonly platform?: string
}

/** The model without what it says of the shapes between its inputs and outputs. */
function withoutShapes(model: Model | Uint8Array): Model | Uint8Array {
  if (model instanceof Uint8Array) return model
  const { model: copy } = cloneModel(model)
  for (const node of copy.graph.nodes) for (const v of node.outputs) if (v) v.shape = undefined
  return copy
}

/** A model that every provider runs: where it is not loaded, the provider is not there. */
export const plainModel: Model = (() => {
  const b = new Builder(new Graph('plain'))
  b.output(b.op('Neg', [b.input('x', 'float32', [1])]))
  return createModel(b.graph, b.opset)
})()

export function ortRuntime(name: string, ort: OrtModule, traits: OrtTraits): Runtime {
  const version = ort.env.versions.node ?? ort.env.versions.web ?? ort.env.versions.common
  const create = ({ model, provider }: Placed, options: SessionOptions): Promise<OrtSession> => {
    const { bytes, externalData } = inMemory(model)
    return ort.InferenceSession.create(bytes, { ...(externalData && { externalData }), ...sessionOptions(options, provider), extra: withStrictness(traits.extra, options.strict) })
  }
  let blocks: Promise<boolean> | undefined
  /** What this machine's library computes right in blocks; any other model, or one that is not to be optimised, as it is. */
  const inBlocks = async (model: Model | Uint8Array, provider: string, options: SessionOptions): Promise<Model | Uint8Array> => {
    if (!traits.mayBlock || provider !== 'cpu' || model instanceof Uint8Array || (options.optimization ?? 'all') !== 'all') return model
    const blocked = blockedKernels(model)
    return blocked && (await (blocks ??= computesBlocks((m) => create({ model: m, provider }, { threads: 1 }).then((session) => wrap(ort, session, traits.writesInPlace))))) ? blocked : model
  }
  return {
    name,
    version,
    async load(model, options = {}) {
      const provider = options.provider ?? traits.defaultProvider
      try {
        return wrap(ort, await create(placed(await inBlocks(traits.alwaysStrict && !options.strict ? withoutShapes(model) : model, provider, options), provider), options), traits.writesInPlace)
      } catch (error) {
        if (error instanceof UserError) throw error
        const absence = model === plainModel ? error : await create({ model: plainModel, provider }, {}).then((session) => session.release(), (fault: unknown) => fault)
        if (absence !== undefined) throw new UserError(providerAbsence({ provider, platform: traits.platform, runtime: `${name} ${version}`, message: messageOf(absence) }), { cause: absence })
        throw loadError(error, name, options.file)
      }
    },
  }
}

interface Placed {
  readonly model: Model | Uint8Array
  readonly provider: OrtSession.ExecutionProviderConfig
}

/**
 * The model, and the provider told which of its nodes it must leave to the CPU; these have names then. With the channels last, which the native library would choose, its convolutions of 6, 9,
 * 15, ... channels (a multiple of 3, not of 4) to a multiple of 4 are wrong in 1.30, silently.
 */
function placed(model: Model | Uint8Array, provider: string): Placed {
  if (provider !== 'webgpu') return { model, provider }
  const { model: copy } = cloneModel(model instanceof Uint8Array ? parseModel(model, 'the model') : model)
  const onCpu = webgpuFaults(copy).map((node, i) => (node.name ||= `left to the CPU ${i}`))
  return { model: copy, provider: { name: provider, preferredLayout: 'NCHW', ...(onCpu.length > 0 && { forceCpuNodeNames: onCpu }) } }
}

/** Whether the library has kernels for channels in blocks that work on this machine: tried out, for it has no way to ask. */
async function computesBlocks(load: (model: Model) => Promise<Session>): Promise<boolean> {
  const { model, inputs } = blockedTrial()
  const ramp = (dims: readonly number[]): Tensor => f32(Float32Array.from({ length: sizeOf(dims) }, (_, i) => ((i * 7919) % 31) / 31 - 0.5), dims)
  const feeds = { x: ramp(inputs.x), kernel: ramp(inputs.kernel) }
  const result = async (m: Model): Promise<Float32Array> => {
    const session = await load(m)
    try {
      return (await session.run(feeds))['y']!.data as Float32Array
    } finally {
      await session.release()
    }
  }
  const plain = await result(model)
  const blocked = await result(blockedKernels(model)!).catch(() => undefined)
  return blocked?.length === plain.length && blocked.every((v, i) => Math.abs(v - plain[i]!) < 1e-4)
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

function sessionOptions(options: SessionOptions, provider: OrtSession.ExecutionProviderConfig): OrtSession.SessionOptions {
  return {
    executionProviders: [provider],
    ...(options.threads !== undefined && { intraOpNumThreads: options.threads, interOpNumThreads: 1 }),
    enableMemPattern: options.memoryPattern ?? true,
    enableCpuMemArena: options.arena ?? true,
    graphOptimizationLevel: options.optimization ?? 'all',
    logSeverityLevel: silent,
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
        results = await session.run(given, fetches, { logSeverityLevel: silent })
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
  const message = messageOf(error)
  const match = /running (\w+) node\. Name:'([^']*)'/.exec(message)
  return match ? new Error(`running ${match[1]} "${match[2]}": ${message}`, { cause: error }) : new Error(`running the model: ${message}`, { cause: error })
}

/** How ONNX Runtime names the node that it refuses; the first group is the node's name. */
const nodeFaults = [/In Node, \("([^"]*)"/, /Node \(([^)]*)\) Op \(/, /node with name '([^']*)'/i, /\bNode:\s*(\S+)/]

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim()
}

function loadError(error: unknown, runtime: string, file: string | undefined): UserError {
  const message = messageOf(error)
  const node = nodeFaults.map((fault) => fault.exec(message)?.[1]).find((name) => name !== undefined && name !== '')
  const subject = node === undefined ? 'the model' : `node "${node}"`
  const place = file === undefined ? '' : `${file}: `
  return new UserError(`${place}the runtime refuses ${subject} (${message}); export the model with operators that ${runtime} knows`, { cause: error })
}
