/** @file Where speed is lost: a net of two layers, worked by hand. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { lossOf, speedLosses } from '../../src/pruning/speed-losses.ts'
import { f32 } from '../../src/tensor/tensor.ts'

/** 1x1 convolutions 4 -> width -> 2 on 10 x 10, a Relu between; the batch is free. */
function net(width: number): Model {
  const b = new Builder(new Graph('net'))
  const x = b.input('x', 'float32', ['N', 4, 10, 10])
  const conv = (v: typeof x, o: number, c: number, name: string): typeof x => b.op('Conv', [v, b.constant(f32(new Float32Array(o * c), [o, c, 1, 1]), `${name}.w`)], { kernel_shape: [1, 1] }, name)
  b.output(conv(b.op('Relu', [conv(x, width, 4, 'a')], {}, 'r'), 2, width, 'b'))
  return createModel(b.graph, b.opset)
}

describe('speedLosses', () => {
  const time = (name: string, type: string, ms: number): { name: string; type: string; ms: number } => ({ name, type, ms })
  // Of width 8, 2 are left: a does 3,200 -> 800, b 1,600 -> 400 products; r 800 -> 200 elements. A quarter of the whole.
  const before = { model: net(8), times: [time('a', 'Conv', 4), time('r', 'Relu', 1), time('b', 'Conv', 2), time('t1', 'ReorderInput', 0.5), time('t2', 'ReorderInput', 0.3)] }
  const after = { model: net(2), times: [time('a', 'Conv', 1.5), time('r', 'Relu', 0.25), time('b', 'Conv', 0.4), time('u1', 'ReorderInput', 0.6)] }

  it('splits what is lost into work left and speed at it, the greatest loss first', () => {
    const losses = speedLosses(before, after)
    expect(losses.left).toBe(0.25)
    expect(losses.before).toBeCloseTo(7.8, 12)
    expect(losses.after).toBeCloseTo(2.75, 12)
    expect(losses.nodes.map((n) => n.name)).toEqual(['a', '(ReorderInput, the runtime\'s own)', 'r', 'b'])
    const [a, reorder, relu, b] = losses.nodes
    expect(a).toMatchObject({ work: 'macs', workBefore: 3200, workAfter: 800, cutLess: 0, slower: expect.closeTo(0.5, 12) })
    expect(reorder).toMatchObject({ work: 'runtime', before: 0.8, after: 0.6, cutLess: 0, slower: expect.closeTo(0.4, 12) })
    expect(relu).toMatchObject({ work: 'elements', workBefore: 800, workAfter: 200, slower: 0 })
    expect(b).toMatchObject({ slower: expect.closeTo(-0.1, 12) })
  })

  it('a layer that ran under the name of what it was fused with is found; one that ran itself is not charged twice', () => {
    const fused = { model: net(8), times: [time('r', 'FusedConv', 5), time('b', 'Conv', 2)] }
    expect(speedLosses(fused, { model: net(2), times: [time('r', 'FusedConv', 2), time('b', 'Conv', 0.5)] }).nodes).toMatchObject([
      { name: 'a', type: 'FusedConv', work: 'macs', before: 5, after: 2, slower: 0.75 }, { name: 'b', slower: 0 },
    ])
  })

  it('a layer that stays whole is charged for what the others gave', () => {
    const withSide = (width: number): Model => {
      const model = net(width)
      const b = new Builder(model.graph, 17)
      b.output(b.op('Conv', [model.graph.inputs[0]!, b.constant(f32(new Float32Array(8), [2, 4, 1, 1]), 'd.w')], { kernel_shape: [1, 1] }, 'd'))
      return model
    }
    // 3,200 + 1,600 + 800 products; 800 + 400 + 800 are left.
    const { left, nodes } = speedLosses({ model: withSide(8), times: [time('a', 'Conv', 4), time('d', 'Conv', 1)] }, { model: withSide(2), times: [time('a', 'Conv', 1.25), time('d', 'Conv', 1.1)] })
    expect(left).toBeCloseTo(2 / 5.6, 12)
    expect(nodes.find((n) => n.name === 'd')).toMatchObject({ cutLess: expect.closeTo(1 - left, 12), slower: expect.closeTo(0.1, 12) })
    expect(nodes.find((n) => n.name === 'a')).toMatchObject({ cutLess: expect.closeTo((0.25 - left) * 4, 12), slower: expect.closeTo(0.25, 12) })
  })

  it('a node of one model alone is told as such', () => {
    const b = new Builder(new Graph('gathered'))
    const x = b.input('x', 'float32', [1, 4, 10, 10])
    b.output(b.op('Gather', [b.op('Conv', [x, b.constant(f32(new Float32Array(8), [2, 4, 1, 1]))], { kernel_shape: [1, 1] }, 'a'), b.ints([0])], { axis: 1 }, 'g'))
    const { nodes } = speedLosses(before, { model: createModel(b.graph, b.opset), times: [time('a', 'Conv', 1), time('g', 'Gather', 0.3)] })
    expect(nodes.find((n) => n.name === 'g')).toMatchObject({ work: 'alone', before: 0, after: 0.3, cutLess: 0, slower: expect.closeTo(0.3, 12) })
    expect(nodes.find((n) => n.name === 'r')).toMatchObject({ work: 'alone', after: 0 })
  })

  it('the losses of all nodes add up to the time beyond the share', () => {
    const { left, before: was, after: is, nodes } = speedLosses(before, after)
    expect(nodes.reduce((sum, n) => sum + lossOf(n), 0)).toBeCloseTo(is - left * was, 10)
  })
})
