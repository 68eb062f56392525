/** @file Functions of one operand, element by element: what their families share. */
import type { Value } from '../ir/graph.ts'
import type { OpDef, Vjp } from './define.ts'
import type { Emitter } from './emitter.ts'
import { type Arithmetic, foldElementwise } from './fold.ts'
import { sameAs, unaryChannels, unaryVjp, zeroGradient } from './rules.ts'

export function unary(type: string, vjp: OpDef['vjp'], f: Arithmetic = {}): OpDef {
  return { type, shape: sameAs(0), vjp, channels: unaryChannels, fold: foldElementwise(f) }
}

/** A step function. */
export function step(type: string, f?: Arithmetic): OpDef {
  return { ...unary(type, zeroGradient, f), selects: true }
}

/** dy f'(x), by the rule for f'. */
export function slope(rule: (b: Emitter, x: Value, y: Value) => Value): Vjp {
  return unaryVjp((b, dy, x, y) => b.mul(dy, rule(b, x, y)))
}

export const square = (b: Emitter, x: Value): Value => b.mul(x, x)
