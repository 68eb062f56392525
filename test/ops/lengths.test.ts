/** @file Models of free batch compute their targets: lengths that are only handed on follow a cut, others keep their axis whole. */
import { describe, expect, it } from 'vitest'
import type { Model, Value } from '../../src/ir/graph.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { i64 } from '../../src/tensor/tensor.ts'
import { inputsFor, Net } from '../pruning/nets.ts'
import { cutError, drawnPlan } from '../support/cut-plan.ts'

/** A convolution to 6 channels, `middle`, and one to 4. */
function between(middle: (net: Net, x: Value) => Value): Model {
  const net = new Net(1, ['N', 3, 4, 5], 13)
  const y = middle(net, net.act('Sigmoid', net.conv('first', net.x, 6)))
  return foldConstants(net.model(net.conv('last', y, 4, 1)))
}

const lengths = (net: Net, x: Value, from: number, to: number): Value => net.b.op('Slice', [net.b.op('Shape', [x]), net.b.ints([from]), net.b.ints([to]), net.b.ints([0])])
const length = (net: Net, x: Value, axis: number): Value => net.b.op('Unsqueeze', [net.b.op('Gather', [net.b.op('Shape', [x]), net.b.constant(i64([axis], []))]), net.b.ints([0])])
const target = (net: Net, ...parts: Value[]): Value => net.b.op('Concat', parts, { axis: 0 })

/** As PyTorch writes interpolate(x, size) and view(). */
const followed: Record<string, (net: Net, x: Value) => Value> = {
  'Resize to sizes with the channels of its input': (net, x) => net.b.op('Resize', [x, undefined, undefined, target(net, lengths(net, x, 0, 2), net.b.ints([8, 10]))]),
  'Resize to the size of another map': (net, x) => {
    const other = net.conv('other', net.x, 6, 1)
    return net.b.add(other, net.b.op('Resize', [net.b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }), undefined, undefined, target(net, lengths(net, x, 0, 2), lengths(net, other, 2, 4))]))
  },
  'Reshape and back by the shape of before': (net, x) => net.b.op('Reshape', [net.b.op('Reshape', [x, target(net, lengths(net, x, 0, 2), net.b.ints([-1]))]), net.b.op('Shape', [x])]),
  'Expand to the shape of a map': (net, x) => net.b.op('Expand', [net.b.op('GlobalAveragePool', [x]), net.b.op('Shape', [x])]),
  'a channel shuffle': (net, x) => {
    const batch = length(net, x, 0)
    const split = net.b.op('Reshape', [x, target(net, batch, net.b.ints([2, 3, 4, 5]))])
    return net.b.op('Reshape', [net.b.transpose(split, [0, 2, 1, 3, 4]), target(net, batch, net.b.ints([-1, 4, 5]))])
  },
}

describe('lengths that are handed on', () => {
  it.each(Object.keys(followed))('%s', async (name) => {
    const model = between(followed[name]!)
    const groups = findGroups(model)
    expect(groups[0]).toMatchObject({ id: 'first.w', prunable: true })
    const rng = createRng(name)
    expect(await cutError(model, drawnPlan(groups, rng), inputsFor(model, rng))).toBeLessThan(2e-6)
  })

  it('leave nothing behind where a cut takes a shuffle away', () => {
    const model = between(followed['a channel shuffle']!)
    const cut = applyPlan(model, drawnPlan(findGroups(model), createRng(1)))
    expect(cut.graph.nodes.map((n) => n.opType)).toEqual(['Conv', 'Sigmoid', 'Gather', 'Conv'])
    const read = new Set(cut.graph.nodes.flatMap((n) => [...n.inputs]))
    expect(cut.graph.initializers.every((v) => read.has(v))).toBe(true)
  })

  it.each<[string, (net: Net, x: Value) => Value, RegExp]>([
    ['computed with', (net, x) => net.b.op('Reshape', [x, target(net, length(net, x, 0), net.b.mul(length(net, x, 1), length(net, x, 0)), net.b.ints([-1, 5]))]), /Shape|computed|merges/],
    ['read as a number', (net, x) => net.b.mul(x, net.b.cast(net.b.op('Gather', [net.b.op('Shape', [x]), net.b.ints([1])]), 'float32')), /the graph computes with the length/],
    ['an index', (net, x) => net.b.op('Gather', [x, net.b.sub(lengths(net, x, 1, 2), net.b.ints([1]))], { axis: 3 }), /the graph computes with the length/],
  ])('are no more once they are %s', (_, middle, why) => {
    const net = new Net(1, ['N', 3, 4, 5], 13)
    const y = middle(net, net.act('Sigmoid', net.conv('first', net.x, 6)))
    net.b.output(y)
    const [group] = findGroups(net.model())
    expect(group!.prunable).toBe(false)
    expect(group!.reason).toMatch(why)
  })

  it('keep their axis whole where they are an output', () => {
    const net = new Net(1, ['N', 3, 4, 5], 13)
    const x = net.conv('first', net.x, 6)
    const shape = net.b.op('Shape', [x])
    const y = net.b.op('Reshape', [net.act('Relu', x), shape])
    const [group] = findGroups(net.model(net.conv('last', y, 2, 1), shape))
    expect(group).toMatchObject({ id: 'first.w', prunable: false, reason: expect.stringContaining('its length is in "shape", an output of the model') })
  })
})
