/** @file Random nets: every way in which channels are tied, drawn by seed. */
import { dimsOf, type Model, type Value } from '../../src/ir/graph.ts'
import type { Rng } from '../../src/tensor/rng.ts'
import { Net } from './nets.ts'

const activations = ['Relu', 'Sigmoid', 'HardSwish', 'Softplus', 'LeakyRelu']

type Piece = (net: Net, x: Value, name: string, rng: Rng) => Value

const channelsOf = (x: Value): number => dimsOf(x)[1]!
const drawn = (rng: Rng): number => 2 + rng.int(7)

function act(net: Net, x: Value, rng: Rng): Value {
  return net.act(activations[rng.int(activations.length)]!, x)
}

/** Splits the channels into two parts of their own. */
function halves(net: Net, x: Value, rng: Rng): Value[] {
  const first = 1 + rng.int(channelsOf(x) - 1)
  return net.b.ops('Split', [x, net.b.ints([first, channelsOf(x) - first])], 2, { axis: 1 })
}

const pieces: readonly Piece[] = [
  (net, x, name, rng) => act(net, net.norm(`${name}n`, net.conv(name, x, drawn(rng))), rng),
  (net, x, name, rng) => act(net, net.conv(name, x, drawn(rng), rng.int(2) ? 3 : 1, rng.int(2) === 1), rng),
  // Depthwise, also with two outputs a channel.
  (net, x, name, rng) => act(net, net.grouped(`${name}dw`, x, channelsOf(x) * (1 + rng.int(2)), channelsOf(x)), rng),
  (net, x, name, rng) => act(net, net.b.add(x, net.conv(`${name}b`, act(net, net.conv(`${name}a`, x, drawn(rng)), rng), channelsOf(x))), rng),
  (net, x, name, rng) => net.b.op('Concat', [act(net, net.conv(`${name}a`, x, drawn(rng)), rng), x, net.conv(`${name}b`, x, 3, 1)], { axis: 1 }),
  (net, x) => net.b.op('MaxPool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  // Squeeze-excitation.
  (net, x, name, rng) => {
    const down = act(net, net.conv(`${name}down`, net.b.op('GlobalAveragePool', [x]), 3, 1), rng)
    return net.b.mul(x, act(net, net.conv(`${name}up`, down, channelsOf(x), 1), rng))
  },
  (net, x, name, rng) => (channelsOf(x) % 2 === 0 ? net.grouped(`${name}g`, x, 2 * drawn(rng), 2) : net.conv(name, x, 2 * drawn(rng), 1)),
  (net, x, name, rng) => {
    const y = act(net, net.conv(name, x, drawn(rng)), rng)
    return net.b.op('PRelu', [net.b.mul(y, net.weight(`${name}s`, [1, channelsOf(y), 1, 1], 1)), net.weight(`${name}p`, [channelsOf(y), 1, 1])])
  },
  // A part goes on by itself and the order changes.
  (net, x, name, rng) => {
    const [a, b] = halves(net, x, rng)
    return net.b.op('Concat', [b!, net.conv(name, a!, drawn(rng), 1)], { axis: 1 })
  },
  (net, x, _, rng) => {
    const start = rng.int(channelsOf(x) - 1)
    return net.b.op('Slice', [x, net.b.ints([start]), net.b.ints([channelsOf(x)]), net.b.ints([1])])
  },
  // Channel shuffle.
  (net, x) => {
    const [n, c, h, w] = dimsOf(x) as [number, number, number, number]
    if (c % 2) return x
    return net.b.reshape(net.b.transpose(net.b.reshape(x, [n, 2, c / 2, h, w]), [0, 2, 1, 3, 4]), [n, c, h, w])
  },
  (net, x, name, rng) => {
    const c = drawn(rng)
    return net.b.op('ConvTranspose', [x, net.weight(`${name}.w`, [channelsOf(x), c, 1, 1], channelsOf(x)), net.weight(`${name}.b`, [c], 4)], { kernel_shape: [1, 1] })
  },
  // A linear layer at every place, channels last.
  (net, x, name, rng) => {
    const c = drawn(rng)
    const y = net.b.op('MatMul', [net.b.transpose(x, [0, 2, 3, 1]), net.weight(`${name}.w`, [channelsOf(x), c], channelsOf(x))])
    return net.b.transpose(act(net, net.b.add(y, net.weight(`${name}.b`, [c], 4)), rng), [0, 3, 1, 2])
  },
  (net, x, name) => net.b.op('InstanceNormalization', [x, net.weight(`${name}s`, [channelsOf(x)], 1), net.weight(`${name}b`, [channelsOf(x)], 1)]),
  // One weight for two inputs.
  (net, x, name, rng) => {
    const w = net.weight(`${name}.w`, [drawn(rng), channelsOf(x), 1, 1])
    return net.b.add(net.convWith(`${name}l`, x, w), net.convWith(`${name}r`, act(net, x, rng), w))
  },
  // Nothing here can be cut.
  (net, x) => net.b.op('Softmax', [x], { axis: 1 }),
]

/** A stem, some pieces, and two outputs: a map of 3 channels and two linear layers behind Flatten. */
export function randomNet(seed: number): Model {
  const net = new Net(seed, [1 + (seed % 2), 3, 5, 4])
  const rng = net.rng.fork('shape')
  let x = net.conv('stem', net.x, 4 + rng.int(5))
  const count = 1 + rng.int(5)
  for (let n = 0; n < count; n++) x = channelsOf(x) > 1 ? pieces[rng.int(pieces.length)]!(net, x, `p${n}`, rng) : net.conv(`p${n}`, x, drawn(rng))
  const head = net.conv('head', x, 3, 1)
  const flat = net.b.op('Flatten', [rng.int(2) ? net.b.op('GlobalAveragePool', [x]) : x], { axis: 1 })
  return net.model(head, net.linear('fc2', net.act('Sigmoid', net.linear('fc1', flat, 6)), 2))
}
