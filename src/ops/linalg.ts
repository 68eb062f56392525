/** @file Gemm and MatMul. */
import { floatAttribute, intAttribute } from '../ir/attributes.ts'
import { constantOf, dimsOf, type Dim, type Node, type Value } from '../ir/graph.ts'
import { f32, sizeOf } from '../tensor/tensor.ts'
import { scaleChannels, shiftBias } from './absorb.ts'
import type { Emitter } from './emitter.ts'
import type { AxisRef, ChannelRule, Link, OpDef, ShapeRule, Vjp } from './define.ts'
import { broadcastDims, inputOf, link, outputOf, ref } from './rules.ts'

interface GemmForm {
  readonly alpha: number
  readonly beta: number
  /** 1 where the operand is transposed. */
  readonly ta: number
  readonly tb: number
}

function gemmForm(node: Node): GemmForm {
  return {
    alpha: floatAttribute(node, 'alpha', 1),
    beta: floatAttribute(node, 'beta', 1),
    ta: intAttribute(node, 'transA', 0) === 0 ? 0 : 1,
    tb: intAttribute(node, 'transB', 0) === 0 ? 0 : 1,
  }
}

const gemmShape: ShapeRule = (node) => {
  const { ta, tb } = gemmForm(node)
  const a = inputOf(node, 0)
  const b = inputOf(node, 1)
  return [{ dtype: a.dtype, shape: a.shape && b.shape && [a.shape[ta], b.shape[1 - tb]] }]
}

const gemmVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const { alpha, beta, ta, tb } = gemmForm(node)
  const x = inputOf(node, 0)
  const w = inputOf(node, 1)
  const product = (left: Value, right: Value, transA: number, transB: number): Value => b.op('Gemm', [left, right], { transA, transB, alpha: { float: alpha } })
  return [
    () => ta ? product(w, dy, tb, 1) : product(dy, w, 0, 1 - tb),
    () => tb ? product(dy, x, 1, ta) : product(x, dy, 1 - ta, 0),
    () => beta === 1 ? dy : b.mul(dy, b.scalar(beta)),
  ]
}

/** Axes that are summed over: those of activations; with two constants or two activations, both. */
function contracted(a: AxisRef, b: AxisRef): AxisRef[] {
  const activations = [a, b].filter((r) => !r.value.initializer)
  return activations.length ? activations : [a, b]
}

const gemmChannels: ChannelRule = (node) => {
  const { ta, tb } = gemmForm(node)
  const a = inputOf(node, 0)
  const b = inputOf(node, 1)
  const y = outputOf(node)
  const c = node.inputs[2]
  const inA = ref(a, 1 - ta)
  const inB = ref(b, tb)
  const links: Link[] = [link(inA, inB), link(ref(b, 1 - tb), ref(y, 1)), link(ref(a, ta), ref(y, 0))]
  if (c?.shape && y.shape) {
    c.shape.forEach((n, axis) => {
      const to = axis + 2 - c.shape!.length
      if (n !== 1 || y.shape![to] === 1) links.push(link(ref(c, axis), ref(y, to)))
    })
  }
  return { links, contracts: contracted(inA, inB) }
}

function absorbIntoGemm(node: Node, affine: { scale: Float32Array; shift: Float32Array }): ReturnType<NonNullable<OpDef['absorbAffine']>> {
  const { beta, tb } = gemmForm(node)
  const weight = constantOf(node.inputs[1])
  const bias = constantOf(node.inputs[2])
  if (!weight || (node.inputs[2] && !bias) || beta === 0) return undefined
  // Only a bias along the channels has a value for each of them.
  if (bias && (bias.dims[bias.dims.length - 1] !== affine.scale.length || sizeOf(bias.dims) !== affine.scale.length)) return undefined
  const scaled = scaleChannels(weight, affine.scale, (i, j) => (tb ? i : j))
  const shifted = shiftBias(bias, { scale: affine.scale, shift: affine.shift.map((s) => s / beta) })
  return scaled && shifted && new Map([[1, scaled], [2, f32(shifted.data as Float32Array, bias?.dims ?? shifted.dims)]])
}

const matmulShape: ShapeRule = (node) => {
  const a = inputOf(node, 0)
  const b = inputOf(node, 1)
  if (!a.shape || !b.shape) return [{ dtype: a.dtype, shape: undefined }]
  const rows: Dim[] = a.shape.length > 1 ? [a.shape[a.shape.length - 2]] : []
  const columns: Dim[] = b.shape.length > 1 ? [b.shape[b.shape.length - 1]] : []
  return [{ dtype: a.dtype, shape: [...broadcastDims(node, a.shape.slice(0, -2), b.shape.slice(0, -2)), ...rows, ...columns] }]
}

const matmulVjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const x = inputOf(node, 0)
  const w = inputOf(node, 1)
  const xd = dimsOf(x)
  const wd = dimsOf(w)
  // Vectors as matrices of one row or column.
  const batch = dimsOf(dy).slice(0, dimsOf(dy).length - (xd.length > 1 ? 1 : 0) - (wd.length > 1 ? 1 : 0))
  const m = xd.length > 1 ? xd[xd.length - 2]! : 1
  const n = wd.length > 1 ? wd[wd.length - 1]! : 1
  const k = xd[xd.length - 1]!
  const g = xd.length > 1 && wd.length > 1 ? dy : b.reshape(dy, [...batch, m, n])
  const left = xd.length > 1 ? x : b.reshape(x, [1, k])
  const right = wd.length > 1 ? w : b.reshape(w, [k, 1])
  return [
    () => {
      const dx = b.op('MatMul', [g, flipLast(b, right)])
      return xd.length > 1 ? dx : sumToVector(b, dx, k)
    },
    () => {
      if (wd.length > 2) return b.op('MatMul', [flipLast(b, left), g])
      // One matrix for all rows of all batches: a single product, no sum over a broadcast.
      const rows = sizeOf(dimsOf(g)) / n
      const dw = b.op('MatMul', [b.transpose(b.reshape(left, [rows, k]), [1, 0]), b.reshape(g, [rows, n])])
      return wd.length > 1 ? dw : b.reshape(dw, [k])
    },
  ]
}

function flipLast(b: Emitter, x: Value): Value {
  const rank = dimsOf(x).length
  return b.transpose(x, Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2)))
}

/** [..., 1, k] summed to [k]. */
function sumToVector(b: Emitter, x: Value, k: number): Value {
  return sizeOf(dimsOf(x)) === k ? b.reshape(x, [k]) : b.sum(b.reshape(x, [-1, k]), [0])
}

const matmulChannels: ChannelRule = (node) => {
  const a = inputOf(node, 0)
  const b = inputOf(node, 1)
  const y = outputOf(node)
  if (!a.shape || !b.shape || !y.shape) return { links: [] }
  const ra = a.shape.length
  const rb = b.shape.length
  const inA = ref(a, ra - 1)
  const inB = ref(b, Math.max(0, rb - 2))
  const links: Link[] = [link(inA, inB)]
  const rank = y.shape.length
  if (rb > 1) links.push(link(ref(b, rb - 1), ref(y, rank - 1)))
  if (ra > 1) links.push(link(ref(a, ra - 2), ref(y, rb > 1 ? rank - 2 : rank - 1)))
  const batches = rank - (ra > 1 ? 1 : 0) - (rb > 1 ? 1 : 0)
  for (const [value, r] of [[a, ra], [b, rb]] as const) {
    for (let axis = 0; axis < r - 2; axis++) {
      const to = axis + batches - (r - 2)
      // A broadcast axis of length 1 has nothing to tie.
      if (value.shape![axis] !== 1 || y.shape[to] === 1) links.push(link(ref(value, axis), ref(y, to)))
    }
  }
  return { links, contracts: contracted(inA, inB) }
}

export const linalg: readonly OpDef[] = [
  {
    type: 'Gemm',
    shape: gemmShape,
    vjp: gemmVjp,
    channels: gemmChannels,
    macs: (node) => sizeOf(dimsOf(outputOf(node))) * dimsOf(inputOf(node, 0))[1 - gemmForm(node).ta]!,
    weights: [1, 2],
    trainable: [1, 2],
    scored: { input: 1, axis: (node) => gemmForm(node).tb },
    absorbAffine: absorbIntoGemm,
    eightBit(node) {
      const { alpha, beta, ta, tb } = gemmForm(node)
      return alpha === 1 && beta === 1 && ta === 0 ? { kind: 'layer', axis: 1 - tb } : undefined
    },
  },
  {
    type: 'MatMul',
    shape: matmulShape,
    vjp: matmulVjp,
    channels: matmulChannels,
    macs: (node) => sizeOf(dimsOf(outputOf(node))) * dimsOf(inputOf(node, 0)).at(-1)!,
    weights: [1],
    trainable: [0, 1],
    scored: { input: 1, axis: (node) => Math.max(0, (inputOf(node, 1).shape?.length ?? 2) - 2) },
    eightBit: (node) => (inputOf(node, 1).shape?.length === 2 ? { kind: 'layer', axis: 1 } : undefined),
  },
]
