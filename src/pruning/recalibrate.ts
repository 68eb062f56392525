/** @file What a cut disturbed, mended without training: weights or biases fitted to the original's features, running statistics of BatchNormalization measured anew. */
import { Graph, createModel, type Model, type Node, type Value } from '../ir/graph.ts'
import { cloneModel, setInitializer } from '../ir/edit.ts'
import { valueNamed } from '../ir/walk.ts'
import { Builder } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import type { Batch } from '../data/loader.ts'
import type { Runtime, Session, SessionOptions } from '../runtime/session.ts'
import { f32, floats, type Tensor } from '../tensor/tensor.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { imageFeeds, importDetector } from '../train/task.ts'
import { workingCopy } from '../train/working-copy.ts'
import { fitWeights } from './least-squares.ts'
import type { PrunePlan } from './plan.ts'
import { resolvePlan } from './resolve-plan.ts'

/** What is fitted to the original's features, layer by layer: weights and biases to its outputs, or biases to its channel means; or nothing, where weights are fitted already. */
export const fits = ['weights', 'biases', 'none'] as const
export type Fit = (typeof fits)[number]

export interface RecalibrateOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Full batches of one size; they are run through the models again and again. */
  readonly batches: readonly Batch[]
  readonly fit: Fit
  readonly listener?: Listener
}

/**
 * The cut detector, mended on `batches`. "weights": the least-squares fit of each layer (see fitWeights), then running means and variances of
 * BatchNormalization. "biases": the running means and variances; then, layer by layer, biases such that each channel's mean over the images is the
 * original's (bias correction: Nagel et al., "Data-Free Quantization", ICCV 2019, section 4.2, for pruning instead of rounding), weights as they are. "none": the running
 * means and variances alone.
 * Nodes and shapes stay as they are.
 */
export async function recalibrate(original: Detector, cut: Detector, plan: PrunePlan, options: RecalibrateOptions): Promise<Detector> {
  if (options.fit === 'weights') {
    const fitted = { ...cut, model: await fitWeights(original, cut, plan, options) }
    return { ...fitted, model: await measuredStatistics(fitted, options) }
  }
  const normal = { ...cut, model: await measuredStatistics(cut, options) }
  if (options.fit === 'none') return normal
  return { ...normal, model: await correctedBiases(original, normal, plan, options) }
}

/** BN statistics over all batches together: the mean of the means; the mean of the variances and the variance of the means. */
async function measuredStatistics(detector: Detector, { runtime, session: sessionOptions, batches }: RecalibrateOptions): Promise<Model> {
  const batch = batches[0]!.samples.length
  const working = workingCopy(detector.model, batch)
  const b = new Builder(new Graph('statistics'))
  // A momentum of 1 makes the new state the batch's own statistics.
  const { updates } = importDetector(b, working, batch, { batchStatistics: 1 })
  if (updates.length === 0) return detector.model
  const states = updates.map((u, i) => ({ name: u.source.name, input: u.state.name, output: b.output(b.op('Identity', [u.next]), `state_${i}`).name, content: u.source.initializer! }))
  const session = await runtime.load(createModel(b.graph, b.opset), sessionOptions)
  const runs: Map<string, Float32Array>[] = []
  try {
    const given = Object.fromEntries(states.map((s) => [s.input, s.content]))
    for (const data of batches) {
      const out = await session.run({ ...given, ...imageFeeds(detector.card, data) })
      runs.push(new Map(states.map((s) => [s.name, floats(out[s.output]!)])))
    }
  } finally {
    await session.release()
  }
  const copy = cloneModel(detector.model).model
  const put = (name: string, values: Float32Array): void => setInitializer(valueNamed(copy.graph, name), f32(values))
  // The two states of a node come in the order of its inputs: mean, then variance.
  for (let i = 0; i < states.length; i += 2) {
    const [mean, variance] = [states[i]!.name, states[i + 1]!.name]
    const average = (of: (run: Map<string, Float32Array>, k: number) => number): Float32Array => Float32Array.from({ length: runs[0]!.get(mean)!.length }, (_, k) => runs.reduce((sum, run) => sum + of(run, k), 0) / runs.length)
    const means = average((run, k) => run.get(mean)![k]!)
    put(mean, means)
    put(variance, average((run, k) => run.get(variance)![k]! + (run.get(mean)![k]! - means[k]!) ** 2))
  }
  return copy
}

/** Values whose channel means can be set by a bias of their own, in graph order; they depend on a cut. */
function correctable(model: Model, cutValues: ReadonlySet<string>): { node: Node; bias: Value }[] {
  const touched = new Set<Value>()
  return model.graph.nodes.flatMap((node) => {
    if (!node.inputs.some((v) => v && (touched.has(v) || cutValues.has(v.name)))) return []
    for (const v of node.outputs) if (v) touched.add(v)
    const def = lookup(node.opType, node.domain)
    const bias = node.inputs[2]
    // Shared biases belong to several places with means of their own.
    const own = def?.scored && def.absorbAffine && bias?.initializer && bias.uses.size === 1 && node.outputs[0]!.shape?.length === 4
    return own ? [{ node, bias }] : []
  })
}

/** One layer after the other, since each correction moves the means of those behind it. */
async function correctedBiases(original: Detector, cut: Detector, plan: PrunePlan, options: RecalibrateOptions): Promise<Model> {
  const { axes, kept } = resolvePlan(original.model, plan)
  const layers = correctable(cut.model, new Set([...axes.keys()].map((v) => v.name)))
  if (layers.length === 0) return cut.model
  const wanted = layers.map(({ node }) => node.outputs[0]!.name)
  const targets = await channelMeans(original, original.model, wanted, options)
  const copy = cloneModel(cut.model).model
  options.listener?.({ type: 'phase', name: 'fit biases', total: layers.length, unit: 'layers' })
  for (const [i, name] of wanted.entries()) {
    const measured = (await channelMeans(cut, copy, [name], options))[0]!
    const keep = kept({ value: valueNamed(original.model.graph, name), axis: 1 }) ?? [...measured.keys()]
    const shift = measured.map((mean, k) => targets[i]![keep[k]!]! - mean)
    const node = valueNamed(copy.graph, name).producer!
    const absorbed = lookup(node.opType, node.domain)!.absorbAffine!(node, { scale: new Float32Array(shift.length).fill(1), shift })?.get(2)
    if (absorbed) setInitializer(node.inputs[2]!, absorbed)
    options.listener?.({ type: 'progress', done: i + 1, values: {} })
  }
  options.listener?.({ type: 'end', summary: 'channel means as the unpruned detector\'s' })
  return copy
}

/** Means of values [N,C,H,W] over the images and cells, a channel each. */
async function channelMeans(detector: Detector, model: Model, names: readonly string[], { runtime, session: options, batches }: RecalibrateOptions): Promise<Float32Array[]> {
  const batch = batches[0]!.samples.length
  const working = workingCopy(model, batch)
  const b = new Builder(new Graph('channel_means'))
  const values = names.map((name) => valueNamed(working.graph, name))
  const { values: copies } = importDetector(b, working, batch, { wanted: values })
  const outputs = values.map((v, i) => b.output(b.op('ReduceMean', [copies.get(v)!, b.ints([0, 2, 3])], { keepdims: 0 }), `mean_${i}`).name)
  const session: Session = await runtime.load(createModel(b.graph, b.opset), options)
  const sums: Float32Array[] = []
  try {
    for (const data of batches) {
      const out: Readonly<Record<string, Tensor>> = await session.run(imageFeeds(detector.card, data))
      outputs.forEach((name, i) => {
        const means = floats(out[name]!)
        const sum = (sums[i] ??= new Float32Array(means.length))
        for (let k = 0; k < sum.length; k++) sum[k] = sum[k]! + means[k]! / batches.length
      })
    }
  } finally {
    await session.release()
  }
  return sums
}
