/** @file Backward elimination: costs are what least squares really loses, curvature is what errors really do to the outputs, and copies go first. */
import { inverse, Matrix } from 'ml-matrix'
import { describe, expect, it } from 'vitest'
import { createModel, type Model } from '../../src/ir/graph.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { createElimination } from '../../src/pruning/curvature/elimination.ts'
import { invertPositive } from '../../src/pruning/curvature/inverse.ts'
import { assertCurved, type Curvature, type LayerCurvature, measureCurvature } from '../../src/pruning/curvature/measure.ts'
import { curvatureWidths, eliminate } from '../../src/pruning/curvature/widths.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import type { Detector } from '../../src/train/detector.ts'
import type { OutputReading } from '../../src/train/distill.ts'
import { runModel } from '../support/run.ts'
import { Net } from './nets.ts'

const rng = createRng('curvature')

/** X X^T of random numbers that depend on each other, with a last input that is 1. */
function randomGram(inputs: number, groups = 1): Float64Array {
  const out: number[] = []
  for (let g = 0; g < groups; g++) {
    const mix = Matrix.from1DArray(inputs, inputs, Array.from({ length: inputs ** 2 }, () => rng.normal()))
    const x = mix.mmul(Matrix.from1DArray(inputs, 4 * inputs, Array.from({ length: 4 * inputs ** 2 }, () => rng.normal())))
    for (let k = 0; k < 4 * inputs; k++) x.set(inputs - 1, k, 1)
    out.push(...x.mmul(x.transpose()).div(4 * inputs).to1DArray())
  }
  return Float64Array.from(out)
}

const curvatureOf = (inputs: number, filters: number, groups = 1): LayerCurvature => ({ inputs, gram: randomGram(inputs, groups), outputs: Float64Array.from({ length: filters }, () => rng.uniform(0.1, 2)) })

/** min over W' with zero columns `gone` of sum_o f_o (w_o - w'_o)^T A (w_o - w'_o), A damped as the elimination does, worked out in one go. */
function lossWithout(weights: Float32Array, { inputs, gram, outputs }: LayerCurvature, gone: readonly number[], block = 0, blocks = 1): number {
  const depth = inputs - 1
  const a = Matrix.from1DArray(inputs, inputs, [...gram.slice(block * inputs ** 2, (block + 1) * inputs ** 2)])
  const trace = Array.from({ length: depth }, (_, i) => a.get(i, i)).reduce((x, y) => x + y, 0)
  a.add(Matrix.eye(inputs).mul((0.01 * trace) / depth))
  const inner = inverse(inverse(a).selection([...gone], [...gone]))
  const rows = outputs.length / blocks
  let sum = 0
  for (let o = block * rows; o < (block + 1) * rows; o++) {
    const w = Matrix.columnVector(gone.map((i) => weights[o * depth + i]!))
    sum += outputs[o]! * w.transpose().mmul(inner).mmul(w).get(0, 0)
  }
  return sum
}

function chain(): { model: Model; groups: ChannelGroup[] } {
  const net = new Net(3, [1, 3, 6, 6])
  const a = net.act('Relu', net.conv('a', net.x, 8))
  const b = net.act('Relu', net.conv('b', a, 6, 3))
  const model = net.model(net.conv('head', b, 4, 1))
  return { model, groups: findGroups(model).filter((g) => g.prunable) }
}

describe('invertPositive', () => {
  it('inverts, and refuses what is not positive definite', () => {
    for (const n of [1, 2, 7, 40]) {
      const a = randomGram(n)
      for (let i = 0; i < n; i++) a[i * n + i] = a[i * n + i]! + 0.1
      const found = a.slice()
      invertPositive(found, n)
      const product = Matrix.from1DArray(n, n, [...a]).mmul(Matrix.from1DArray(n, n, [...found])).sub(Matrix.eye(n))
      expect(Math.max(...product.to1DArray().map(Math.abs)), `${n}`).toBeLessThan(1e-6)
    }
    expect(() => invertPositive(Float64Array.of(1, 2, 2, 1), 2)).toThrow('not positive definite at row 1')
  })
})

describe('elimination', () => {
  it('costs add up to what least squares loses without all that went, kernel places of a channel together', () => {
    const { groups } = chain()
    const [a, b] = groups as [ChannelGroup, ChannelGroup]
    const curvature: Curvature = new Map([['b.w', curvatureOf(8 * 9 + 1, 6)], ['head.w', curvatureOf(7, 4)]])
    const elimination = createElimination(groups, curvature)
    const read = a.consumers[0]!.member.value
    let total = 0
    const gone: number[] = []
    for (const unit of [5, 0, 3]) {
      total += elimination.cost(a, unit)
      elimination.remove(a, unit)
      gone.push(...Array.from({ length: 9 }, (_, k) => unit * 9 + k))
      const wanted = lossWithout(floats(read.initializer!), curvature.get('b.w')!, gone)
      expect(Math.abs(total - wanted) / wanted).toBeLessThan(1e-6)
    }
    // The units of b are read elsewhere: nothing went there.
    const head = b.consumers[0]!.member.value
    const alone = lossWithout(floats(head.initializer!), curvature.get('head.w')!, [2])
    expect(Math.abs(elimination.cost(b, 2) - alone) / alone).toBeLessThan(1e-9)
  })

  it('fits the kept weights and the bias as the normal equations do', () => {
    const { groups } = chain()
    const [a, b] = groups as [ChannelGroup, ChannelGroup]
    const layer = curvatureOf(7, 4)
    const elimination = createElimination([b], new Map([['head.w', layer]]))
    for (const unit of [4, 1]) elimination.remove(b, unit)
    const { weights, shift } = elimination.fitted().get('head.w')!
    const damped = Matrix.from1DArray(7, 7, [...layer.gram])
    const trace = [0, 1, 2, 3, 4, 5].reduce((sum, i) => sum + damped.get(i, i), 0)
    damped.add(Matrix.eye(7).mul((0.01 * trace) / 6))
    const stay = [0, 2, 3, 5, 6]
    const solver = inverse(damped.selection(stay, stay)).mmul(damped.selection(stay, [0, 1, 2, 3, 4, 5, 6]))
    const before = floats(b.consumers[0]!.member.value.initializer!)
    for (let o = 0; o < 4; o++) {
      const whole = Matrix.columnVector([...before.slice(o * 6, o * 6 + 6), 0])
      const wanted = solver.mmul(whole).to1DArray()
      stay.forEach((i, k) => expect(i === 6 ? shift![o] : weights[o * 6 + i]).toBeCloseTo(wanted[k]!, 5))
      expect(weights[o * 6 + 4]).toBe(0)
      expect(weights[o * 6 + 1]).toBe(0)
    }
    expect(a.channels).toBe(8)
  })

  it('an output that nobody computes any more costs nothing where its layer is read', () => {
    const { groups } = chain()
    const [a, b] = groups as [ChannelGroup, ChannelGroup]
    const layer = curvatureOf(8 * 9 + 1, 6)
    const curvature: Curvature = new Map([['b.w', layer], ['head.w', curvatureOf(7, 4)]])
    const elimination = createElimination(groups, curvature)
    elimination.remove(b, 4)
    const outputs = layer.outputs.slice()
    outputs[4] = 0
    const wanted = lossWithout(floats(a.consumers[0]!.member.value.initializer!), { ...layer, outputs }, Array.from({ length: 9 }, (_, k) => 9 + k))
    expect(Math.abs(elimination.cost(a, 1) - wanted) / wanted).toBeLessThan(1e-6)
    expect(layer.outputs[4]).toBeGreaterThan(0)
  })

  it('adds up over all layers that read a unit, and over the blocks of grouped convolutions', () => {
    const net = new Net(5, [1, 3, 6, 6])
    const a = net.act('Relu', net.conv('a', net.x, 6))
    const model = net.model(net.conv('p', a, 4, 1), net.grouped('q', a, 4, 2))
    const group = findGroups(model).find((g) => g.id === 'a.w')!
    const curvature: Curvature = new Map([['p.w', curvatureOf(7, 4)], ['q.w', curvatureOf(3 * 9 + 1, 4, 2)]])
    const [p, q] = ['p.w', 'q.w'].map((name) => group.consumers.find((c) => c.member.value.name === name)!.member)
    // A unit is the same channel of both halves, for the grouped layer to stay in step.
    const cells = Array.from({ length: 9 }, (_, k) => 9 + k)
    const wanted = lossWithout(floats(p!.value.initializer!), curvature.get('p.w')!, [1, 4]) + [0, 1].reduce((sum, g) => sum + lossWithout(floats(q!.value.initializer!), curvature.get('q.w')!, cells, g, 2), 0)
    const found = createElimination([group], curvature).cost(group, 1)
    expect(group.channels).toBe(3)
    expect(Math.abs(found - wanted) / wanted).toBeLessThan(1e-6)
  })
})

describe('curvatureWidths and eliminate', () => {
  const { model, groups } = chain()
  const curvature: Curvature = new Map([['b.w', curvatureOf(8 * 9 + 1, 6)], ['head.w', { ...curvatureOf(7, 4), outputs: new Float64Array(4).fill(1e-6) }]])

  it('take from the group that costs least, until the budget holds and not a step further', () => {
    const { widths, before, after } = curvatureWidths({ model, groups, curvature, removeMacs: 0.3, round: 1 })
    expect(widths.get('a.w')).toBe(8)
    const cut = (width: number): number => modelCost(applyPlan(model, makePlan(groups, new Map([['b.w', Array.from({ length: width }, (_, k) => k)]]), { method: 'hand' }))).macs
    expect(after.macs).toBe(cut(widths.get('b.w')!))
    expect(after.macs).toBeLessThanOrEqual(0.7 * before.macs)
    expect(cut(widths.get('b.w')! + 1)).toBeGreaterThan(0.7 * before.macs)
  })

  it('keep to the limit', () => {
    const { widths } = curvatureWidths({ model, groups, curvature, removeMacs: 0.3, round: 1, limit: 0.34 })
    expect(widths.get('b.w')).toBe(4)
    expect(widths.get('a.w')).toBeLessThan(8)
  })

  it('leave the units that are dearest one after the other, as many as asked', () => {
    const { kept } = eliminate(model, groups, curvature, new Map([['a.w', 5], ['b.w', 6]]))
    expect(kept.get('b.w')).toEqual([0, 1, 2, 3, 4, 5])
    const elimination = createElimination(groups, curvature)
    const left = new Set([0, 1, 2, 3, 4, 5, 6, 7])
    while (left.size > 5) {
      const next = [...left].sort((x, y) => elimination.cost(groups[0]!, x) - elimination.cost(groups[0]!, y))[0]!
      elimination.remove(groups[0]!, next)
      left.delete(next)
    }
    expect(kept.get('a.w')).toEqual([...left])
  })
})

describe('costs that hang together', () => {
  it('count anew in the layers of what went', () => {
    const { model, groups } = chain()
    const head = floats(groups[1]!.consumers[0]!.member.value.initializer!)
    for (let o = 0; o < 4; o++) head[o * 6] = 0
    // Unit 0 of b costs nothing to lose, and is what made a dear.
    const read = { ...curvatureOf(8 * 9 + 1, 6), outputs: Float64Array.of(1e6, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9) }
    const curvature: Curvature = new Map([['b.w', read], ['head.w', curvatureOf(7, 4)]])
    const { widths } = curvatureWidths({ model, groups, curvature, removeMacs: 0.3, round: 1 })
    expect(widths.get('b.w')).toBe(5)
    expect(widths.get('a.w')).toBeLessThan(8)
  })

  it('start from the same for widths and for channels', () => {
    const { model, groups } = chain()
    const make = (): Curvature => {
      const seeded = createRng('again')
      const gram = (inputs: number): Float64Array => {
        const x = Matrix.from1DArray(inputs, 2 * inputs, Array.from({ length: 2 * inputs ** 2 }, () => seeded.normal()))
        return Float64Array.from(x.mmul(x.transpose()).to1DArray())
      }
      return new Map([['b.w', { inputs: 73, gram: gram(73), outputs: new Float64Array(6).fill(1) }], ['head.w', { inputs: 7, gram: gram(7), outputs: new Float64Array(4).fill(1) }]])
    }
    const used = make()
    const { widths } = curvatureWidths({ model, groups, curvature: used, removeMacs: 0.5, round: 1 })
    const [after, fresh] = [used, make()].map((curvature) => eliminate(model, groups, curvature, widths))
    expect(after!.kept).toEqual(fresh!.kept)
    const weights = ({ model: m }: { model: Model }): Float32Array[] => m.graph.initializers.map((v) => floats(v.initializer!))
    expect(weights(after!)).toEqual(weights(fresh!))
  })

  it('leave a bias as it is that another layer has too', () => {
    const net = new Net(11, [1, 3, 6, 6])
    const a = net.act('Relu', net.conv('a', net.x, 4))
    const bias = net.weight('shared.b', [2], 4)
    const model = net.model(net.convWith('p', a, net.weight('p.w', [2, 4, 1, 1]), bias), net.convWith('q', net.x, net.weight('q.w', [2, 3, 1, 1]), bias))
    const group = findGroups(model).find((g) => g.id === 'a.w')!
    const { model: fitted } = eliminate(model, [group], new Map([['p.w', curvatureOf(5, 2)]]), new Map([['a.w', 2]]))
    const of = (m: Model, name: string): Float32Array => floats(m.graph.initializers.find((v) => v.name === name)!.initializer!)
    expect(of(fitted, 'shared.b')).toEqual(of(model, 'shared.b'))
    expect(of(fitted, 'p.w')).not.toEqual(of(model, 'p.w'))
  })
})

describe('measureCurvature', () => {
  const size = 16

  /** 3 -> 4 -> 1 channels by 1x1 kernels, the one output read as a score. */
  function small(): { detector: Detector; reading: OutputReading; groups: ChannelGroup[] } {
    const net = new Net(7, ['N', 3, size, size])
    const out = net.conv('head', net.act('Relu', net.conv('a', net.x, 4, 1)), 1, 1)
    const model = createModel(net.b.graph, 17)
    net.b.output(out, 'out')
    const reading: OutputReading = {
      fields: [{ output: 'out', axis: 1, from: 0, to: 1, kind: 'probability', purpose: 'class' }],
      confidence: (outputs) => ({ out: new Float32Array(floats(outputs.out!).length).fill(1) }),
    }
    return { detector: { model, card: { input: { width: size, height: size } } as never, defaults: undefined }, reading, groups: findGroups(model).filter((g) => g.prunable) }
  }

  /** One batch of random images, as a loader gives it. */
  const data = Float32Array.from({ length: 2 * 3 * size * size }, () => rng.uniform(-1, 1))
  const loader = { batches: 1, skipped: [], epoch: async function* () { yield { images: data, samples: [{}, {}] } } } as never
  const options = { runtime: nodeRuntime, session: { threads: 1 }, batch: 2, seed: 0, images: loader, passes: { selection: 0 } }

  it('is, of a linear head, the means of its inputs\' products, and the share that an error has of the output', async () => {
    const { detector, reading, groups } = small()
    const found = (await measureCurvature(detector, groups, { ...options, reading })).get('head.w')!
    const shown = await runModel(detector.model, { x: f32(data, [2, 3, size, size]) })
    const energy = floats(shown.out!).reduce((sum, v) => sum + v * v, 0)
    // One output, its gradient plus or minus 1 / sqrt(energy) at each of 2 x 256 places.
    expect(found.outputs[0]! / ((2 * size * size) / energy)).toBeCloseTo(1, 4)
    const inputs = relus(detector.model)
    const places = 2 * size * size
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 5; j++) {
        let mean = 0
        for (let p = 0; p < places; p++) mean += (inputs(i, p) * inputs(j, p)) / places
        expect(found.gram[i * 5 + j]).toBeCloseTo(mean, 4)
      }
    }
    expect(options.passes.selection).toBe(2)
  })

  it('counts places and channels before an activation by what gets through', async () => {
    const { detector, reading, groups } = small()
    const net = new Map(detector.model.graph.initializers.map((v) => [v.name, floats(v.initializer!)]))
    // The input's own group cannot be cut; the layer that reads the image is asked for by a group of its own making.
    const first = { ...groups[0]!, consumers: groups[0]!.producers.map(({ node }) => ({ node, member: groups[0]!.producers[0]!.member })) }
    const found = (await measureCurvature(detector, [first], { ...options, reading })).get('a.w')!
    const inputs = relus(detector.model)
    const energy = floats((await runModel(detector.model, { x: f32(data, [2, 3, size, size]) })).out!).reduce((sum, v) => sum + v * v, 0)
    const places = 2 * size * size
    for (let o = 0; o < 4; o++) {
      let through = 0
      for (let p = 0; p < places; p++) if (inputs(o, p) > 0) through += net.get('head.w')![o]! ** 2 / energy
      expect(Math.abs(found.outputs[o]! - through)).toBeLessThan(1e-5 * (1 + through))
    }
    const weightAt = (p: number): number => [0, 1, 2, 3].reduce((sum, o) => sum + (inputs(o, p) > 0 ? net.get('head.w')![o]! ** 2 : 0), 0)
    let [total, mean] = [0, 0]
    for (let p = 0; p < places; p++) {
      const image = Math.floor(p / (size * size))
      const x = data[(image * 3 + 1) * size * size + (p % (size * size))]!
      total += weightAt(p)
      mean += weightAt(p) * x * x
    }
    expect(found.gram[1 * 4 + 1]).toBeCloseTo(mean / total, 5)
  })

  it('takes all errors alike without a reading', async () => {
    const { detector, groups } = small()
    const found = (await measureCurvature(detector, groups, { ...options, reading: undefined })).get('head.w')!
    expect([...found.outputs]).toEqual([1])
    expect(found.gram[24]).toBeCloseTo(1, 6)
  })

  it('takes means over batches, and what several outputs lose adds up in squares', async () => {
    const net = new Net(13, ['N', 3, size, size])
    const out = net.conv('head', net.conv('a', net.x, 4, 1), 2, 1)
    const model = createModel(net.b.graph, 17)
    net.b.output(out, 'out')
    const { detector, reading: one } = small()
    const reading: OutputReading = { ...one, fields: [{ ...one.fields[0]!, to: 2 }] }
    const groups = findGroups(model).filter((g) => g.prunable)
    const first = { ...groups[0]!, consumers: groups[0]!.producers.map(({ node }) => ({ node, member: groups[0]!.producers[0]!.member })) }
    const many = { batches: 8, skipped: [], epoch: async function* () { for (let i = 0; i < 8; i++) yield { images: data, samples: [{}, {}] } } } as never
    const found = (await measureCurvature({ ...detector, model }, [first], { ...options, images: many, reading })).get('a.w')!
    const energy = floats((await runModel(model, { x: f32(data, [2, 3, size, size]) })).out!).reduce((sum, v) => sum + v * v, 0)
    const head = floats(model.graph.initializers.find((v) => v.name === 'head.w')!.initializer!)
    for (let o = 0; o < 4; o++) {
      // 8 x 512 draws of two signs: the product of both has a mean of 0 within a few hundredths.
      const [u, v] = [head[o]!, head[4 + o]!]
      const each = found.outputs[o]! / ((2 * size * size) / energy)
      expect(Math.abs(each - (u * u + v * v))).toBeLessThan(0.1 * Math.abs(2 * u * v))
    }
  })

  it('adds up over layers that share a weight', async () => {
    const net = new Net(15, ['N', 3, size, size])
    const a = net.act('Relu', net.conv('a', net.x, 4, 1))
    const shared = net.weight('shared.w', [2, 4, 1, 1])
    const [left, right] = [net.convWith('left', a, shared), net.convWith('right', net.act('Relu', net.b.op('Neg', [a])), shared)]
    const model = createModel(net.b.graph, 17)
    net.b.output(left, 'left')
    net.b.output(right, 'right')
    const { detector } = small()
    const found = (await measureCurvature({ ...detector, model }, findGroups(model).filter((g) => g.prunable), { ...options, reading: undefined })).get('shared.w')!
    expect([...found.outputs]).toEqual([2, 2])
    // The right one reads nothing but zeros: the means are half of the left one's.
    const inputs = relus(model)
    const places = 2 * size * size
    let mean = 0
    for (let p = 0; p < places; p++) mean += inputs(1, p) ** 2 / (2 * places)
    expect(found.gram[1 * 5 + 1]).toBeCloseTo(mean, 5)
  })

  it('moves what an input adds that never changes into the bias, and what a copy adds to the other', async () => {
    const { detector, reading, groups } = small()
    const of = (name: string): Float32Array => floats(detector.model.graph.initializers.find((v) => v.name === name)!.initializer!)
    of('a.w').set([1, 0, 0, /* always 1 */ 0, 0, 0, /* the copy */ 1, 0, 0, 0, 1, 0])
    of('a.b').set([0.5, 1, 0.5, 0.5])
    of('head.w').set([1, -0.5, 0.5, 1.5])
    const { kept, model } = eliminate(detector.model, groups, await measureCurvature(detector, groups, { ...options, reading }), new Map([['a.w', 2]]))
    expect(kept.get('a.w')).toContain(3)
    expect(kept.get('a.w')).not.toContain(1)
    const cut = applyPlan(model, makePlan(groups, kept, { method: 'backward' }))
    const [was, is] = await Promise.all([detector.model, cut].map(async (m) => floats((await runModel(m, { x: f32(data, [2, 3, size, size]) })).out!)))
    const energy = was!.reduce((sum, v) => sum + v * v, 0)
    expect(was!.reduce((sum, v, i) => sum + (v - is![i]!) ** 2, 0) / energy).toBeLessThan(1e-3)
  })

  it('lets a channel go first that is a copy of another', async () => {
    const { detector, reading, groups } = small()
    for (const name of ['a.w', 'a.b']) {
      const w = floats(detector.model.graph.initializers.find((v) => v.name === name)!.initializer!)
      const row = w.length / 4
      w.set(w.slice(0, row), 2 * row)
    }
    const { kept } = eliminate(detector.model, groups, await measureCurvature(detector, groups, { ...options, reading }), new Map([['a.w', 3]]))
    expect([[0, 1, 3], [1, 2, 3]]).toContainEqual(kept.get('a.w'))
  })

  /** What the head reads: input i (the last is 1) at place p of both images. */
  function relus(model: Model): (i: number, p: number) => number {
    const [w, bias] = ['a.w', 'a.b'].map((name) => floats(model.graph.initializers.find((v) => v.name === name)!.initializer!))
    return (i, p) => {
      if (i === 4) return 1
      const [image, at] = [Math.floor(p / (size * size)), p % (size * size)]
      let sum = bias![i]!
      for (let c = 0; c < 3; c++) sum += w![i * 3 + c]! * data[(image * 3 + c) * size * size + at]!
      return Math.max(0, sum)
    }
  }
})

describe('assertCurved', () => {
  it('names what is no convolution', () => {
    const net = new Net(9, [1, 3, 1, 1])
    const model = net.model(net.linear('fc', net.b.op('Flatten', [net.act('Relu', net.conv('a', net.x, 8, 1))]), 2))
    expect(() => assertCurved(findGroups(model).filter((g) => g.prunable), '--select backward')).toThrow(/^--select backward: Gemm ".*", which reads group "a.w", is no convolution/)
  })
})
