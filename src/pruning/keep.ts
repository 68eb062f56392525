/** @file Layers that the user wants left as they are: patterns of names, and the groups that they keep whole. */
import type { Model } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'
import { type ChannelGroup, nodeName } from './groups.ts'

/** Names that a message offers in place of one that matches nothing. */
const mostOffered = 5

/**
 * The groups that no pattern touches. A pattern is a name, of a node, a weight or a group, in which each `*` stands for any letters. A group is touched
 * where its id matches, or a node or a weight that any of its channels passes through: a layer that is kept loses neither outputs nor inputs.
 * Throws UserError for a pattern that matches no name of the model.
 */
export function withoutKept(model: Model, groups: readonly ChannelGroup[], patterns: readonly string[]): ChannelGroup[] {
  if (patterns.length === 0) return [...groups]
  const names = new Set([...groups.map((g) => g.id), ...model.graph.nodes.map(nodeName), ...model.graph.initializers.map((v) => v.name)])
  const matchers = patterns.map(matcherOf)
  for (const [i, pattern] of patterns.entries()) {
    if (![...names].some(matchers[i]!)) throw new UserError(`--keep "${pattern}" matches no node, weight or channel group of the model; near it are ${nearest(pattern, names).join(', ')} (see inspect; * stands for any letters)`)
  }
  const kept = (name: string): boolean => matchers.some((matches) => matches(name))
  return groups.filter((g) => ![...namesOf(g)].some(kept))
}

/** The id of a group, its weights, and the nodes that its channels pass through. */
function namesOf(group: ChannelGroup): Set<string> {
  const names = new Set([group.id])
  for (const { value } of group.members) {
    if (value.initializer) names.add(value.name)
    if (value.producer) names.add(nodeName(value.producer))
    for (const { node } of value.uses) names.add(nodeName(node))
  }
  return names
}

function matcherOf(pattern: string): (name: string) => boolean {
  const expression = new RegExp(`^${pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')).join('.*')}$`, 's')
  return (name) => expression.test(name)
}

/** The names that differ least from a pattern. */
function nearest(pattern: string, names: Iterable<string>): string[] {
  const wanted = pattern.replaceAll('*', '').toLowerCase()
  const distances = [...names].filter((name) => name !== '').map((name) => ({ name, distance: editDistance(wanted, name.toLowerCase()) }))
  return distances.sort((a, b) => a.distance - b.distance).slice(0, mostOffered).map(({ name }) => `"${name}"`)
}

/** Letters to insert, remove or replace to make one text of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
