/** @file Comparisons and logic, on booleans and on bits: no gradients, channels as elementwise. */
import { notDifferentiable, type OpDef } from './define.ts'
import { type Arithmetic, foldElementwise } from './fold.ts'
import { broadcastShape, elementwiseChannels } from './rules.ts'

function predicate(type: string, f: Arithmetic): OpDef {
  return { type, shape: broadcastShape('bool'), vjp: notDifferentiable, channels: elementwiseChannels, fold: foldElementwise(f, 'bool') }
}

/** The same comparison for both kinds of numbers. */
function comparison(type: string, f: (order: number) => boolean): OpDef {
  const entry = predicate(type, {
    // Not-a-number compares as neither less, equal nor greater.
    number: (x, y) => Number(f(x < y ? -1 : x > y ? 1 : x === y ? 0 : Number.NaN)),
    bigint: (x, y) => (f(x < y ? -1 : x > y ? 1 : 0) ? 1n : 0n),
  })
  return { ...entry, selects: true }
}

export const logic: readonly OpDef[] = [
  comparison('Equal', (o) => o === 0),
  comparison('Greater', (o) => o > 0),
  comparison('GreaterOrEqual', (o) => o >= 0),
  comparison('Less', (o) => o < 0),
  comparison('LessOrEqual', (o) => o <= 0),
  predicate('And', { number: (x, y) => x & y }),
  predicate('Or', { number: (x, y) => x | y }),
  predicate('Xor', { number: (x, y) => x ^ y }),
  predicate('Not', { number: (x) => 1 - x }),
  predicate('IsNaN', { number: (x) => Number(Number.isNaN(x)) }),
  predicate('IsInf', {}),
  ...['BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'BitwiseNot'].map((type): OpDef => ({ type, shape: broadcastShape(), vjp: notDifferentiable, channels: elementwiseChannels })),
]
