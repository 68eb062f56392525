/** @file Inner products of what channels add to sampled outputs of the layers that read them: what criteria that need "features" are handed. */
import type { Loader } from '../../data/loader.ts'
import { createModel, dimsOf, Graph, type Node } from '../../ir/graph.ts'
import { valueNamed } from '../../ir/walk.ts'
import { Builder } from '../../ops/builder.ts'
import { lookup } from '../../ops/registry.ts'
import type { Runtime, SessionOptions } from '../../runtime/session.ts'
import { createRng, type Rng } from '../../tensor/rng.ts'
import { floats, type Tensor } from '../../tensor/tensor.ts'
import type { Detector } from '../../train/detector.ts'
import type { Listener } from '../../train/events.ts'
import { imageFeeds, importDetector } from '../../train/task.ts'
import { workingCopy } from '../../train/working-copy.ts'
import { nodeLabel } from '../channel-links.ts'
import type { ChannelGroup } from '../groups.ts'
import type { StatisticsOf } from './criterion.ts'

export interface ProductOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Batches of one image: a layer's patches at all places are many numbers. */
  readonly images: Loader
  readonly seed: number
  /** Counts the passes over images. */
  readonly passes: { selection: number }
  readonly listener?: Listener
}

/** Outputs (a place and a filter each) that are drawn of every consumer and image. The paper draws 10 of an image, and has thousands of images. */
export const outputsAnImage = 64

/** One forward pass over the images, without a backward one; it counts as a whole pass. Consumers must be layers with `regressors`. */
export async function measureProducts(detector: Detector, groups: readonly ChannelGroup[], { runtime, session: options, images, seed, passes, listener }: ProductOptions): Promise<StatisticsOf['features']> {
  const names = [...new Set(groups.flatMap((g) => g.consumers.map((c) => c.node.outputs[0]!.name)))]
  const working = workingCopy(detector.model, 1)
  const b = new Builder(new Graph('products'))
  const nodes = names.map((name) => valueNamed(working.graph, name).producer!)
  const m = importDetector(b, working, 1, { wanted: nodes.map((n) => n.inputs[0]!) })
  const layers = nodes.map((node, i) => ({ name: names[i]!, ...addProducts(b, node, m.values.get(node.inputs[0]!)!) }))
  const session = await runtime.load(createModel(b.graph, b.opset), options)
  const sums = new Map(layers.map((l) => [l.name, new Float64Array(l.channels ** 2)]))
  try {
    listener?.({ type: 'phase', name: `score ${groups.length} groups by features`, total: images.batches, unit: 'images' })
    let done = 0
    for await (const data of images.epoch(0)) {
      const rng = createRng(`${seed}/products`).fork(data.samples[0]!.id)
      const drawn = Object.assign({}, ...layers.map((l) => l.draw(rng.fork(l.name)))) as Record<string, Tensor>
      const out = await session.run({ ...imageFeeds(detector.card, data), ...drawn })
      for (const { name, output } of layers) {
        const sum = sums.get(name)!
        floats(out[output]!).forEach((v, i) => (sum[i] = sum[i]! + v))
      }
      passes.selection += 1
      listener?.({ type: 'progress', done: ++done, values: { images: done } })
    }
    listener?.({ type: 'end', summary: `${done * outputsAnImage} outputs of each layer` })
  } finally {
    await session.release()
  }
  return { products: (group) => productsOf(group, sums) }
}

interface Layer {
  /** Channels that the node reads. */
  readonly channels: number
  /** Of the [channels, channels] products. */
  readonly output: string
  /** Feeds that choose the outputs. */
  readonly draw: (rng: Rng) => Record<string, Tensor>
}

/** X X^T, where X [C,S] is what each channel of `x` adds to S outputs that are fed as places and filters. */
function addProducts(b: Builder, node: Node, x: ReturnType<Builder['input']>): Layer {
  const seen = lookup(node.opType, node.domain)!.regressors!(b, node, x)
  const [, groups, depth, places] = dimsOf(seen) as [number, number, number, number]
  const weight = node.inputs[1]!.initializer!
  const filters = weight.dims[0]!
  const channels = groups * weight.dims[1]!
  const port = (what: string): string => `${what}/${node.outputs[0]!.name}`
  const at = b.input(port('places'), 'int32', [outputsAnImage])
  const by = b.input(port('filters'), 'int32', [outputsAnImage])
  const inputs = b.op('Gather', [b.reshape(seen, [groups, depth, places]), at], { axis: 2 })
  const rows = b.transpose(b.op('Gather', [b.reshape(b.constant(weight), [filters, depth]), by], { axis: 0 }), [1, 0])
  let addends = b.mul(inputs, rows)
  // A filter sees the channels of its own group.
  if (groups > 1) {
    const own = b.input(port('own'), 'float32', [groups, 1, outputsAnImage])
    addends = b.mul(addends, own)
  }
  const byChannel = b.sum(b.reshape(addends, [channels, depth / weight.dims[1]!, outputsAnImage]), [1])
  const output = b.output(b.op('MatMul', [byChannel, b.transpose(byChannel, [1, 0])]), port('products')).name
  return {
    channels,
    output,
    draw(rng) {
      const pick = (below: number): Int32Array => Int32Array.from({ length: outputsAnImage }, () => Math.floor(rng.next() * below))
      const chosen = pick(filters)
      const vector = (data: Int32Array): Tensor => ({ dtype: 'int32', dims: [outputsAnImage], data })
      const own = new Float32Array(groups * outputsAnImage)
      chosen.forEach((filter, s) => (own[Math.floor((filter * groups) / filters) * outputsAnImage + s] = 1))
      return {
        [port('places')]: vector(pick(places)),
        [port('filters')]: vector(chosen),
        ...(groups > 1 && { [port('own')]: { dtype: 'float32' as const, dims: [groups, 1, outputsAnImage], data: own } }),
      }
    },
  }
}

/** Of units, from those of the channels of each consumer's input: a unit may have several there. */
function productsOf({ id, channels, members, consumers }: ChannelGroup, sums: ReadonlyMap<string, Float64Array>): Float64Array {
  const total = new Float64Array(channels * channels)
  for (const node of new Set(consumers.map((c) => c.node))) {
    const read = members.find((m) => m.value === node.inputs[0] && m.axis === 1)
    if (!read) throw new Error(`group "${id}" is not on axis 1 of what ${nodeLabel(node)} reads`)
    const sum = sums.get(node.outputs[0]!.name)!
    const width = Math.sqrt(sum.length)
    const { perUnit, indices } = read
    for (let j = 0; j < channels * perUnit; j++) {
      const row = Math.floor(j / perUnit) * channels
      for (let k = 0; k < channels * perUnit; k++) {
        const to = row + Math.floor(k / perUnit)
        total[to] = total[to]! + sum[indices[j]! * width + indices[k]!]!
      }
    }
  }
  return total
}
