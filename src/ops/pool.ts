/** @file Pooling by maximum, mean and p-norm, over windows and over all positions. */
import { intAttribute, intsAttribute } from '../ir/attributes.ts'
import { dimsOf, type Node, type Value } from '../ir/graph.ts'
import { f32, sizeOf } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import type { ChannelRule, OpDef, ShapeRule, TypeInfo } from './define.ts'
import { computes } from './eight-bit.ts'
import { inputOf, link, outputOf, ref, zerosLike } from './rules.ts'
import { extentOf, outputLength, type Window, windowOf } from './window.ts'

function poolWindow(node: Node): Window {
  const x = inputOf(node, 0)
  const kernel = intsAttribute(node, 'kernel_shape')
  if (!kernel) throw new Error(`${node.opType} "${node.name}" lacks kernel_shape`)
  return windowOf(node, kernel, x.shape?.slice(2) ?? [])
}

const poolShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  if (!x.shape) return [{ dtype: x.dtype, shape: undefined }]
  const w = poolWindow(node)
  const ceil = intAttribute(node, 'ceil_mode', 0) !== 0
  const shape = [x.shape[0], x.shape[1], ...x.shape.slice(2).map((n, i) => outputLength(w, i, n, ceil))]
  const types: TypeInfo[] = [{ dtype: x.dtype, shape }]
  if (node.outputs.length > 1) types.push({ dtype: 'int64', shape })
  return types
}

const globalShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  return [{ dtype: x.dtype, shape: x.shape && x.shape.map((n, axis) => (axis < 2 ? n : 1)) }]
}

/** Channels and images pass through; positions are mixed. */
const perChannel: ChannelRule = (node) => {
  const x = inputOf(node, 0)
  const y = outputOf(node)
  const spatial = (x.shape ?? []).map((_, axis) => axis).slice(2)
  return {
    links: [link(ref(x, 0), ref(y, 0)), link(ref(x, 1), ref(y, 1))],
    blocked: spatial.map((axis) => ({ ref: ref(x, axis), reason: `${node.opType} mixes the positions of its windows` })),
  }
}

/** Adds the cotangents at the winners: index of the first maximum of each window, as MaxPool and torch pick it. */
function scatterToWinners(b: Emitter, x: Value, dy: Value, node: Node): Value {
  // Measured against taps by value or by index and MaxUnpool per parity: this is the fastest, and right where windows overlap.
  const winners = winnersOf(b, x, poolWindow(node), intAttribute(node, 'ceil_mode', 0))
  const dims = dimsOf(x)
  const zeros = zerosLike(b, [sizeOf(dims)])
  const flat = b.op('ScatterElements', [zeros, b.reshape(winners, [-1]), b.reshape(dy, [-1])], { axis: 0, reduction: 'add' })
  return b.reshape(flat, dims, 'dx')
}

/** From this many taps on, two passes with a gathering between them take less than one: half for 5x5, an eighth for the 13x13 of YOLO's spatial pyramids. */
const manyTaps = 25

/** Where in the flat x the first maximum of every window lies, int64 [N,C,...T]. The runtime's time for indices grows with the taps, whatever the map. */
function winnersOf(b: Emitter, x: Value, w: Window, ceil: number): Value {
  const indices = (from: Value, axes: readonly number[]): Value[] => {
    const along = <T>(values: readonly T[], other: T): T[] => values.map((v, i) => (axes.includes(i) ? v : other))
    const pads = [...along(w.begin, 0), ...along(w.end, 0)]
    return b.ops('MaxPool', [from], 2, { kernel_shape: along(w.kernel, 1), strides: along(w.strides, 1), dilations: along(w.dilations, 1), pads, ceil_mode: ceil, storage_order: 0 })
  }
  const axes = w.kernel.map((_, i) => i)
  if (w.kernel.length !== 2 || sizeOf(w.kernel) < manyTaps) return indices(x, axes)[1]!
  // Along the rows first: of equal values the one in the first row, and there in the first column, is left, as in one pass.
  const [best, inRow] = indices(x, [1]) as [Value, Value]
  return b.op('Gather', [b.reshape(inRow, [-1]), indices(best, [0])[1]!], { axis: 0 })
}

/** Every position of a window gets the same share of its cotangent. */
function averageGradient(b: Emitter, x: Value, dy: Value, node: Node): Value {
  const shares = windowShares(poolWindow(node), dimsOf(x).slice(2), dimsOf(dy).slice(2), intAttribute(node, 'count_include_pad', 0) !== 0)
  return spreadOverWindows(b, x, b.mul(dy, b.constant(shares, 'shares')), node)
}

/** d|x|_p/dx = sign(x) (|x| / y)^(p-1); `spread` brings a value of a window to its positions. */
function normGradient(b: Emitter, node: Node, dy: Value, spread: (v: Value) => Value): Value {
  const [x, y] = [inputOf(node, 0), outputOf(node)]
  const p = intAttribute(node, 'p', 2)
  const power = (v: Value): Value => (p === 2 ? v : b.op('Pow', [v, b.scalar(p - 1)]))
  // A norm of zero has no slope.
  const slope = spread(b.div(dy, power(b.op('Max', [y, b.scalar(1e-30)]))))
  return b.mul(slope, p === 2 ? x : b.mul(b.op('Sign', [x]), power(b.op('Abs', [x]))))
}

/** Sums what every position's windows hold for it: the transpose of the window's sum. */
function spreadOverWindows(b: Emitter, x: Value, shares: Value, node: Node): Value {
  const w = poolWindow(node)
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const lengths = dimsOf(shares).slice(2)
  const ones = b.constant(f32(new Float32Array(sizeOf(w.kernel)).fill(1), [1, 1, ...w.kernel]), 'ones')
  // Windows may reach beyond the padding (ceil_mode) or stop short of it: the end pads make the length exact.
  const surplus = spatial.map((s, i) => w.strides[i]! * (lengths[i]! - 1) + extentOf(w, i) - w.begin[i]! - s)
  const spread = b.op('ConvTranspose', [b.reshape(shares, [n * c, 1, ...lengths]), ones], {
    kernel_shape: w.kernel, strides: w.strides, dilations: w.dilations,
    pads: [...w.begin, ...surplus.map((s) => Math.max(0, s))], output_padding: surplus.map((s) => Math.max(0, -s)),
  })
  return b.reshape(spread, [n, c, ...spatial], 'dx')
}

/** One over the number of positions each window averages, [1,1,...T]. */
function windowShares(w: Window, spatial: readonly number[], lengths: readonly number[], withPads: boolean): ReturnType<typeof f32> {
  const counts = lengths.map((length, i) => Array.from({ length }, (_, at) => {
    const low = withPads ? -w.begin[i]! : 0
    const high = spatial[i]! + (withPads ? w.end[i]! : 0)
    let count = 0
    for (let k = 0; k < w.kernel[i]!; k++) {
      const p = at * w.strides[i]! - w.begin[i]! + k * w.dilations[i]!
      if (p >= low && p < high) count++
    }
    return count
  }))
  let table = [1]
  for (const axis of counts) table = table.flatMap((c) => axis.map((k) => c * k))
  return f32(table.map((c) => 1 / c), [1, 1, ...lengths])
}

export const pool: readonly OpDef[] = [
  {
    type: 'MaxPool',
    shape: poolShape,
    vjp: (b, node, [dy]) => dy ? [() => scatterToWinners(b, inputOf(node, 0), dy, node)] : [],
    channels: perChannel,
    eightBit: (node) => (node.outputs.length === 1 ? { kind: 'moves' } : undefined),
  },
  {
    type: 'AveragePool',
    shape: poolShape,
    vjp: (b, node, [dy]) => dy ? [() => averageGradient(b, inputOf(node, 0), dy, node)] : [],
    channels: perChannel,
    eightBit: computes,
  },
  {
    type: 'LpPool',
    shape: poolShape,
    vjp: (b, node, [dy]) => dy ? [() => normGradient(b, node, dy, (v) => spreadOverWindows(b, inputOf(node, 0), v, node))] : [],
    channels: perChannel,
  },
  {
    type: 'GlobalLpPool',
    shape: globalShape,
    vjp: (b, node, [dy]) => dy ? [() => normGradient(b, node, dy, (v) => v)] : [],
    channels: perChannel,
  },
  {
    type: 'GlobalAveragePool',
    shape: globalShape,
    vjp: (b, node, [dy]) => {
      if (!dy) return []
      const dims = dimsOf(inputOf(node, 0))
      return [() => b.op('Expand', [b.mul(dy, b.scalar(1 / sizeOf(dims.slice(2)))), b.ints(dims)], {}, 'dx')]
    },
    channels: perChannel,
    eightBit: computes,
  },
  {
    type: 'GlobalMaxPool',
    shape: globalShape,
    vjp: (b, node, [dy]) => {
      if (!dy) return []
      const x = inputOf(node, 0)
      const dims = dimsOf(x)
      const [n = 1, c = 1] = dims
      const positions = sizeOf(dims.slice(2))
      return [() => {
        const winners = b.op('ArgMax', [b.reshape(x, [n, c, positions])], { axis: 2, keepdims: 1 })
        const zeros = zerosLike(b, [n, c, positions])
        return b.reshape(b.op('ScatterElements', [zeros, winners, b.reshape(dy, [n, c, 1])], { axis: 2 }), dims, 'dx')
      }]
    },
    channels: perChannel,
  },
]
