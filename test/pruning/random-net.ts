/** @file Random nets: every way in which channels are tied. */
import fc from 'fast-check'
import type { Model, Value } from '../../src/ir/graph.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { Net } from './nets.ts'
import { pieces } from './pieces.ts'
import { act, channelsOf, drawn, spatialOf } from './piece.ts'

/** A net as data: what a failing case prints and a regression test keeps. */
export interface NetSpec {
  readonly opset: number
  /** Of weights and of draws that no piece makes. */
  readonly seed: number
  /** 0: free. */
  readonly batch: number
  readonly pieces: readonly { readonly feature: string; readonly seed: number }[]
}

export const opsets = [9, 11, 13, 17, 21, 23] as const

const seed = fc.nat(2 ** 20)
/** Streams that go through these are seldom cut afterwards, so they are drawn twice as often. */
const seldom = ['gather that drops and repeats', 'resize', 'grouped convolution']

export const netSpecs: fc.Arbitrary<NetSpec> = fc.record({
  opset: fc.constantFrom(...opsets),
  seed,
  batch: fc.constantFrom(1, 2, 0),
  pieces: fc.array(fc.record({ feature: fc.constantFrom(...Object.keys(pieces), ...seldom), seed }), { minLength: 1, maxLength: 10, size: 'max' }),
})

export interface RandomNet {
  /** Constants folded, as groups need it. */
  readonly model: Model
  /** The value that each piece ends in, by its name. */
  readonly ends: readonly { readonly feature: string; readonly value: string }[]
}

/** Streams do not grow beyond this many channels and places. */
const widest = 24
const largest = 150

/** A stem, the pieces, and one to three outputs: a map, two linear layers behind Flatten, a head on an earlier stream. */
export function buildNet(spec: NetSpec): RandomNet {
  const draws = createRng(`${spec.seed}/net`)
  const net = new Net(spec.seed, [spec.batch || 'N', 3, 3 + draws.int(4), 4], spec.opset)
  const streams = [act(net, net.conv('stem', net.x, 3 + draws.int(5)), draws)]
  const ends: { feature: string; value: string }[] = []
  spec.pieces.forEach(({ feature, seed }, n) => {
    const rng = createRng(`${seed}/piece`)
    const x = streams.at(-1)!
    const narrow = channelsOf(x) > widest ? net.conv(`p${n}narrow`, x, drawn(rng), 1) : x
    const small = spatialOf(narrow).reduce((a, d) => a * d, 1) > largest ? net.b.op('MaxPool', [narrow], { kernel_shape: [2, 2], strides: [2, 2] }) : narrow
    const y = pieces[feature]!(net, small, `p${n}`, rng)
    streams.push(y)
    ends.push({ feature, value: y.name })
  })
  const last = streams.at(-1)!
  const outputs = [net.conv('head', last, 3, 1)]
  if (draws.int(2)) outputs.push(vectorHead(net, draws.int(2) ? net.b.op('GlobalAveragePool', [last]) : last))
  if (draws.int(2)) outputs.push(boxHead(net, streams[draws.int(streams.length)]!))
  return { model: foldConstants(net.model(...outputs)), ends }
}

function vectorHead(net: Net, x: Value): Value {
  return net.linear('fc2', net.act('Sigmoid', net.linear('fc1', net.b.op('Flatten', [x], { axis: 1 }), 6)), 2)
}

/** As detectors have it: one row for each place and default box. */
function boxHead(net: Net, x: Value): Value {
  return net.b.reshape(net.b.transpose(net.conv('boxes', x, 2 * 4, 3), [0, 2, 3, 1]), [0, -1, 4])
}

/** The net of a seed alone. */
export function randomNet(seed: number): Model {
  const rng = createRng(`${seed}/spec`)
  const names = Object.keys(pieces)
  const drawnPieces = Array.from({ length: 1 + rng.int(5) }, () => ({ feature: names[rng.int(names.length)]!, seed: rng.int(2 ** 20) }))
  return buildNet({ opset: opsets[rng.int(opsets.length)]!, seed, batch: 1 + (seed % 2), pieces: drawnPieces }).model
}
