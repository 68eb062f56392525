/** @file How operators compute on 8-bit numbers, for their entries. */
import type { EightBit, OpDef } from './define.ts'

type Rule = NonNullable<OpDef['eightBit']>

const always = (form: EightBit): Rule => () => form

/** Operands and result have scales of their own. */
export const computes = always({ kind: 'computes' })

/** The result's elements are the operand's. */
export const moves = always({ kind: 'moves' })

/** The ends of the result's 8-bit range bound the operand already. */
export const bounds = always({ kind: 'bounds' })

/** A convolution whose kernel has its output channels along `axis`. */
export function layer(axis: number): Rule {
  return always({ kind: 'layer', axis })
}
