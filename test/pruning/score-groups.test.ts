/** @file What criteria are handed that look at images: gradients by factors against differences of the loss, products against outputs worked out. */
import { describe, expect, it } from 'vitest'
import type { Batch, Loader } from '../../src/data/loader.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { criterionNamed } from '../../src/pruning/criteria/registry.ts'
import { weightAxes } from '../../src/pruning/criteria/criterion.ts'
import { measureGates } from '../../src/pruning/criteria/gates.ts'
import { measureProducts, outputsAnImage } from '../../src/pruning/criteria/products.ts'
import { type ChannelGroup, findGroups, indicesOf } from '../../src/pruning/groups.ts'
import { chooseGroups } from '../../src/pruning/request.ts'
import { scoreGroups } from '../../src/pruning/score-groups.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { floats, type Tensor } from '../../src/tensor/tensor.ts'
import { detectorOf, withWeights } from '../../src/train/detector.ts'
import { multiboxTask } from '../../src/train/multibox.ts'
import { loaderFor } from '../../src/train/source.ts'
import { importDetector } from '../../src/train/task.ts'
import { workingCopy } from '../../src/train/working-copy.ts'
import { shapesSource } from '../support/shapes.ts'
import { Net } from './nets.ts'

const session = { threads: 1 }
const train = shapesSource('train', 8)
const detector = detectorOf(buildDetector('ssd-small', { classes: train.dataset.classes, seed: 3, size: 96 }), 'small.onnx')

/** The model with what consumers read of one unit times `factor`. */
function scaled(model: Model, group: ChannelGroup, unit: number, factor: number): Model {
  const weights = new Map<string, Tensor>()
  for (const member of weightAxes(group.consumers)) {
    const { dims } = member.value.initializer!
    const data = floats(member.value.initializer!).slice()
    const inner = dims.slice(member.axis + 1).reduce((a, b) => a * b, 1)
    const gone = new Set(indicesOf(member, [unit]))
    data.forEach((v, i) => {
      if (gone.has(Math.floor(i / inner) % dims[member.axis]!)) data[i] = v * factor
    })
    weights.set(member.value.name, { dtype: 'float32', dims, data })
  }
  return withWeights(model, weights)
}

async function lossOf(model: Model, data: Batch, batch: number): Promise<number> {
  const task = multiboxTask(detector, batch)
  const working = workingCopy(model, batch)
  const b = new Builder(new Graph('loss'))
  const { classification, localization } = task.add(b, working, importDetector(b, working, batch, {}))
  const name = b.output(b.add(classification, localization), 'loss').name
  const loaded = await nodeRuntime.load(createModel(b.graph, b.opset), session)
  try {
    return floats((await loaded.run(await task.feeds(data)))[name]!)[0]!
  } finally {
    await loaded.release()
  }
}

describe('gradients by factors on channels', () => {
  it('are the slope of the loss where consumers read a channel, batch by batch, several consumers added up', async () => {
    const groups = chooseGroups(detector, { groups: 'all' })
    const images = loaderFor(train, detector.card, { batch: 4, dropLast: true })
    const passes = { selection: 0 }
    const { gates } = await measureGates(detector, groups, { runtime: nodeRuntime, session, task: multiboxTask(detector, 4), images, batch: 4, passes })
    expect(passes.selection).toBe(8)
    const batches: Batch[] = []
    for await (const data of loaderFor(train, detector.card, { batch: 4, dropLast: true }).epoch(0)) batches.push(data)
    const several = groups.findIndex((g) => weightAxes(g.consumers).length > 1)
    expect(several).toBeGreaterThanOrEqual(0)
    const h = 0.02
    for (const group of [groups[0]!, groups[several]!]) {
      const found = gates(group)
      expect(found).toHaveLength(2)
      for (const unit of [0, group.channels - 1]) {
        const [more, less] = [await lossOf(scaled(detector.model, group, unit, 1 + h), batches[1]!, 4), await lossOf(scaled(detector.model, group, unit, 1 - h), batches[1]!, 4)]
        const slope = (more - less) / (2 * h)
        const largest = found[1]!.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
        expect(Math.abs(found[1]![unit]! - slope), `${group.id} ${unit}: ${found[1]![unit]} for ${slope}`).toBeLessThan(0.02 * largest + 1e-3)
      }
    }
  }, 60_000)
})

describe('products of what channels add to outputs', () => {
  /** One image of 1 x 1, so that there is one place to draw. */
  const pixel = [0.5, -1, 2]
  const images = { batches: 1, skipped: [], epoch: async function* () { yield { images: Float32Array.from(pixel), samples: [{ id: 'a' }], truths: [], transforms: [] } } } as unknown as Loader
  const small = { ...detector.card, input: { width: 1, height: 1 } }

  /** Weights of a layer by name. */
  const weights = (model: Model, name: string): number[] => Array.from(floats(model.graph.initializers.find((v) => v.name === name)!.initializer!))
  /** A 1x1 convolution's outputs, Relu behind it. */
  const relu = (w: readonly number[], bias: readonly number[], x: readonly number[]): number[] => bias.map((b, o) => Math.max(0, b + x.reduce((sum, v, c) => sum + v * w[o * x.length + c]!, 0)))

  it('of a filter at one place, x w each, as often as outputs are drawn; those of several consumers add up', async () => {
    const net = new Net(5, [1, 3, 1, 1])
    const a = net.act('Relu', net.conv('a', net.x, 4, 1))
    const model = net.model(net.conv('one', a, 1, 1), net.conv('two', a, 1, 1))
    const group = findGroups(model).find((g) => g.id === 'a.w')!
    const passes = { selection: 0 }
    const { products } = await measureProducts({ ...detector, model, card: small }, [group], { runtime: nodeRuntime, session, images, seed: 0, passes })
    const x = relu(weights(model, 'a.w'), weights(model, 'a.b'), pixel)
    expect(x.filter((v) => v > 0).length).toBeGreaterThan(1)
    const added = ['one.w', 'two.w'].map((name) => weights(model, name).map((w, k) => w * x[k]!))
    const got = products(group)
    for (let j = 0; j < 4; j++) for (let k = 0; k < 4; k++) expect(got[j * 4 + k]).toBeCloseTo(outputsAnImage * added.reduce((sum, v) => sum + v[j]! * v[k]!, 0), 4)
    expect(passes.selection).toBe(1)
  })

  it('a filter of a grouped convolution sees the channels of its own group alone, and a unit is one of each', async () => {
    const net = new Net(6, [1, 3, 1, 1])
    const a = net.act('Relu', net.conv('a', net.x, 4, 1))
    // The kernel's middle is all that sees the one place.
    const model = net.model(net.grouped('split', a, 2, 2))
    const group = findGroups(model).find((g) => g.id === 'a.w')!
    const { products } = await measureProducts({ ...detector, model, card: small }, [group], { runtime: nodeRuntime, session, images, seed: 0, passes: { selection: 0 } })
    const x = relu(weights(model, 'a.w'), weights(model, 'a.b'), pixel)
    const middle = weights(model, 'split.w').filter((_, i) => i % 9 === 4)
    const added = x.map((v, k) => v * middle[k]!)
    const got = products(group)
    // Units are channels k of both groups: 0 with 2, 1 with 3. How often each filter was drawn is told by one square.
    expect(group.channels).toBe(2)
    const unit = (j: number, k: number, times: readonly number[]): number => times.reduce((sum, n, g) => sum + n * added[2 * g + j]! * added[2 * g + k]!, 0)
    const drawn = Array.from({ length: outputsAnImage + 1 }, (_, n) => [n, outputsAnImage - n])
    const fits = drawn.filter((times) => [0, 1].every((j) => [0, 1].every((k) => Math.abs(unit(j, k, times) - got[j * 2 + k]!) < 1e-3 * (1 + Math.abs(got[j * 2 + k]!)))))
    expect(fits.length).toBeGreaterThan(0)
    expect(fits[0]![0]).toBeGreaterThan(10)
    expect(fits[0]![0]).toBeLessThan(outputsAnImage - 10)
  })
})

describe('scores on images', () => {
  it.each([['taylor', 8], ['thinet', 6]])('%s counts its passes and ranks every group', async (method, expected) => {
    const groups = chooseGroups(detector, { groups: 'inner' })
    const passes = { selection: 0 }
    const criterion = criterionNamed(method)
    if (criterion.needs === 'joint') throw new Error('looks at no whole model')
    const run = scoreGroups(criterion, detector, groups.slice(0, 4), train, { runtime: nodeRuntime, session, images: expected, batch: 4, task: () => multiboxTask(detector, 4), seed: 1, passes })
    const { scores } = await run
    expect(passes.selection).toBe(expected)
    for (const g of groups.slice(0, 4)) expect(new Set(Array.from(scores.get(g.id)!)).size).toBeGreaterThan(g.channels / 2)
  }, 60_000)
})
