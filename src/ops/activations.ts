/** @file Elementwise functions of one operand: arithmetic, activations, casts. Trigonometry has its own file. */
import { floatAttribute, intAttribute, stringAttribute } from '../ir/attributes.ts'
import type { Node, Value } from '../ir/graph.ts'
import { type DType, isFloat } from '../tensor/dtype.ts'
import { toNumbers } from '../tensor/tensor.ts'
import type { Emitter } from './emitter.ts'
import type { OpDef, Vjp } from './define.ts'
import { bounds, computes } from './eight-bit.ts'
import { castTensor, foldFirst } from './fold.ts'
import { broadcastShape, elementwiseChannels, free, inputOf, masked, ref, typed, unaryChannels, unaryVjp } from './rules.ts'
import { dtypeOfCode } from './type-codes.ts'
import { slope, square, step, unary } from './unary.ts'

const positive = (b: Emitter, x: Value): Value => b.op('Greater', [x, b.scalar(0)])
const oneMinus = (b: Emitter, x: Value): Value => b.sub(b.scalar(1), x)
const attribute = (y: Value, name: string, fallback: number): number => floatAttribute(y.producer!, name, fallback)

const normalDensity = (b: Emitter, x: Value, factor: number): Value => b.mul(b.op('Exp', [b.mul(square(b, x), b.scalar(-factor))]), b.scalar(Math.sqrt(factor / Math.PI)))

/** f' = 1 where x > 0, else `alpha`. */
const leaky = slope((b, x, y) => {
  const alpha = attribute(y, 'alpha', 0.01)
  return b.add(b.mul(b.cast(positive(b, x), 'float32'), b.scalar(1 - alpha)), b.scalar(alpha))
})

/** x > 0: 1; else y + alpha, which is alpha exp(x). */
const elu = slope((b, x, y) => b.op('Where', [positive(b, x), b.scalar(1), b.add(y, b.scalar(attribute(y, 'alpha', 1)))]))

/** x > 0: 1; else exp(x / alpha), which is y / alpha + 1. */
const celu = slope((b, x, y) => b.op('Where', [positive(b, x), b.scalar(1), b.add(b.div(y, b.scalar(attribute(y, 'alpha', 1))), b.scalar(1))]))

const selu = slope((b, x, y) => {
  const alpha = attribute(y, 'alpha', 1.6732631921768188)
  const gamma = attribute(y, 'gamma', 1.0507010221481323)
  return b.op('Where', [positive(b, x), b.scalar(gamma), b.add(y, b.scalar(alpha * gamma))])
})

/** 1 where 0 < gate < 1, the sloped part of HardSigmoid. */
const sloped = (b: Emitter, gate: Value): Value => b.cast(b.op('And', [positive(b, gate), b.op('Less', [gate, b.scalar(1)])]), 'float32')

const hardSwish = slope((b, x) => {
  const gate = b.op('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 })
  return b.add(gate, b.mul(b.mul(x, sloped(b, gate)), b.scalar(1 / 6)))
})

const mish = slope((b, x) => {
  const t = b.op('Tanh', [b.op('Softplus', [x])])
  return b.add(t, b.mul(b.mul(x, b.op('Sigmoid', [x])), oneMinus(b, square(b, t))))
})

const gelu = slope((b, x, y) => {
  if (stringAttribute(y.producer!, 'approximate', 'none') === 'none') {
    const cumulative = b.mul(b.add(b.op('Erf', [b.mul(x, b.scalar(Math.SQRT1_2))]), b.scalar(1)), b.scalar(0.5))
    return b.add(cumulative, b.mul(x, normalDensity(b, x, 0.5)))
  }
  // y = x/2 (1 + tanh u), u = c (x + 0.044715 x^3)
  const c = Math.sqrt(2 / Math.PI)
  const xx = square(b, x)
  const t = b.op('Tanh', [b.mul(b.mul(x, b.add(b.mul(xx, b.scalar(0.044715)), b.scalar(1))), b.scalar(c))])
  const du = b.add(b.mul(xx, b.scalar(3 * 0.044715 * c)), b.scalar(c))
  const bent = b.mul(b.mul(x, du), oneMinus(b, square(b, t)))
  return b.mul(b.add(b.add(t, b.scalar(1)), bent), b.scalar(0.5))
})

/** 1 where the bounds let x through (at a bound, too: as torch has it). The bounds get no gradient. */
const clip = unaryVjp((b, dy, x, y) => masked(b, dy, b.op('Equal', [x, y])))

const prelu: Vjp = (b, node, [dy]) => {
  const x = inputOf(node, 0)
  return dy ? [() => b.mul(dy, b.op('Where', [positive(b, x), b.scalar(1), inputOf(node, 1)])), () => b.mul(dy, b.op('Min', [x, b.scalar(0)]))] : []
}

const cast: Vjp = (b, node, [dy]) => {
  const from = inputOf(node, 0).dtype
  return dy && from && isFloat(from) ? [() => b.cast(dy, from)] : []
}

/** True where training_mode is on, or computed. */
function trains(node: Node): boolean {
  const training = node.inputs[2]?.initializer
  return !!node.inputs[2] && (!training || toNumbers(training)[0] !== 0)
}

/** Dropout at inference is the identity; a training_mode of true has no gradient here. */
const dropout: Vjp = (_, node, [dy]) => {
  if (trains(node)) throw new Error(`Dropout "${node.name}" is in training mode: set its training_mode to false`)
  return [dy && (() => dy)]
}

export const activations: readonly OpDef[] = [
  unary('Neg', unaryVjp((b, dy) => b.op('Neg', [dy])), { number: (x) => -x, bigint: (x) => -x }),
  unary('Abs', slope((b, x) => b.op('Sign', [x])), { number: Math.abs, bigint: (x) => (x < 0n ? -x : x) }),
  step('Sign'),
  step('Floor', { number: Math.floor }),
  step('Ceil', { number: Math.ceil }),
  step('Round'),
  unary('Exp', slope((_, __, y) => y)),
  unary('Log', unaryVjp((b, dy, x) => b.div(dy, x))),
  unary('Sqrt', unaryVjp((b, dy, _, y) => b.div(b.mul(dy, b.scalar(0.5)), y)), { number: Math.sqrt }),
  unary('Reciprocal', slope((b, _, y) => b.op('Neg', [square(b, y)]))),
  unary('Erf', slope((b, x) => b.mul(normalDensity(b, x, 1), b.scalar(2)))),
  { ...unary('Relu', unaryVjp((b, dy, _, y) => masked(b, dy, positive(b, y)))), eightBit: bounds },
  { ...unary('LeakyRelu', leaky), eightBit: computes },
  unary('Elu', elu),
  // ONNX has no Celu in float16.
  { ...unary('Celu', celu), float32: 'all' },
  unary('Selu', selu),
  unary('ThresholdedRelu', unaryVjp((b, dy, x, y) => masked(b, dy, b.op('Greater', [x, b.scalar(attribute(y, 'alpha', 1))])))),
  unary('Shrink', unaryVjp((b, dy, x, y) => masked(b, dy, b.op('Greater', [b.op('Abs', [x]), b.scalar(attribute(y, 'lambd', 0.5))])))),
  unary('Softsign', slope((b, _, y) => square(b, oneMinus(b, b.op('Abs', [y]))))),
  { ...unary('Sigmoid', slope((b, _, y) => b.mul(y, oneMinus(b, y)))), eightBit: computes },
  unary('HardSigmoid', slope((b, _, y) => b.mul(sloped(b, y), b.scalar(attribute(y, 'alpha', 0.2))))),
  unary('HardSwish', hardSwish),
  unary('Softplus', slope((b, x) => b.op('Sigmoid', [x]))),
  unary('Mish', mish),
  unary('Gelu', gelu),
  { ...unary('Clip', clip), eightBit: bounds },
  { ...unary('Identity', unaryVjp((_, dy) => dy)), fold: foldFirst((t) => t), passThrough: () => 0 },
  { type: 'PRelu', shape: broadcastShape(), vjp: prelu, channels: elementwiseChannels, trainable: [1] },
  {
    type: 'Cast',
    shape: (node) => typed(castTarget(node), node.inputs[0]?.shape),
    vjp: cast,
    channels: unaryChannels,
    fold: foldFirst((t, node) => castTensor(t, castTarget(node))),
  },
  {
    type: 'CastLike',
    shape: (node) => typed(node.inputs[1]?.dtype, node.inputs[0]?.shape),
    vjp: cast,
    // Only the second operand's type is read.
    channels: (node, context) => ({ links: [...unaryChannels(node, context).links, ...(node.inputs[1]?.shape ?? []).map((_, axis) => free(ref(inputOf(node, 1), axis)))] }),
    fold: (_, [x, like]) => {
      const out = x && like && castTensor(x, like.dtype)
      return out && [out]
    },
  },
  {
    type: 'Dropout',
    shape: (node, { opset }) => {
      const x = inputOf(node, 0)
      return [{ dtype: x.dtype, shape: x.shape }, { dtype: opset < 10 ? x.dtype : 'bool', shape: x.shape }]
    },
    vjp: dropout,
    channels: unaryChannels,
    passThrough: (node) => (trains(node) ? undefined : 0),
  },
]

function castTarget(node: Node): DType {
  return dtypeOfCode(intAttribute(node, 'to', 1))
}
