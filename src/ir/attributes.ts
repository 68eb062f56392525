/** @file Reading and making attributes: plain numbers for rules, bigint inside. */
import type { Tensor } from '../tensor/tensor.ts'
import { Graph, type Attribute, type Node } from './graph.ts'

/** What builders may write: numbers become `int` when whole; say `{float: 1}` where a whole number is meant as a float. */
export type AttributeInit = number | boolean | string | readonly number[] | Tensor | Graph | { readonly float: number } | { readonly floats: readonly number[] }

export function toAttribute(init: AttributeInit): Attribute {
  if (typeof init === 'boolean') return { kind: 'int', value: init ? 1n : 0n }
  if (typeof init === 'number') return Number.isInteger(init) ? { kind: 'int', value: BigInt(init) } : { kind: 'float', value: init }
  if (typeof init === 'string') return { kind: 'string', value: init }
  if (init instanceof Graph) return { kind: 'graph', value: init }
  if (isNumbers(init)) return { kind: 'ints', value: init.map(BigInt) }
  if ('float' in init) return { kind: 'float', value: init.float }
  if ('floats' in init) return { kind: 'floats', value: init.floats }
  return { kind: 'tensor', value: init }
}

function isNumbers(init: object): init is readonly number[] {
  return Array.isArray(init)
}

function wrongKind(node: Node, name: string, wanted: string, got: string): Error {
  return new TypeError(`attribute "${name}" of ${node.opType} "${node.name}" is ${got}, ${wanted} was wanted`)
}

/** An integer attribute, or `fallback` when it is absent. */
export function intAttribute(node: Node, name: string, fallback: number): number {
  const a = node.attributes.get(name)
  if (!a) return fallback
  if (a.kind !== 'int') throw wrongKind(node, name, 'int', a.kind)
  return Number(a.value)
}

/** An integer list attribute, or undefined when it is absent. */
export function intsAttribute(node: Node, name: string): number[] | undefined {
  const a = node.attributes.get(name)
  if (!a) return undefined
  if (a.kind !== 'ints') throw wrongKind(node, name, 'ints', a.kind)
  return a.value.map(Number)
}

/** A float attribute, or `fallback` when it is absent. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const a = node.attributes.get(name)
  if (!a) return fallback
  if (a.kind !== 'float') throw wrongKind(node, name, 'float', a.kind)
  return a.value
}

/** A string attribute, or `fallback` when it is absent. */
export function stringAttribute(node: Node, name: string, fallback: string): string {
  const a = node.attributes.get(name)
  if (!a) return fallback
  if (a.kind !== 'string') throw wrongKind(node, name, 'string', a.kind)
  return a.value
}

/** A tensor attribute, or undefined when it is absent. */
export function tensorAttribute(node: Node, name: string): Tensor | undefined {
  const a = node.attributes.get(name)
  if (!a) return undefined
  if (a.kind !== 'tensor') throw wrongKind(node, name, 'tensor', a.kind)
  return a.value
}
