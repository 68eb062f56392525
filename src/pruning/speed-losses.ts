/** @file Where a pruned model loses speed: its time beside the unpruned one's share that its multiply-accumulates are, node by node. */
import { cloneModel } from '../ir/edit.ts'
import { type Model, type Node, staticShape } from '../ir/graph.ts'
import { fixShapes, modelCost } from '../passes/cost.ts'
import { foldConstants } from '../passes/fold-constants.ts'
import { sizeOf } from '../tensor/tensor.ts'

/** Milliseconds by node: of a model's own nodes, by their first outputs; of nodes that a runtime put in, by names of its own. */
export interface TimedNode {
  readonly name: string
  /** The operator that ran. */
  readonly type: string
  readonly ms: number
}

/**
 * One node. With r the share of multiply-accumulates that is left of the whole model and s the share of its work that is left of the node,
 * after - r before = (s - r) before + (after - s before): it was cut less than the whole, and it got slower at its work.
 */
export interface SpeedLoss {
  readonly name: string
  readonly type: string
  readonly before: number
  readonly after: number
  /** What its work is counted in; s is taken for r where there is nothing to count: of nodes that the runtime put in, and of those that one of the models has alone. */
  readonly work: 'macs' | 'elements' | 'runtime' | 'alone'
  readonly workBefore: number
  readonly workAfter: number
  /** (s - r) before, ms; negative where it was cut more than the whole. */
  readonly cutLess: number
  /** after - s before, ms. */
  readonly slower: number
}

export interface SpeedLosses {
  /** r */
  readonly left: number
  readonly before: number
  readonly after: number
  /** The greatest loss first. */
  readonly nodes: readonly SpeedLoss[]
}

export interface Timed {
  readonly model: Model
  readonly times: readonly TimedNode[]
}

/** The second is the first with channels cut. Throws UserError where work cannot be counted. */
export function speedLosses(before: Timed, after: Timed): SpeedLosses {
  const [works, worksAfter] = [workOf(before.model), workOf(after.model)]
  const left = total(worksAfter) / total(works)
  const [timesBefore, timesAfter] = [byKey(before, works), byKey(after, worksAfter)]
  const nodes = [...new Set([...timesBefore.keys(), ...timesAfter.keys()])].map((key): SpeedLoss => {
    const [b, a] = [timesBefore.get(key), timesAfter.get(key)]
    const [wb, wa] = [works.get(key), worksAfter.get(key)]
    const own = wb && wa && wb.amount > 0
    const share = own ? wa.amount / wb.amount : left
    const [was, is] = [b?.ms ?? 0, a?.ms ?? 0]
    return {
      name: key, type: (a ?? b)!.type, before: was, after: is, work: own ? wb.unit : wb || wa ? 'alone' : 'runtime', workBefore: own ? wb.amount : 0, workAfter: own ? wa.amount : 0,
      cutLess: (share - left) * was, slower: is - share * was,
    }
  })
  const sum = (key: 'before' | 'after'): number => nodes.reduce((s, n) => s + n[key], 0)
  return { left, before: sum('before'), after: sum('after'), nodes: nodes.sort((x, y) => lossOf(y) - lossOf(x)) }
}

export function lossOf({ cutLess, slower }: SpeedLoss): number {
  return cutLess + slower
}

interface Work {
  readonly unit: 'macs' | 'elements'
  readonly amount: number
}

function total(works: ReadonlyMap<string, Work>): number {
  let macs = 0
  for (const { unit, amount } of works.values()) if (unit === 'macs') macs += amount
  return macs
}

/** The work of each node by its first output. */
function workOf(model: Model): Map<string, Work> {
  const { model: copy } = cloneModel(model)
  fixShapes(copy)
  const macs = new Map(modelCost(copy).nodes.map((n) => [n.name, n.macs]))
  return new Map(foldConstants(copy).graph.nodes.flatMap((node): [string, Work][] => {
    const name = keyOf(node)
    if (name === undefined) return []
    const amount = macs.get(node.name || name)
    return [[name, amount ? { unit: 'macs', amount } : { unit: 'elements', amount: elements(node) }]]
  }))
}

const keyOf = (node: Node): string | undefined => node.outputs.find((v) => v)?.name

function elements(node: Node): number {
  return node.outputs.reduce((sum, v) => sum + sizeOf((v && staticShape(v)) ?? [0]), 0)
}

/** Times by the node that did the work; what the runtime put in itself, all of an operator together. */
function byKey({ model, times }: Timed, works: ReadonlyMap<string, Work>): Map<string, TimedNode> {
  const timed = new Set(times.map((t) => t.name))
  const nodes = new Map(model.graph.nodes.map((node) => [keyOf(node), node]))
  const found = new Map<string, TimedNode>()
  for (const t of times) {
    const node = nodes.get(t.name)
    const key = node && works.has(t.name) ? multiplierOf(node, timed, works) ?? t.name : `(${t.type}, the runtime's own)`
    const before = found.get(key)
    found.set(key, { ...t, name: key, ms: t.ms + (before?.ms ?? 0) })
  }
  return found
}

/** A layer that was fused with what follows it runs under the name of the last of them: the layer that multiplies, found back through nodes that did not run. */
function multiplierOf(node: Node, timed: ReadonlySet<string>, works: ReadonlyMap<string, Work>): string | undefined {
  if (works.get(keyOf(node) ?? '')?.unit === 'macs') return keyOf(node)
  for (const input of node.inputs) {
    const producer = input?.producer
    if (!producer || timed.has(keyOf(producer) ?? '')) continue
    const found = multiplierOf(producer, timed, works)
    if (found !== undefined) return found
  }
  return undefined
}
