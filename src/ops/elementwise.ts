/** @file Elementwise arithmetic of several operands, with broadcasting. */
import { intAttribute } from '../ir/attributes.ts'
import { constantOf, type Node, type Value } from '../ir/graph.ts'
import { type Tensor, toNumbers } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import { notDifferentiable, type OpDef, type Vjp } from './define.ts'
import { computes } from './eight-bit.ts'
import { type Arithmetic, foldElementwise, foldWhere } from './fold.ts'
import { broadcastOf, broadcastShape, elementwiseChannels, inputOf, masked, outputOf, presentInputs, typed } from './rules.ts'

function arithmetic(type: string, vjp: OpDef['vjp'], fold?: OpDef['fold']): OpDef {
  return { type, shape: broadcastShape(), vjp, channels: elementwiseChannels, fold }
}

const add: Vjp = (_, node, [dy]) => node.inputs.map(() => dy && (() => dy))

const sub: Vjp = (b, _, [dy]) => (dy ? [() => dy, () => b.op('Neg', [dy])] : [])

const mul: Vjp = (b, node, [dy], wrt) => {
  if (!dy) return []
  const factors = [inputOf(node, 0), inputOf(node, 1)] as const
  const gate = factors.findIndex((s, i) => isGate(s, factors[1 - i]!) && !wrt.has(s))
  if (gate < 0) return [() => b.mul(dy, factors[1]), () => b.mul(dy, factors[0])]
  // SiLU, y = x s(x): dy/dx = s + y (1 - s), in four passes over the map where the product's and the sigmoid's own rules take six.
  const byBoth = (): Value => b.mul(dy, b.add(b.mul(outputOf(node), b.sub(b.scalar(1), factors[gate]!)), factors[gate]!))
  return gate === 0 ? [undefined, byBoth] : [byBoth, undefined]
}

/** Whether `s` is the sigmoid of `x`. */
function isGate(s: Value, x: Value): boolean {
  return s.producer?.opType === 'Sigmoid' && s.producer.inputs[0] === x
}

const div: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const divisor = inputOf(node, 1)
  // d(a/b)/db = -y/b
  return [() => b.div(dy, divisor), () => b.op('Neg', [b.mul(b.div(dy, divisor), outputOf(node))])]
}

const mean: Vjp = (b, node, [dy]) => node.inputs.map(() => dy && (() => b.mul(dy, b.scalar(1 / node.inputs.length))))

/** Max and Min: the gradient goes to the first of equal inputs, so that the shares always add up to the whole. */
function extremum(strict: 'Greater' | 'Less'): Vjp {
  const winner = (b: Emitter, inputs: readonly Value[], i: number): Value => {
    const beats = inputs.flatMap((other, k) => (k === i ? [] : [b.op(k < i ? strict : `${strict}OrEqual`, [inputs[i]!, other])]))
    return beats.reduce((a, c) => b.op('And', [a, c]))
  }
  return (b, node, [dy]) => {
    const inputs = presentInputs(node)
    if (!dy) return []
    return inputs.map((_, i) => () => (inputs.length === 1 ? dy : masked(b, dy, winner(b, inputs, i))))
  }
}

const pow: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const base = inputOf(node, 0)
  const exponent = inputOf(node, 1)
  const constant = constantOf(exponent)
  const n = constant?.data.length === 1 ? toNumbers(constant)[0]! : undefined
  const byBase = (): Value => {
    if (n === 2) return b.mul(b.mul(dy, base), b.scalar(2))
    if (n !== undefined) return b.mul(b.mul(dy, b.op('Pow', [base, b.scalar(n - 1)])), b.scalar(n))
    const e = b.cast(exponent, 'float32')
    return b.mul(dy, b.mul(e, b.op('Pow', [base, b.sub(e, b.scalar(1))])))
  }
  return [byBase, exponent.dtype === 'float32' ? () => b.mul(dy, b.mul(outputOf(node), b.op('Log', [base]))) : undefined]
}

const where: Vjp = (b, node, [dy]) => {
  const condition = inputOf(node, 0)
  return dy ? [undefined, () => masked(b, dy, condition), () => masked(b, dy, b.op('Not', [condition]))] : []
}

/** Division and remainder are folded unless a divisor is zero: that is left to the runtime. */
function foldDivision(arithmetic: (node: Node) => Arithmetic): OpDef['fold'] {
  return (node, inputs, context) => (inputs[1] && hasZero(inputs[1]) ? undefined : foldElementwise(arithmetic(node))(node, inputs, context))
}

function hasZero(t: Tensor): boolean {
  return toNumbers(t).some((v) => v === 0)
}

/** Mod: the sign is the divisor's (fmod = 0, integers) or the dividend's (fmod = 1). */
function remainder(node: Node): Arithmetic {
  if (intAttribute(node, 'fmod', 0)) return { number: (x, y) => x % y, bigint: (x, y) => x % y }
  return { bigint: (x, y) => ((x % y) + y) % y }
}

export const elementwise: readonly OpDef[] = [
  { ...arithmetic('Add', add, foldElementwise({ number: (x, y) => x + y, bigint: (x, y) => x + y })), trainable: 'along channels', eightBit: computes },
  arithmetic('Sub', sub, foldElementwise({ number: (x, y) => x - y, bigint: (x, y) => x - y })),
  { ...arithmetic('Mul', mul, foldElementwise({ number: (x, y) => x * y, bigint: (x, y) => x * y })), trainable: 'along channels', eightBit: computes },
  // Integers are divided towards zero, as bigint does.
  arithmetic('Div', div, foldDivision(() => ({ number: (x, y) => x / y, bigint: (x, y) => x / y }))),
  arithmetic('Mod', notDifferentiable, foldDivision(remainder)),
  arithmetic('Max', extremum('Greater'), foldElementwise({ number: (...xs) => Math.max(...xs), bigint: (...xs) => xs.reduce((x, y) => (x > y ? x : y)) })),
  arithmetic('Min', extremum('Less'), foldElementwise({ number: (...xs) => Math.min(...xs), bigint: (...xs) => xs.reduce((x, y) => (x < y ? x : y)) })),
  arithmetic('Sum', add),
  arithmetic('Mean', mean),
  arithmetic('Pow', pow),
  {
    type: 'Where',
    shape: (node) => typed(node.inputs[1]?.dtype, broadcastOf(node, presentInputs(node))),
    vjp: where,
    channels: elementwiseChannels,
    fold: foldWhere,
  },
]
