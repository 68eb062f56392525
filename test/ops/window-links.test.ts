/** @file Channels of convolutions, products and normalisations: cutting equals zeroing, attributes follow, BatchNormalization folds. */
import { describe, expect, it } from 'vitest'
import { intAttribute } from '../../src/ir/attributes.ts'
import { dimsOf, type Model, type Value } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { lookup } from '../../src/ops/registry.ts'
import { certify } from '../../src/pruning/certify.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng, shuffled } from '../../src/tensor/rng.ts'
import { f32, floats, i64, tensor } from '../../src/tensor/tensor.ts'
import { inputsFor, Net, run } from '../pruning/nets.ts'

/** Two convolutions with `middle` between them: its channels are 6. */
function between(middle: (net: Net, x: Value) => Value, seed = 1): Model {
  const net = new Net(seed, [2, 3, 8, 8], 21)
  const y = middle(net, net.conv('first', net.x, 6))
  return net.model(net.conv('last', net.act('Sigmoid', y), 4, 1))
}

const nets: Record<string, (net: Net, x: Value) => Value> = {
  'Conv': (net, x) => net.conv('mid', x, 10),
  'Conv, strided and dilated': (net, x) => net.b.op('Conv', [x, net.weight('mid.w', [7, 6, 3, 3])], { strides: [2, 2], dilations: [2, 2], pads: [2, 2, 2, 2] }),
  'depthwise': (net, x) => net.grouped('mid', x, 6, 6),
  'depthwise with multiplier': (net, x) => net.grouped('mid', x, 12, 6),
  'grouped': (net, x) => net.grouped('mid', x, 8, 2),
  'three groups': (net, x) => net.grouped('mid', x, 9, 3),
  'ConvTranspose': (net, x) => net.b.op('ConvTranspose', [x, net.weight('mid.w', [6, 5, 2, 2]), net.weight('mid.b', [5])], { strides: [2, 2] }),
  'grouped ConvTranspose': (net, x) => net.b.op('ConvTranspose', [x, net.weight('mid.w', [6, 4, 2, 2]), net.weight('mid.b', [8])], { group: 2 }),
  'depthwise ConvTranspose': (net, x) => net.b.op('ConvTranspose', [x, net.weight('mid.w', [6, 1, 2, 2])], { group: 6 }),
  'BatchNormalization': (net, x) => net.norm('mid', x),
  'InstanceNormalization': (net, x) => net.b.op('InstanceNormalization', [x, net.weight('s', [6]), net.weight('b', [6])]),
  'LpNormalization': (net, x) => net.b.op('LpNormalization', [x], { axis: 1 }),
  'L2 normalisation in parts': (net, x) => net.b.div(x, net.b.op('Clip', [net.b.op('Sqrt', [net.b.op('ReduceSum', [net.b.mul(x, x), net.b.ints([1])])]), net.b.scalar(1e-6)])),
  'MeanVarianceNormalization by position': (net, x) => net.b.op('MeanVarianceNormalization', [x], { axes: [2, 3] }),
  // Whole groups go: 2 channels each.
  'GroupNormalization': (net, x) => net.b.op('GroupNormalization', [x, net.weight('s', [6]), net.weight('b', [6])], { num_groups: 3 }),
  'group normalisation in parts': (net, x) => {
    const groups = net.b.op('InstanceNormalization', [net.b.reshape(x, [2, 3, -1]), net.weight('s', [3]), net.weight('b', [3])])
    return net.b.add(net.b.mul(net.b.reshape(groups, [2, 6, 8, 8]), net.weight('gamma', [6, 1, 1], 1)), net.weight('beta', [6, 1, 1], 1))
  },
  'padded channels': (net, x) => net.b.add(net.b.op('Pad', [x, net.b.ints([0, 1, 0, 0, 0, 3, 0, 0])]), net.conv('mid', x, 10, 1)),
  'Einsum': (net, x) => net.b.op('Einsum', [x, net.weight('mid.w', [6, 5])], { equation: 'nchw,cd->ndhw' }),
  'Einsum of channels alone': (net, x) => net.b.op('Einsum', [x, net.weight('v', [6])], { equation: 'nchw,c->nchw' }),
  'GridSample': (net, x) => net.b.op('GridSample', [x, net.weight('grid', [2, 5, 4, 2])]),
  'GlobalLpPool': (net, x) => net.b.op('GlobalLpPool', [x]),
  'LpPool': (net, x) => net.b.op('LpPool', [x], { kernel_shape: [2, 2] }),
  'MaxPool': (net, x) => net.b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }),
  'AveragePool': (net, x) => net.b.op('AveragePool', [x], { kernel_shape: [2, 2], strides: [2, 2] }),
  'Resize by scales': (net, x) => net.b.op('Resize', [x, undefined, net.b.floats([1, 1, 2, 2])]),
  'Resize to sizes': (net, x) => net.b.op('Resize', [x, undefined, undefined, net.b.constant(i64([2, 6, 5, 9]))], { mode: 'linear' }),
}

/** Every prunable group loses some channels. */
async function cutSome(model: Model, seed: number): Promise<{ pruned: Model; worst: number; groups: number }> {
  const rng = createRng(seed)
  const groups = findGroups(model)
  const kept = new Map<string, number[]>()
  for (const g of groups) if (g.prunable) kept.set(g.id, shuffled(Array.from({ length: g.channels }, (_, i) => i), rng).slice(0, Math.max(1, g.channels >> 1)))
  const plan = makePlan(groups, kept, { method: 'random', seed })
  const pruned = applyPlan(model, plan)
  verify(pruned.graph)
  const certificate = await certify({ original: model, pruned, plan, inputs: [inputsFor(model, rng)], run })
  expect(certificate.differences).toEqual([])
  return { pruned, worst: certificate.worst, groups: plan.groups.length }
}


describe('cutting gives what zeroing gives', () => {
  it.each(Object.keys(nets))('%s', async (name) => {
    const { worst, groups } = await cutSome(between(nets[name]!), 3)
    expect(worst).toBeLessThan(2e-6)
    // The channels between the two outer convolutions; where the middle mixes channels, those before and those after it (those beside it, where it pads).
    expect(groups).toBe(/^(Conv|grouped|three|padded|Einsum$)/.test(name) ? 2 : 1)
  })

  it('the groups of a depthwise convolution follow, those of others stay', async () => {
    const depthwise = (await cutSome(between(nets['depthwise with multiplier']!), 1)).pruned.graph.nodes.find((n) => n.attributes.has('group') && intAttribute(n, 'group', 1) > 1)!
    expect(intAttribute(depthwise, 'group', 1)).toBe(3)
    expect(dimsOf(depthwise.inputs[1]!)).toEqual([6, 1, 3, 3])
    const grouped = (await cutSome(between(nets['grouped']!), 1)).pruned.graph.nodes.find((n) => intAttribute(n, 'group', 1) > 1)!
    expect(intAttribute(grouped, 'group', 1)).toBe(2)
    expect(dimsOf(grouped.inputs[1]!)).toEqual([4, 1, 3, 3])
  })

  it.each<[string, (net: Net, x: Value) => Value]>([
    ['Gemm', (net, x) => net.b.op('Gemm', [x, net.weight('a', [6, 5]), net.weight('c', [1, 5])], { alpha: { float: 0.5 } })],
    ['Gemm, both transposed', (net, x) => net.b.op('Gemm', [net.b.transpose(x, [1, 0]), net.weight('a', [5, 6]), net.weight('c', [5])], { transA: 1, transB: 1 })],
    ['MatMul', (net, x) => net.b.add(net.b.op('MatMul', [x, net.weight('a', [6, 5])]), net.weight('c', [5]))],
    ['MatMul with the weight on the left', (net, x) => net.b.transpose(net.b.op('MatMul', [net.weight('a', [5, 6]), net.b.transpose(x, [1, 0])]), [1, 0])],
  ])('%s', async (name, middle) => {
    const net = new Net(2, [4, 3])
    const y = middle(net, net.linear('first', net.x, 6))
    const { worst, groups } = await cutSome(net.model(net.linear('last', net.act('Sigmoid', y), 4)), 5)
    // A weight on the left is no producer of channels: its own rows stay.
    expect(groups).toBe(name.endsWith('left') ? 1 : 2)
    expect(worst).toBeLessThan(2e-6)
  })

  it.each(['LayerNormalization', 'LRN', 'MeanVarianceNormalization'])('%s keeps its channels', async (type) => {
    const model = between((net, x) => {
      if (type === 'LRN') return net.b.op(type, [x], { size: 3 })
      if (type === 'MeanVarianceNormalization') return net.b.op(type, [x], { axes: [1, 2, 3] })
      return net.b.op(type, [x, net.weight('s', [6, 8, 8])], { axis: 1 })
    })
    expect(findGroups(model).filter((g) => g.prunable)).toEqual([])
  })
})

describe('quantized models', () => {
  it('keep their channels, and say why', () => {
    const model = between((net, x) => {
      const scale = [net.b.scalar(0.1), net.b.constant(tensor('uint8', [], Uint8Array.of(128)))]
      return net.b.op('DequantizeLinear', [net.b.op('QuantizeLinear', [x, ...scale], {}, 'q'), ...scale])
    })
    expect(findGroups(model)[0]!.reason).toBe('QuantizeLinear "q": the model is quantized; prune the float model, then quantize the pruned one')
  })
})

describe('folding an affine form', () => {
  it.each<[string, (net: Net) => Value]>([
    ['Conv without bias', (net) => net.conv('c', net.x, 6, 3, false)],
    ['grouped Conv', (net) => net.grouped('c', net.x, 6, 3)],
    ['grouped ConvTranspose', (net) => net.b.op('ConvTranspose', [net.x, net.weight('c.w', [3, 2, 2, 2])], { group: 3 })],
  ])('%s takes a BatchNormalization', async (_, layer) => {
    const net = new Net(7, [2, 3, 5, 5])
    const y = layer(net)
    const folded = net.norm('n', y)
    const absorbed = lookup(y.producer!.opType)!.absorbAffine!(y.producer!, lookup('BatchNormalization')!.affine!(folded.producer!)!)!
    const inputs = [net.x, net.b.constant(absorbed.get(1)!), net.b.constant(absorbed.get(2)!)]
    const alone = net.b.op(y.producer!.opType, inputs, { group: intAttribute(y.producer!, 'group', 1), ...(y.producer!.attributes.has('pads') ? { pads: [1, 1, 1, 1] } : {}) })
    const difference = net.b.sub(folded, alone)
    const out = await run(net.model(difference), inputsFor({ ...net.model(), graph: net.b.graph }, createRng(1)))
    expect(Math.max(...floats(out[difference.name]!).map(Math.abs))).toBeLessThan(2e-6)
  })

  it('Gemm takes it with its alpha, beta and transposition', async () => {
    const net = new Net(7, [2, 3])
    const attributes = { transB: 1, alpha: { float: 0.5 }, beta: { float: 2 } }
    const y = net.b.op('Gemm', [net.x, net.weight('w', [6, 3]), net.weight('c', [1, 6])], attributes)
    const folded = net.norm('n', y)
    const absorbed = lookup('Gemm')!.absorbAffine!(y.producer!, lookup('BatchNormalization')!.affine!(folded.producer!)!)!
    const alone = net.b.op('Gemm', [net.x, net.b.constant(absorbed.get(1)!), net.b.constant(absorbed.get(2)!)], attributes)
    const difference = net.b.sub(folded, alone)
    const model = net.model(difference)
    const out = await run(model, inputsFor(model, createRng(1)))
    expect(Math.max(...floats(out[difference.name]!).map(Math.abs))).toBeLessThan(2e-6)
  })

  it('refuses what is not constant', () => {
    const net = new Net(7, [2, 3, 5, 5])
    const y = net.b.op('Conv', [net.x, net.b.mul(net.weight('w', [6, 3, 3, 3]), net.b.scalar(2))])
    expect(lookup('Conv')!.absorbAffine!(y.producer!, { scale: new Float32Array(6), shift: new Float32Array(6) })).toBeUndefined()
    const trained = net.b.ops('BatchNormalization', [net.x, ...[1, 2, 3, 4].map(() => net.b.constant(f32([1, 1, 1])))], 1, { training_mode: 1 })[0]!
    expect(lookup('BatchNormalization')!.affine!(trained.producer!)).toBeUndefined()
  })
})
