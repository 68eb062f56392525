/** @file Criteria that need weights, or numbers handed to them: against values worked by hand or by plain loops over indices. */
import { describe, expect, it } from 'vitest'
import type { Model, Value } from '../../src/ir/graph.ts'
import type { StatisticsOf } from '../../src/pruning/criteria/criterion.ts'
import { dcp } from '../../src/pruning/criteria/dcp.ts'
import { fpgm } from '../../src/pruning/criteria/fpgm.ts'
import { l1 } from '../../src/pruning/criteria/l1.ts'
import { l2 } from '../../src/pruning/criteria/l2.ts'
import { lcp } from '../../src/pruning/criteria/lcp.ts'
import { random } from '../../src/pruning/criteria/random.ts'
import { reconstruction } from '../../src/pruning/criteria/reconstruction.ts'
import { criterionNamed, methodNames, methodsThatNeed } from '../../src/pruning/criteria/registry.ts'
import { slimming } from '../../src/pruning/criteria/slimming.ts'
import { taylor } from '../../src/pruning/criteria/taylor.ts'
import { thinet } from '../../src/pruning/criteria/thinet.ts'
import { type ChannelGroup, findGroups } from '../../src/pruning/groups.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { Net } from './nets.ts'

const only: StatisticsOf['weights'] = { rng: createRng('criteria') }
const groupOf = (model: Model, id: string): ChannelGroup => findGroups(model).find((g) => g.id === id)!
const near = (got: Float64Array, wanted: readonly number[]): void => {
  expect(got.length).toBe(wanted.length)
  wanted.forEach((v, k) => expect(Math.abs(got[k]! - v), `${k}: ${got[k]} for ${v}`).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(v))))
}

/** Two layers that write to one stream of four channels, read by a convolution, and by a grouped one where asked for; their filters of two numbers given. */
function stream(first: readonly number[], second: readonly number[], grouped = false): Model {
  const net = new Net(1, [1, 2, 4, 4])
  const fixed = (name: string, w: readonly number[]): Value => net.convWith(name, net.x, net.b.constant(f32(Float32Array.from(w), [4, 2, 1, 1]), `${name}.w`))
  const sum = net.act('Relu', net.b.add(fixed('a', first), fixed('b', second)))
  return net.model(net.conv('read', sum, 3), ...(grouped ? [net.grouped('split', sum, 6, 2)] : []))
}

// Filters on a line, the second layer's all alike but one.
const filters = [[3, 4, 0, 0, 6, 8, -3, -4], [0, 0, 0, 0, 0, 0, 5, 12]] as const
const group = groupOf(stream(...filters), 'a.w')


describe('by weights', () => {
  it('l1 adds up |w| over both layers that write to a stream', () => near(l1.score(group, only), [7, 0, 14, 7 + 17]))

  it('l2 adds up the norms of their filters', () => near(l2.score(group, only), [5, 0, 10, 5 + 13]))

  it('fpgm adds up distances to all other filters, layer by layer', () => {
    // Of a: at 5, 0, 10 and -5 along one line. Of b: three at 0, one at 13.
    near(fpgm.score(group, only), [5 + 5 + 10 + 13, 5 + 10 + 5 + 13, 5 + 10 + 15 + 13, 10 + 5 + 15 + 3 * 13])
  })

  it('fpgm lets the median go, which norms would not', () => {
    // Filters of norms 5, 50, 55 and 95 along one line.
    const scores = fpgm.score(groupOf(stream([3, 4, 30, 40, 33, 44, 57, 76], new Array<number>(8).fill(0)), 'a.w'), only)
    near(scores, [45 + 50 + 90, 45 + 5 + 45, 50 + 5 + 40, 90 + 45 + 40])
  })

  it('a layer that two nodes share counts once', () => {
    const net = new Net(3, [1, 2, 4, 4])
    const w = net.weight('shared.w', [4, 2, 1, 1])
    const sum = net.b.add(net.convWith('one', net.x, w), net.convWith('two', net.act('Relu', net.x), w))
    const shared = groupOf(net.model(net.conv('read', sum, 3)), 'shared.w')
    near(l1.score(shared, only), [0, 1, 2, 3].map((k) => Math.abs(floats(w.initializer!)[2 * k]!) + Math.abs(floats(w.initializer!)[2 * k + 1]!)))
  })

  it('units of a grouped convolution are its filters at one place of every group', () => {
    const net = new Net(4, [1, 3, 4, 4])
    const split = net.grouped('split', net.conv('a', net.x, 6), 6, 2)
    const units = findGroups(net.model(net.conv('read', net.act('Relu', split), 2))).find((g) => g.producers.some((p) => p.node.name === 'split'))!
    const member = units.producers.find((p) => p.node.name === 'split')!.member
    const w = floats(member.value.initializer!)
    const filter = (o: number): number[] => [...w.subarray(27 * o, 27 * (o + 1))]
    const vectors = Array.from({ length: units.channels }, (_, k) => [...member.indices.subarray(k * member.perUnit, (k + 1) * member.perUnit)].flatMap(filter))
    const distance = (a: readonly number[], b: readonly number[]): number => Math.hypot(...a.map((v, i) => v - b[i]!))
    near(fpgm.score(units, only), vectors.map((a) => vectors.reduce((sum, b) => sum + distance(a, b), 0)))
  })

  it('random depends on the seed and the group alone', () => {
    const of = (seed: string): number[] => [...random.score(group, { rng: createRng(seed) })]
    expect(of('1')).toEqual(of('1'))
    expect(of('1')).not.toEqual(of('2'))
    expect(of('1').every((v) => v >= 0 && v < 1)).toBe(true)
  })
})

describe('slimming', () => {
  const scales = (m: Model, name: string): number[] => [...floats(m.graph.initializers.find((v) => v.name === `${name}.scale`)!.initializer!)].map(Math.abs)

  it('is the scale of the normalisation behind the layer, however large its filters', () => {
    const net = new Net(5)
    const m = net.model(net.conv('read', net.act('Relu', net.norm('bn', net.conv('a', net.x, 5))), 2))
    near(slimming.score(groupOf(m, 'a.w'), only), scales(m, 'bn'))
  })

  it('takes the first of several in a row, and one of each layer that writes to a stream', () => {
    const net = new Net(6)
    const deep = net.norm('second', net.grouped('depth', net.norm('first', net.conv('a', net.x, 4)), 4, 4))
    const other = net.norm('other', net.conv('b', net.x, 4))
    const m = net.model(net.conv('read', net.act('Relu', net.b.add(deep, other)), 2))
    const [first, aside] = [scales(m, 'first'), scales(m, 'other')]
    near(slimming.score(groupOf(m, 'a.w'), only), first.map((v, k) => v + aside[k]!))
  })

  it('finds the normalisation behind an addition, which scales all that is added', () => {
    const net = new Net(7)
    const sum = net.b.add(net.conv('a', net.x, 4), net.conv('b', net.x, 4))
    const m = net.model(net.conv('read', net.act('Relu', net.norm('after', sum)), 2))
    near(slimming.score(groupOf(m, 'a.w'), only), scales(m, 'after'))
  })

  it('refuses a layer without one, and a stream of which one layer has none', () => {
    const bare = new Net(8)
    const folded = groupOf(bare.model(bare.conv('read', bare.act('Relu', bare.conv('a', bare.x, 4)), 2)), 'a.w')
    expect(() => slimming.assertScorable!(folded)).toThrow(/no batch normalisation scales the channels of group "a.w" before Conv "read" .*--keep "a.w"/)
    expect(() => slimming.score(folded, only)).toThrow(/no batch normalisation/)
    const net = new Net(9)
    const half = groupOf(net.model(net.conv('read', net.b.add(net.norm('bn', net.conv('a', net.x, 4)), net.conv('b', net.x, 4)), 2)), 'a.w')
    expect(() => slimming.score(half, only)).toThrow(/no batch normalisation scales the channels of group "a.w" before Conv "read"/)
  })
})

describe('by gradients', () => {
  /** A gradient for every weight, by seed; the same numbers for the same weight. */
  const gradient = (m: Model) => (name: string): Float32Array => {
    const rng = createRng(`gradient/${name}`)
    return Float32Array.from({ length: sizeOf(m.graph.initializers.find((v) => v.name === name)!.initializer!.dims) }, () => rng.normal())
  }
  const model = stream(...filters, true)
  const g = gradient(model)
  const read = (j: number, k: number): number[] => [...g('read.w').subarray(9 * (4 * j + k), 9 * (4 * j + k + 1))]
  const split = (j: number, k: number): number[] => [...g('split.w').subarray(9 * (2 * j + k), 9 * (2 * j + k + 1))]
  const square = (values: readonly number[]): number => values.reduce((sum, v) => sum + v * v, 0)
  const range = (n: number): number[] => Array.from({ length: n }, (_, k) => k)

  // Channels 0 and 2, 1 and 3 of the stream are read at the same place of the grouped layer's two groups, so they go together.
  const paired = findGroups(model).find((x) => x.id === 'a.w')!

  it('lcp and reconstruction: squares over kernel places and outputs of all consumers', () => {
    expect(paired.channels).toBe(2)
    const wanted = [0, 1].map((k) => range(3).reduce((sum, j) => sum + square(read(j, k)) + square(read(j, k + 2)), 0) + range(6).reduce((sum, j) => sum + square(split(j, k)), 0))
    near(lcp.score(paired, { gradient: g }), wanted)
    near(reconstruction.score(paired, { gradient: g }), wanted)
  })

  it('dcp: norms over kernel places, added up over outputs, unsquared', () => {
    const wanted = [0, 1].map((k) => range(3).reduce((sum, j) => sum + Math.sqrt(square([...read(j, k), ...read(j, k + 2)])), 0) + range(6).reduce((sum, j) => sum + Math.sqrt(square(split(j, k))), 0))
    near(dcp.score(paired, { gradient: g }), wanted)
  })

  it('dcp behind Flatten: a channel is a block of columns; and in weights that lie the other way round', () => {
    const net = new Net(10, [1, 2, 3, 3])
    const flat = net.b.op('Flatten', [net.act('Relu', net.conv('a', net.x, 4))])
    const hidden = net.act('Relu', net.linear('fc', flat, 5))
    const w = net.weight('turned.w', [5, 3])
    const m = net.model(net.b.op('Gemm', [hidden, w], {}, 'turned'))
    const of = gradient(m)
    const fc = of('fc.w')
    near(dcp.score(groupOf(m, 'a.w'), { gradient: of }), range(4).map((k) => range(5).reduce((sum, j) => sum + Math.hypot(...fc.subarray(36 * j + 9 * k, 36 * j + 9 * (k + 1))), 0)))
    const turned = of('turned.w')
    near(dcp.score(groupOf(m, 'fc.w'), { gradient: of }), range(5).map((k) => range(3).reduce((sum, j) => sum + Math.abs(turned[3 * k + j]!), 0)))
  })

  it('taylor: the mean over batches of squared gates', () => {
    near(taylor.score(paired, { gates: () => [Float64Array.of(1, -2), Float64Array.of(3, 2)] }), [5, 4])
  })
})

describe('thinet', () => {
  const n = 6
  const net = new Net(11)
  const six = groupOf(net.model(net.conv('read', net.act('Relu', net.conv('a', net.x, n)), 2)), 'a.w')

  /** What each channel adds to 40 outputs; channel 4 nearly cancels channel 1, and both are large. */
  function addends(): number[][] {
    const rng = createRng('addends')
    const x = Array.from({ length: n }, () => Array.from({ length: 40 }, () => rng.normal()))
    x[1] = x[1]!.map((v) => 0.8 * v)
    x[4] = x[1].map((v) => -v + 0.01 * rng.normal())
    return x
  }

  it('removes at each step what leaves the least error, as trying all does', () => {
    const x = addends()
    const error = (set: readonly number[]): number => x[0]!.reduce((sum, _, i) => sum + set.reduce((s, k) => s + x[k]![i]!, 0) ** 2, 0)
    const removed: number[] = []
    while (removed.length < n) {
      const left = Array.from({ length: n }, (_, k) => k).filter((k) => !removed.includes(k))
      removed.push(left.reduce((best, k) => (error([...removed, k]) < error([...removed, best]) ? k : best)))
    }
    // The pair goes one after the other, for together they are missed by no one.
    expect(Math.abs(removed.indexOf(1) - removed.indexOf(4))).toBe(1)
    const products = Float64Array.from({ length: n * n }, (_, i) => x[0]!.reduce((sum, _v, s) => sum + x[Math.floor(i / n)]![s]! * x[i % n]![s]!, 0))
    const scores = thinet.score(six, { products: () => products })
    expect([...scores.keys()].sort((a, b) => scores[a]! - scores[b]!)).toEqual(removed)
    expect(new Set(scores).size).toBe(n)
    expect(scores[removed[0]!]).toBeCloseTo(error([removed[0]!]), 9)
    expect(scores[removed[n - 1]!]! / Math.max(...removed.map((_, i) => error(removed.slice(0, i + 1))))).toBeCloseTo(1, 6)
  })

  it('refuses what reads the channels otherwise than a convolution', () => {
    const flat = new Net(12, [1, 2, 3, 3])
    const dense = groupOf(flat.model(flat.linear('fc', flat.b.op('Flatten', [flat.act('Relu', flat.conv('a', flat.x, 4))]), 5)), 'a.w')
    expect(() => thinet.assertScorable!(dense)).toThrow(/--method thinet: Gemm "fc", which reads group "a.w", is no convolution/)
    expect(() => thinet.assertScorable!(six)).not.toThrow()
  })
})

describe('the registry', () => {
  it('has the ten methods by name', () => {
    expect([...methodNames].sort()).toEqual(['dcp', 'fpgm', 'l1', 'l2', 'lcp', 'random', 'reconstruction', 'slimming', 'taylor', 'thinet'])
    expect(methodNames.map((name) => criterionNamed(name).name)).toEqual(methodNames)
    expect(methodsThatNeed('weights').sort()).toEqual(['fpgm', 'l1', 'l2', 'random', 'slimming'])
    expect(() => criterionNamed('best')).toThrow(/"best" is not known; known are lcp, dcp/)
  })
})
