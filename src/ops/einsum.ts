/** @file Einsum of one or two operands, by an explicit or implicit equation. */
import { stringAttribute } from '../ir/attributes.ts'
import { type Dim, dimsOf, type Node, type Value } from '../ir/graph.ts'
import type { AxisRef, ChannelRule, Link, OpDef, Vjp } from './define.ts'
import type { Emitter } from './emitter.ts'
import { inputOf, link, outputOf, presentInputs, ref, typed } from './rules.ts'

interface Equation {
  /** Letters of each operand, one an axis. */
  readonly operands: readonly string[]
  readonly result: string
}

const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** Letters for every axis, those that an ellipsis stands for included. Throws, naming the node, for more than two operands. */
function equationOf(node: Node): Equation {
  const text = stringAttribute(node, 'equation', '').replace(/\s/g, '')
  const [left = '', right] = text.split('->')
  const operands = left.split(',')
  if (operands.length > 2 || operands.length !== node.inputs.length) throw new Error(`Einsum "${node.name}": equation "${text}" has more than two operands; split it into products of two`)
  const hidden = operands.map((letters, i) => (letters.includes('...') ? rankOf(inputOf(node, i)) - letters.length + 3 : 0))
  const free = [...alphabet].filter((l) => !text.includes(l)).slice(0, Math.max(...hidden)).join('')
  const spelled = (letters: string, count: number): string => letters.replace('...', count === 0 ? '' : free.slice(-count))
  const named = operands.map((letters, i) => spelled(letters, hidden[i]!))
  const result = right ?? `${hidden.some((n) => n > 0) ? '...' : ''}${implicit(left.replaceAll('...', ''))}`
  return { operands: named, result: spelled(result, free.length) }
}

/** As equationOf; throws for diagonals too, which neither gradients nor channels are followed through. */
function productOf(node: Node): Equation {
  const equation = equationOf(node)
  if (equation.operands.some((letters) => new Set(letters).size !== letters.length)) throw new Error(`Einsum "${node.name}" takes a diagonal, which is not followed`)
  return equation
}

/** Without an arrow: the letters that are there once, in alphabetical order. */
function implicit(left: string): string {
  const letters = [...left.replace(/,/g, '')]
  return letters.filter((l) => letters.indexOf(l) === letters.lastIndexOf(l)).sort().join('')
}

const rankOf = (v: Value): number => v.shape?.length ?? 0

const lengthOf = (node: Node, { operands }: Equation, letter: string): Dim => {
  const lengths = operands.map((letters, i) => inputOf(node, i).shape?.[letters.indexOf(letter)])
  return lengths.find((d) => d !== undefined && d !== 1) ?? lengths.find((d) => d !== undefined)
}

/** The product that gives `wanted`'s gradient; letters that only it has are repeated along. */
function gradientOf(b: Emitter, node: Node, equation: Equation, wanted: number, dy: Value): Value {
  const letters = equation.operands[wanted]!
  const other = equation.operands[1 - wanted]
  const there = [...letters].filter((l) => equation.result.includes(l) || other?.includes(l)).join('')
  const product = other === undefined
    ? b.op('Einsum', [dy], { equation: `${equation.result}->${there}` })
    : b.op('Einsum', [dy, inputOf(node, 1 - wanted)], { equation: `${equation.result},${other}->${there}` })
  if (there === letters) return product
  const dims = dimsOf(inputOf(node, wanted))
  const spread = b.reshape(product, dims.map((d, axis) => (there.includes(letters[axis]!) ? d : 1)))
  return b.op('Expand', [spread, b.ints(dims)])
}

const vjp: Vjp = (b, node, [dy]) => {
  if (!dy) return []
  const equation = productOf(node)
  return equation.operands.map((_, i) => () => gradientOf(b, node, equation, i, dy))
}

/** Axes of one letter are tied; a letter that the result lacks is summed over. */
const channels: ChannelRule = (node) => {
  const { operands, result } = productOf(node)
  const y = outputOf(node)
  const links: Link[] = []
  const contracts: AxisRef[] = []
  for (const letter of new Set(operands.join(''))) {
    const at = operands.flatMap((letters, i) => (letters.includes(letter) ? [ref(inputOf(node, i), letters.indexOf(letter))] : []))
    const lengths = at.map(({ value, axis }) => value.shape?.[axis])
    // A broadcast of length 1 is tied nowhere.
    if (lengths.some((d) => d !== lengths[0])) continue
    if (at[1]) links.push(link(at[0]!, at[1]))
    if (result.includes(letter)) links.push(link(at[0]!, ref(y, result.indexOf(letter))))
    else {
      const activations = at.filter((r) => !r.value.initializer)
      contracts.push(...(activations.length > 0 ? activations : at))
    }
  }
  return { links, contracts }
}

/** The axis of a constant second operand that is summed over with the first; -1 where there is none or more than one. */
function contractedAxis(node: Node): number {
  const { operands, result } = equationOf(node)
  const shared = [...(operands[1] ?? '')].filter((l) => operands[0]!.includes(l) && !result.includes(l))
  return shared.length === 1 ? operands[1]!.indexOf(shared[0]!) : -1
}

export const einsum: readonly OpDef[] = [
  {
    type: 'Einsum',
    shape: (node) => {
      const dtype = inputOf(node, 0).dtype
      if (presentInputs(node).some((v) => !v.shape)) return typed(dtype, undefined)
      const equation = equationOf(node)
      return typed(dtype, [...equation.result].map((letter) => lengthOf(node, equation, letter)))
    },
    vjp,
    channels,
    macs: (node) => {
      const { operands } = equationOf(node)
      const lengths = new Map(operands.flatMap((letters, i) => dimsOf(inputOf(node, i)).map((d, axis) => [letters[axis]!, d] as const)))
      return [...lengths.values()].reduce((n, d) => n * d, 1)
    },
    weights: [1],
    trainable: [0, 1],
    scored: { input: 1, axis: contractedAxis },
  },
]
