/** @file Gradients of a detector's loss by factors on its channels, batch by batch: what criteria that need "loss" are handed. */
import { grad } from '../../autodiff/grad.ts'
import type { Loader } from '../../data/loader.ts'
import { createModel, dimsOf, Graph } from '../../ir/graph.ts'
import { Builder } from '../../ops/builder.ts'
import type { Runtime, SessionOptions } from '../../runtime/session.ts'
import { floats } from '../../tensor/tensor.ts'
import type { Detector } from '../../train/detector.ts'
import type { Listener } from '../../train/events.ts'
import { trainingMemory } from '../../train/step.ts'
import { type DetectorTask, importDetector } from '../../train/task.ts'
import { initializerOf } from '../../train/train.ts'
import { workingCopy } from '../../train/working-copy.ts'
import type { ChannelGroup } from '../groups.ts'
import { type StatisticsOf, weightAxes } from './criterion.ts'

export interface GateOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** The loss, made for batches of `batch`. */
  readonly task: DetectorTask
  /** Full batches of `batch` images. */
  readonly images: Loader
  readonly batch: number
  /** Counts the forward-backward passes over images. */
  readonly passes: { selection: number }
  readonly listener?: Listener
}

/**
 * One forward and backward pass over the images, batch normalisation frozen. A factor z on what a consumer reads is one on the slice of its weight that reads it, so
 * dL/dz is the sum of w dL/dw over that slice, and over all consumers of the unit.
 */
export async function measureGates(detector: Detector, groups: readonly ChannelGroup[], { runtime, session: options, task, images, batch, passes, listener }: GateOptions): Promise<StatisticsOf['loss']> {
  const axes = new Map(groups.flatMap((g) => weightAxes(g.consumers)).map((m) => [m.value.name, m.axis]))
  const working = workingCopy(detector.model, batch)
  const b = new Builder(new Graph('gates'))
  const m = importDetector(b, working, batch, { trainable: (v) => axes.has(v.name), wanted: [...working.graph.outputs, ...(task.wanted?.(working) ?? [])] })
  const { classification, localization } = task.add(b, working, m)
  const gradients = grad(b, b.add(classification, localization), m.parameters.map((p) => p.input))
  const outputs = m.parameters.flatMap(({ source, input }) => {
    const gradient = gradients.get(input)
    // The loss may look at other outputs than those that hang on this weight.
    if (!gradient) return []
    const others = dimsOf(input).flatMap((_, axis) => (axis === axes.get(source.name) ? [] : [axis]))
    return [{ weight: source.name, output: b.output(b.sum(b.mul(input, gradient), others), `gate/${source.name}`).name }]
  })
  const session = await runtime.load(createModel(b.graph, b.opset), { ...trainingMemory, ...options })
  const found: Map<string, Float32Array>[] = []
  try {
    const own = initializerOf(detector.model)
    const weights = Object.fromEntries(m.parameters.map(({ source }) => [source.name, own(source.name)]))
    listener?.({ type: 'phase', name: `score ${groups.length} groups by the detector's loss`, total: images.batches, unit: 'batches' })
    for await (const data of images.epoch(0)) {
      const out = await session.run({ ...weights, ...(await task.feeds(data)) })
      found.push(new Map(outputs.map(({ weight, output }) => [weight, floats(out[output]!).slice()])))
      passes.selection += batch
      listener?.({ type: 'progress', done: found.length, values: { images: found.length * batch } })
    }
    listener?.({ type: 'end', summary: `${found.length * batch} images` })
  } finally {
    await session.release()
  }
  return { gates: (group) => found.map((batchFound) => gatesOf(group, batchFound)) }
}

/** Of each unit, from those of each index on a weight's axis. */
function gatesOf({ consumers, channels }: ChannelGroup, found: ReadonlyMap<string, Float32Array>): Float64Array {
  const gates = new Float64Array(channels)
  for (const member of weightAxes(consumers)) {
    const along = found.get(member.value.name)
    if (!along) continue
    member.indices.forEach((index, at) => {
      const k = Math.floor(at / member.perUnit)
      gates[k] = gates[k]! + along[index]!
    })
  }
  return gates
}
