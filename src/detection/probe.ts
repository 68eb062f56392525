/** @file Finds out what a model's outputs are: one run on an empty image, then the tail behind its last layers alone, fed with known numbers. */
import { addInput, cloneModel, replaceUses } from '../ir/edit.ts'
import { type Model, opsetOf, type Value } from '../ir/graph.ts'
import { trainableConstants } from '../ops/trainable.ts'
import { choiceBefore } from '../passes/choices.ts'
import { sweep } from '../passes/dead-code.ts'
import { runEach, type Runtime, type SessionOptions, type Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { f32, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { type ModelFacts, type OutputFacts, probes } from './facts.ts'

export interface ProbeOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Names the model in errors. */
  readonly file: string
  /** Pixels of the input where the file leaves them free. */
  readonly size?: { readonly width: number; readonly height: number }
}

/** The image input of a detector: its name, batch and size. Throws UserError where the model takes something else. */
function imageInputOf(model: Model, { file, size }: Pick<ProbeOptions, 'file' | 'size'>): { name: string; batch: number; width: number; height: number } {
  const inputs = model.graph.inputs.filter((v) => !v.initializer)
  const [input] = inputs
  if (!input || inputs.length > 1) throw new UserError(`${file}: has ${inputs.length} inputs (${inputs.map((v) => `"${v.name}"`).join(', ')}), one image input was wanted; export the model with the image as its only input`)
  const [batch, channels, height, width] = input.shape ?? []
  const shown = `input "${input.name}" is ${input.dtype ?? 'of unknown type'} [${input.shape?.map((d) => d ?? '?').join(',') ?? 'rank unknown'}]`
  if (input.shape?.length !== 4 || (typeof channels === 'number' && channels !== 3)) throw new UserError(`${file}: ${shown}, an image [N,3,height,width] was wanted; export the model with channels first`)
  if (input.dtype !== 'float32') throw new UserError(`${file}: ${shown}, float32 was wanted; export the model in float32`)
  const fixed = typeof width === 'number' && typeof height === 'number'
  if (!fixed && !size) throw new UserError(`${file}: ${shown} and leaves the image's size free; say which with --preprocess "size=640x640"`)
  if (fixed && size && (size.width !== width || size.height !== height)) throw new UserError(`${file}: ${shown}, so a size of ${size.width}x${size.height} is impossible; leave the size out`)
  return { name: input.name, batch: typeof batch === 'number' ? batch : 1, width: fixed ? width : size!.width, height: fixed ? height : size!.height }
}

/** Runs the model once, and its tail once for each probe. `model` has its constants folded. */
export async function probeModel(model: Model, options: ProbeOptions): Promise<ModelFacts> {
  const { name, batch, width, height } = imageInputOf(model, options)
  const image: Tensors = { [name]: f32(new Float32Array(batch * 3 * height * width), [batch, 3, height, width]) }
  const { outputs } = model.graph
  const layers = lastLayers(model)
  const { model: open, values } = cloneModel(model)
  for (const v of layers) if (!outputs.includes(v)) open.graph.outputs.push(values.get(v)!)
  const [said] = await runsOf(open, options, [image])
  const chosen = new Set(outputs.filter((v) => choiceBefore(model.graph, v, new Set(layers)) !== undefined))
  const replies = await tailReplies(model, layers, outputs.filter((v) => !chosen.has(v)), said!, image, options)
  return {
    input: { width, height },
    outputs: outputs.map((v): OutputFacts => ({ name: v.name, dims: said![v.name]!.dims, chosen: chosen.has(v), replies: replies.get(v) })),
  }
}

/** Results of the layers (nodes with weights) behind which there are no others on the way to an output. */
function lastLayers(model: Model): Value[] {
  const weights = trainableConstants(model.graph, opsetOf(model))
  const found = new Set<Value>()
  const seen = new Set<Value>()
  const queue = [...model.graph.outputs]
  for (let v = queue.pop(); v; v = queue.pop()) {
    if (seen.has(v) || !v.producer) continue
    seen.add(v)
    if (v.producer.inputs.some((w) => w && weights.has(w))) found.add(v)
    else for (const input of v.producer.inputs) if (input) queue.push(input)
  }
  return [...found]
}

/** What each of `wanted` is for each probe as the answer of every layer; those that cannot be had that way are left out. */
async function tailReplies(model: Model, layers: readonly Value[], wanted: readonly Value[], said: Tensors, image: Tensors, options: ProbeOptions): Promise<Map<Value, Float32Array[]>> {
  const countOf = (v: Value): number => sizeOf(said[v.name]!.dims)
  const filled = (v: Value, probe: number): Float32Array => new Float32Array(countOf(v)).fill(probe)
  // What is a layer's result itself is known without a run, and no graph may hand an input through.
  const direct = wanted.filter((v) => layers.includes(v))
  const replies = new Map(direct.map((v) => [v, probes.map((p) => filled(v, p))]))
  const computed = wanted.filter((v) => !layers.includes(v))
  if (computed.length === 0) return replies
  const { model: tail, values } = cloneModel(model)
  const { graph } = tail
  const port = (v: Value): string => `${v.name}/probe`
  for (const v of layers) replaceUses(graph, values.get(v)!, addInput(graph, port(v), 'float32', said[v.name]!.dims))
  graph.outputs.splice(0, graph.outputs.length, ...computed.map((v) => values.get(v)!))
  sweep(graph)
  const feeds = probes.map((p) => ({ ...image, ...Object.fromEntries(layers.map((v): [string, Tensor] => [port(v), f32(filled(v, p), said[v.name]!.dims)])) }))
  try {
    const runs = await runsOf(tail, options, feeds)
    for (const v of computed) {
      const own = runs.map((out) => out[v.name]!.data)
      if (own.every((data): data is Float32Array => data instanceof Float32Array && data.length === countOf(v))) replies.set(v, own)
    }
  } catch {
    // The decoders then say what they cannot tell, and ask for it.
  }
  return replies
}

function runsOf(model: Model, { runtime, session, file }: ProbeOptions, feeds: readonly Tensors[]): Promise<Tensors[]> {
  return runEach(runtime, model, feeds, { ...session, file })
}
