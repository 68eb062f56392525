/** @file What errors in a layer's outputs would do to what the detector says, measured on images: the curvature that backward selection goes by. */
import { pullBack } from '../../autodiff/grad.ts'
import type { Loader } from '../../data/loader.ts'
import { outputSketch } from '../../detection/distill-loss.ts'
import { addInitializer, addNode, replaceOutput, setInput } from '../../ir/edit.ts'
import { createModel, dimsOf, Graph, type Model, type Node, type Value } from '../../ir/graph.ts'
import { valueNamed } from '../../ir/walk.ts'
import { Builder } from '../../ops/builder.ts'
import { lookup } from '../../ops/registry.ts'
import type { Runtime, SessionOptions, Tensors } from '../../runtime/session.ts'
import { UserError } from '../../tensor/error.ts'
import { createRng, type Rng } from '../../tensor/rng.ts'
import { floats, sizeOf, type Tensor, zeros } from '../../tensor/tensor.ts'
import type { Detector } from '../../train/detector.ts'
import { addReference, type OutputReading, referenceFeeds } from '../../train/distill.ts'
import type { Listener } from '../../train/events.ts'
import { trainingMemory } from '../../train/step.ts'
import { imageFeeds, importDetector } from '../../train/task.ts'
import { workingCopy } from '../../train/working-copy.ts'
import { nodeLabel } from '../channel-links.ts'
import type { ChannelGroup } from '../groups.ts'

/** Of one weight, over all layers that share it; one block for each group of a grouped convolution. */
export interface LayerCurvature {
  /** Inputs of a block: channels times kernel places, and one more that is always 1. */
  readonly inputs: number
  /** [G, inputs, inputs] means of x x^T over places and images, a place counting by how much errors there do. */
  readonly gram: Float64Array
  /** [M] what a squared error of 1 at all places would add to the squared relative error of the detector's outputs, by output channel. */
  readonly outputs: Float64Array
}

/** By name of the weight. */
export type Curvature = ReadonlyMap<string, LayerCurvature>

export interface CurvatureOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** How the detector's outputs are read; undefined: nothing beyond a layer counts, and all errors of its outputs weigh alike. */
  readonly reading: OutputReading | undefined
  /** Full batches of `batch` images. */
  readonly images: Loader
  readonly batch: number
  readonly seed: number
  /** Counts the forward-backward passes over images. */
  readonly passes: { selection: number }
  readonly listener?: Listener
}

/** Throws UserError where a consumer of a group is no layer whose inputs can be laid out as regressors. `option`: what asked for it. */
export function assertCurved(groups: readonly ChannelGroup[], option: string): void {
  for (const { id, consumers } of groups) {
    const unknown = consumers.find(({ node }) => !lookup(node.opType, node.domain)?.regressors)
    if (unknown) throw new UserError(`${option}: ${nodeLabel(unknown.node)}, which reads group "${id}", is no convolution, and what its inputs can make up for is not worked out; choose another method, or leave the group whole with --keep "${id}"`)
  }
}

/**
 * Means over the images at the detector as it is. With g the gradient of the outputs' sketch (see outputSketch) by a layer's output, output channel o weighs
 * f_o = sum over places of g^2, and place p counts pi_p = sum over channels of g^2, normed to 1: the Kronecker-factored curvature of what the detector says,
 * by the layer's weight (Martens and Grosse 2015; for convolutions Grosse and Martens 2016), its diagonal in the outputs.
 */
export async function measureCurvature(detector: Detector, groups: readonly ChannelGroup[], options: CurvatureOptions): Promise<Curvature> {
  const { runtime, session: sessionOptions, reading, images, batch, seed, passes, listener } = options
  const weights = new Map(groups.flatMap((g) => g.consumers.map((c) => [c.node.outputs[0]!.name, c.member.value.name] as const)))
  const { graph, model, signs, ports } = curvatureGraph(detector, [...weights.keys()], reading, batch)
  const session = await runtime.load(graph, { ...trainingMemory, ...sessionOptions })
  const teller = reading && (await runtime.load(model, sessionOptions))
  const sums = ports.map(({ inputs, groups: blocks, filters }) => ({ gram: new Float64Array(blocks * inputs * inputs), outputs: new Float64Array(filters) }))
  const input = model.graph.inputs.find((v) => !v.initializer)!.name
  const rng = createRng(`${seed}/curvature`)
  listener?.({ type: 'phase', name: `curvature of ${ports.length} layers`, total: images.batches, unit: 'batches' })
  let done = 0
  try {
    for await (const data of images.epoch(0)) {
      const feeds: Tensors = { ...imageFeeds(detector.card, data), ...(teller && referenceFeeds(reading, await teller.run({ [input]: Object.values(imageFeeds(detector.card, data))[0]! }))), ...drawn(signs, rng) }
      const out = await session.run(feeds)
      ports.forEach((port, i) => {
        addTo(sums[i]!.gram, floats(out[port.gram]!))
        addTo(sums[i]!.outputs, port.outputs === undefined ? undefined : floats(out[port.outputs]!))
      })
      passes.selection += batch
      done += 1
      listener?.({ type: 'progress', done, values: { images: done * batch } })
    }
    // Means over nothing would rank nothing.
    if (done === 0) throw new UserError(`the curvature needs ${batch} readable training images at a time, and there are fewer, or --images asks for fewer; give more images or a smaller --batch`)
    listener?.({ type: 'end', summary: `${done * batch} images` })
  } finally {
    await session.release()
    await teller?.release()
  }
  const found = new Map<string, { inputs: number; gram: Float64Array; outputs: Float64Array }>()
  ports.forEach((port, i) => {
    const name = weights.get(port.name)!
    const { gram, outputs } = sums[i]!
    const before = found.get(name)
    if (before) {
      addTo(before.gram, gram)
      addTo(before.outputs, outputs)
    } else found.set(name, { inputs: port.inputs, gram, outputs })
  })
  for (const { inputs, gram, outputs } of found.values()) {
    // The last input is always 1: its square is the weight of all places together.
    const total = gram[inputs * inputs - 1]!
    for (let i = 0; i < gram.length; i++) gram[i] = total > 0 ? gram[i]! / total : 0
    for (let i = 0; i < outputs.length; i++) outputs[i] = outputs[i]! / done
  }
  return found
}

interface Port {
  /** Value that the layer computes. */
  readonly name: string
  readonly inputs: number
  readonly groups: number
  readonly filters: number
  /** Names of the graph's outputs; without a reading all output channels weigh alike. */
  readonly gram: string
  readonly outputs: string | undefined
}

function curvatureGraph(detector: Detector, layers: readonly string[], reading: OutputReading | undefined, batch: number): { graph: Model; model: Model; signs: ReadonlyMap<string, readonly number[]>; ports: Port[] } {
  const model = workingCopy(detector.model, batch)
  const working = workingCopy(detector.model, batch)
  const nodes = layers.map((name) => valueNamed(working.graph, name).producer!)
  const probes = reading ? nodes.map((node) => addProbe(working.graph, node, batch)) : []
  const b = new Builder(new Graph('curvature'))
  const m = importDetector(b, working, batch, { wanted: [...(reading ? working.graph.outputs : []), ...nodes.flatMap((n) => [n.inputs[0]!, n.outputs[0]!])] })
  const signs = new Map<string, readonly number[]>()
  const gradients = reading ? sketchGradients(b, reading, (name) => m.values.get(valueNamed(working.graph, name))!, probes.map((p) => m.values.get(p)), signs) : []
  const ports = nodes.map((node, i): Port => {
    const seen = lookup(node.opType, node.domain)!.regressors!(b, node, m.values.get(node.inputs[0]!)!)
    const [n, groups, depth, places] = dimsOf(seen) as [number, number, number, number]
    const ones: Tensor = { dtype: 'float32', dims: [n, groups, 1, places], data: new Float32Array(n * groups * places).fill(1) }
    const x = b.op('Concat', [seen, b.constant(ones)], { axis: 2 })
    const filters = node.inputs[1]!.initializer!.dims[0]!
    const gradient = gradients[i]
    // No gradient: what the outputs do not hang on costs nothing.
    const square = reading && (gradient ? b.reshape(b.mul(gradient, gradient), [n, 1, filters, places]) : b.constant(zeros('float32', [n, 1, filters, places])))
    const weighted = square ? b.mul(x, b.sum(square, [2], true)) : x
    return {
      name: layers[i]!,
      inputs: depth + 1,
      groups,
      filters,
      gram: b.output(b.sum(b.op('MatMul', [weighted, b.transpose(x, [0, 1, 3, 2])]), [0]), `gram/${i}`).name,
      outputs: square && b.output(b.sum(square, [0, 1, 3]), `outputs/${i}`).name,
    }
  })
  return { graph: createModel(b.graph, b.opset), model, signs, ports }
}

/** Adds zero to what a node computes, so that a gradient can be taken there and flow on. */
function addProbe(graph: Graph, node: Node, batch: number): Value {
  const y = node.outputs[0]!
  // Where the file leaves the batch free, the copy's is not known yet.
  const dims = [batch, ...(y.shape ?? []).slice(1).map(Number)]
  const probe = addInitializer(graph, `probe/${y.name}`, zeros('float32', dims))
  const sum = addNode(graph, 'Add', [y, probe], [`probed/${y.name}`], {}, { before: graph.nodes[graph.nodes.indexOf(node) + 1] })
  const out = sum.outputs[0]!
  out.dtype = y.dtype
  out.shape = y.shape
  for (const use of [...y.uses]) if (use.node !== sum) setInput(use.node, use.index, out)
  // The output keeps its name, by which it is read.
  if (graph.outputs.includes(y)) replaceOutput(graph, y, out, `unprobed/${y.name}`)
  return probe
}

/** Gradients of the outputs' sketch by each probe; undefined where no output hangs on it. Names the inputs of the signs. */
function sketchGradients(b: Builder, reading: OutputReading, student: (output: string) => Value, probes: readonly (Value | undefined)[], signs: Map<string, readonly number[]>): (Value | undefined)[] {
  const sketch = outputSketch(b, reading.fields, { student, ...addReference(b, reading, (name) => dimsOf(student(name))) }, (i, dims) => {
    signs.set(`signs/${i}`, dims)
    return b.input(`signs/${i}`, 'float32', dims)
  })
  const one = b.op('Expand', [b.scalar(1), b.ints(dimsOf(sketch))])
  const found = pullBack(b, new Map([[sketch, one]]), probes.filter((p) => p !== undefined))
  return probes.map((p) => p && found.get(p))
}

function drawn(signs: ReadonlyMap<string, readonly number[]>, rng: Rng): Tensors {
  return Object.fromEntries([...signs].map(([name, dims]) => [name, { dtype: 'float32', dims, data: Float32Array.from({ length: sizeOf(dims) }, () => (rng.next() < 0.5 ? -1 : 1)) }]))
}

/** Without `more`, one for each entry: all weigh alike. */
function addTo(sum: Float64Array, more: ArrayLike<number> | undefined): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + (more ? more[i]! : 1)
}
