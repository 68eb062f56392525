/** @file Channel shuffles in the forms that exporters write: what they do to channels, and what a cut makes of them. */
import { describe, expect, it } from 'vitest'
import type { Dim, Value } from '../../src/ir/graph.ts'
import { shuffleOf } from '../../src/ops/shuffle.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { composePlans, makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { i64, toNumbers } from '../../src/tensor/tensor.ts'
import { Net } from '../pruning/nets.ts'
import { cutError, drawnFeeds, drawnPlan } from '../support/cut-plan.ts'

/** Six channels; `write` makes one or more results of them. */
function shuffled(write: (net: Net, x: Value) => Value[], input: readonly Dim[] = [1, 6, 4, 3]): { net: Net; results: Value[] } {
  const net = new Net(1, input, 13)
  return { net, results: write(net, net.x) }
}

const form = (from: readonly number[], perm: readonly number[], to: readonly number[]) => (net: Net, x: Value): Value[] =>
  [net.b.reshape(net.b.transpose(net.b.reshape(x, from), perm), to)]

const pick = (net: Net, x: Value, axis: number, ...indices: number[]): Value[] => indices.map((i) => net.b.op('Gather', [x, net.b.constant(i64([i], []))], { axis }))

const threes = [0, 3, 1, 4, 2, 5]
const [evens, odds] = [[0, 2, 4], [1, 3, 5]]

const forms: readonly [string, (net: Net, x: Value) => Value[], readonly (readonly number[])[], (readonly Dim[])?][] = [
  ['two groups', form([1, 2, 3, 4, 3], [0, 2, 1, 3, 4], [1, 6, 4, 3]), [threes]],
  ['two groups, positions merged', form([1, 2, 3, 12], [0, 2, 1, 3], [1, 6, 4, 3]), [threes]],
  ['three images', form([3, 2, 3, 4, 3], [0, 2, 1, 3, 4], [3, 6, 4, 3]), [threes], [3, 6, 4, 3]],
  ['a free batch', form([-1, 2, 3, 4, 3], [0, 2, 1, 3, 4], [-1, 6, 4, 3]), [threes], ['N', 6, 4, 3]],
  ['a map of one position', form([1, 2, 3], [0, 2, 1], [1, 6, 1, 1]), [threes], [1, 6, 1, 1]],
  ['features', form([2, 2, 3], [0, 2, 1], [2, 6]), [threes], [2, 6]],
  ['pairs that go to two branches', (net, x) => pick(net, net.b.reshape(net.b.transpose(net.b.reshape(x, [3, 2, 12]), [1, 0, 2]), [2, -1, 3, 4, 3]), 0, 0, 1), [evens, odds]],
  ['pairs of two images that go to two branches', (net, x) => pick(net, net.b.reshape(net.b.transpose(net.b.reshape(x, [6, 2, 12]), [1, 0, 2]), [2, 2, 3, 4, 3]), 0, 0, 1), [evens, odds], [2, 6, 4, 3]],
  ['a branch that nobody reads', (net, x) => pick(net, net.b.reshape(x, [1, 2, 3, 4, 3]), 1, -1), [[3, 4, 5]]],
  ['squeezed', (net, x) => [net.b.op('Squeeze', [net.b.transpose(net.b.reshape(x, [1, 1, 6, 4, 3]), [1, 0, 2, 3, 4]), net.b.ints([1])])], [[0, 1, 2, 3, 4, 5]]],
]

describe('shuffleOf', () => {
  it.each(forms)('%s', (_, write, channels, input) => {
    const { net, results } = shuffled(write, input)
    for (const node of net.b.graph.nodes) {
      const found = shuffleOf(node)!
      expect(found.source).toBe(net.x)
      expect(found.results.map((r) => [r.value.name, r.channels])).toEqual(results.map((v, i) => [v.name, channels[i]]))
    }
  })

  it.each<[string, (net: Net, x: Value) => Value[], (readonly Dim[])?]>([
    ['a result in the middle', (net, x) => {
      const split = net.b.reshape(x, [1, 2, 3, 4, 3])
      return [net.b.op('Relu', [split]), net.b.reshape(net.b.transpose(split, [0, 2, 1, 3, 4]), [1, 6, 4, 3])]
    }],
    ['positions that become channels', form([1, 6, 2, 2, 3], [0, 1, 3, 2, 4], [1, 6, 4, 3])],
    ['positions that move to the front', form([1, 2, 3, 12], [0, 3, 1, 2], [1, 12, 6, 1])],
    ['images mixed with channels', form([6, 2, 12], [1, 0, 2], [2, 6, 4, 3]), [2, 6, 4, 3]],
    ['a free batch that moves', form([2, 3, -1, 12], [1, 0, 2, 3], [-1, 6, 4, 3]), ['N', 6, 4, 3]],
    ['a single reshape', (net, x) => [net.b.reshape(x, [1, 6, 12])]],
    ['nothing but a split', (net, x) => [net.b.transpose(net.b.reshape(x, [1, 2, 3, 12]), [0, 2, 1, 3])]],
  ])('is not taken in by %s', (_, write, input) => {
    const { net } = shuffled(write, input)
    for (const node of net.b.graph.nodes) expect(shuffleOf(node)).toBeUndefined()
  })
})

/** Three blocks of ShuffleNet v2: half of the channels pass, the other half goes through two convolutions. */
function blocks(): { model: ReturnType<Net['model']>; convs: string[] } {
  const net = new Net(3, [1, 3, 6, 6], 13)
  let y = net.act('Relu', net.conv('stem', net.x, 8))
  for (let i = 0; i < 3; i++) {
    const mixed = net.b.reshape(net.b.transpose(net.b.reshape(y, [1, 2, 4, 6, 6]), [0, 2, 1, 3, 4]), [1, 8, 6, 6])
    const [pass, work] = net.b.ops('Split', [mixed, net.b.ints([4, 4])], 2, { axis: 1 })
    y = net.b.op('Concat', [pass!, net.act('Relu', net.conv(`b${i}.b`, net.act('Sigmoid', net.conv(`b${i}.a`, work!, 6, 1)), 4))], { axis: 1 })
  }
  return { model: net.model(net.conv('head', y, 2, 1)), convs: ['stem', 'b0.b', 'b1.b', 'b2.b'] }
}

describe('a cut through shuffles', () => {
  it('reaches every channel by itself', async () => {
    const { model, convs } = blocks()
    const groups = findGroups(model)
    for (const name of convs) {
      const own = groups.filter((g) => g.producers.some((p) => p.member.value.name === `${name}.w`))
      expect(own.every((g) => !g.coupled && g.producers.length === 1)).toBe(true)
      expect(own.reduce((n, g) => n + g.channels, 0)).toBe(name === 'stem' ? 8 : 4)
    }
    for (const seed of [1, 2, 3]) {
      const rng = createRng(seed)
      expect(await cutError(model, drawnPlan(groups, rng), drawnFeeds(model, rng))).toBeLessThan(2e-6)
    }
  })

  it('leaves picks in the place of shuffles that it goes through, and others as they are', () => {
    const { model } = blocks()
    const groups = findGroups(model)
    const last = groups.find((g) => g.id === 'b1.b.w' && g.prunable)!
    const cut = applyPlan(model, makePlan(groups, new Map([[last.id, [0]]]), { method: 'hand' }))
    const types = (m: typeof model): string => m.graph.nodes.map((n) => n.opType).filter((t) => /Reshape|Transpose|Gather/.test(t)).join(' ')
    expect(types(model)).toBe(Array(3).fill('Reshape Transpose Reshape').join(' '))
    expect(types(cut)).toBe('Reshape Transpose Reshape Reshape Transpose Reshape Gather')
    const constants = new Set(cut.graph.nodes.flatMap((n) => [...n.inputs]))
    expect(cut.graph.initializers.filter((v) => !constants.has(v))).toEqual([])
    const picks = toNumbers(cut.graph.nodes.find((n) => n.opType === 'Gather')!.inputs[1]!.initializer!)
    expect(picks).toEqual([...new Set(picks)])
  })

  it('can be repeated; one plan says it in original indices', () => {
    const { model } = blocks()
    const rng = createRng(5)
    const first = drawnPlan(findGroups(model), rng, 0.8)
    const once = applyPlan(model, first)
    const second = drawnPlan(findGroups(once), rng, 0.6)
    const twice = applyPlan(once, second)
    const both = applyPlan(model, composePlans(first, second))
    expect(both.graph.initializers.map((v) => v.initializer)).toEqual(twice.graph.initializers.map((v) => v.initializer))
  })
})
