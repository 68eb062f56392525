/** @file Lengths that a graph hands from one value's shape to the target of another: such a target follows a cut by itself. */
import { intAttribute } from '../ir/attributes.ts'
import { type Node, staticShape, type Value } from '../ir/graph.ts'
import type { AxisRef } from './define.ts'
import { intsOf, ref } from './rules.ts'
import { numbersOf, sliceIndices } from './shape-data.ts'

/** For every element of an op's result the input and the element it is taken from. */
type Picks = readonly { readonly input: number; readonly element: number }[]

/** Number of elements of a scalar or vector. */
function countOf(value: Value | undefined): number | undefined {
  const dims = value && staticShape(value)
  return dims && dims.length < 2 ? (dims[0] ?? 1) : undefined
}

function picksOf(node: Node): Picks | undefined {
  if (node.domain !== '') return undefined
  const count = countOf(node.inputs[0])
  if (count === undefined) return undefined
  const fromFirst = (elements: readonly number[] | undefined): Picks | undefined => elements?.map((element) => ({ input: 0, element }))
  switch (node.opType) {
    case 'Identity':
    case 'Cast':
    case 'Squeeze':
    case 'Unsqueeze':
      return fromFirst(Array.from({ length: count }, (_, i) => i))
    case 'Gather':
      return fromFirst(numbersOf(node.inputs[1])?.map((i) => (i < 0 ? i + count : i)))
    case 'Slice': {
      const [start] = intsOf(node, 'starts', 1) ?? []
      const [end] = intsOf(node, 'ends', 2) ?? []
      const [step] = node.inputs[4] ? (numbersOf(node.inputs[4]) ?? []) : [1]
      return start === undefined || end === undefined || step === undefined ? undefined : fromFirst(sliceIndices({ start, end, step }, count))
    }
    case 'Concat': {
      const counts = node.inputs.map(countOf)
      return counts.every((n) => n !== undefined) ? counts.flatMap((n, input) => Array.from({ length: n }, (_, element) => ({ input, element }))) : undefined
    }
    default:
      return undefined
  }
}

/** First and past-the-last axis that a Shape reads. */
export function shapeRange(node: Node, rank: number): [number, number] {
  const wrap = (i: number): number => Math.min(Math.max(i < 0 ? i + rank : i, 0), rank)
  const start = wrap(intAttribute(node, 'start', 0))
  return [start, Math.max(start, wrap(intAttribute(node, 'end', rank)))]
}

/** The axis whose length an element of a vector is, where it is handed on as it is. */
export function originOf(vector: Value | undefined, element: number): AxisRef | undefined {
  const node = vector?.producer
  if (!node || element < 0 || element >= (countOf(vector) ?? 0)) return undefined
  const [data] = node.inputs
  if (node.opType === 'Shape' && node.domain === '' && data?.shape) return ref(data, shapeRange(node, data.shape.length)[0] + element)
  const from = picksOf(node)?.[element]
  return from && originOf(node.inputs[from.input], from.element)
}

/** Inputs that say lengths and are read element by element: their op's channel rule ties the axes that the lengths come from. */
const targets: Readonly<Record<string, number>> = { Reshape: 1, Expand: 1, Resize: 3 }

/** True where an element of a vector goes to such targets alone, and nowhere else. */
export function onlyTargets(vector: Value, element: number): boolean {
  // What nobody reads in the graph is a result of it.
  return vector.uses.size > 0 && [...vector.uses].every(({ node, index }) => {
    if (node.domain === '' && targets[node.opType] === index) return true
    const picks = index === 0 || node.opType === 'Concat' ? picksOf(node) : undefined
    return picks !== undefined && picks.every(({ input, element: from }, to) => input !== index || from !== element || onlyTargets(node.outputs[0]!, to))
  })
}

/** The axes whose lengths stand in a vector. */
export function lengthsIn(vector: Value): AxisRef[] {
  return Array.from({ length: countOf(vector) ?? 0 }, (_, i) => originOf(vector, i)).filter((at) => at !== undefined)
}
