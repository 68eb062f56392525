/** @file Trigonometric and hyperbolic functions with their inverses. */
import type { Value } from '../ir/graph.ts'
import type { OpDef } from './define.ts'
import type { Emitter } from './emitter.ts'
import { square, unary, slope } from './unary.ts'

const root = (b: Emitter, x: Value): Value => b.op('Reciprocal', [b.op('Sqrt', [x])])
const one = (b: Emitter): Value => b.scalar(1)

export const trigonometry: readonly OpDef[] = [
  unary('Sin', slope((b, x) => b.op('Cos', [x]))),
  unary('Cos', slope((b, x) => b.op('Neg', [b.op('Sin', [x])]))),
  unary('Tan', slope((b, _, y) => b.add(square(b, y), one(b)))),
  unary('Asin', slope((b, x) => root(b, b.sub(one(b), square(b, x))))),
  unary('Acos', slope((b, x) => b.op('Neg', [root(b, b.sub(one(b), square(b, x)))]))),
  unary('Atan', slope((b, x) => b.op('Reciprocal', [b.add(square(b, x), one(b))]))),
  unary('Sinh', slope((b, x) => b.op('Cosh', [x]))),
  unary('Cosh', slope((b, x) => b.op('Sinh', [x]))),
  unary('Tanh', slope((b, _, y) => b.sub(one(b), square(b, y)))),
  unary('Asinh', slope((b, x) => root(b, b.add(square(b, x), one(b))))),
  unary('Acosh', slope((b, x) => root(b, b.sub(square(b, x), one(b))))),
  unary('Atanh', slope((b, x) => b.op('Reciprocal', [b.sub(one(b), square(b, x))]))),
]
