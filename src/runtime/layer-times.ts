/** @file How long single layers take on this machine: each in a small graph of its own, what a run costs anyway taken out. */
import { setAttribute } from '../ir/edit.ts'
import { type Attribute, createModel, dimsOf, Graph, type Model, type Node, type Value } from '../ir/graph.ts'
import { Builder, inferNode } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import { UserError } from '../tensor/error.ts'
import { createRng } from '../tensor/rng.ts'
import { f32, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { type Clock, measureLatency } from './latency.ts'
import type { Runtime, Session, SessionOptions } from './session.ts'

/** A node by what decides its time: operator, attributes, dims; not the values of its weights. */
export interface Layer {
  readonly node: Node
  readonly inputs: readonly ({ readonly dims: readonly number[]; readonly constant: boolean } | undefined)[]
  /** Attributes that follow from the dims. */
  readonly sized: Readonly<Record<string, number>>
}

/** The layer that `node` is with the dims that its values have now. Throws UserError where it is not in float32. */
export function layerOf(node: Node): Layer {
  const other = node.inputs.find((v) => v && v.dtype !== 'float32')
  if (other) throw new UserError(`layer "${node.name}" computes on ${other.dtype ?? 'an unknown type'} ("${other.name}"); layers are timed in float32 alone: profile the float32 model`)
  return {
    node,
    inputs: node.inputs.map((v) => v && { dims: dimsOf(v), constant: v.initializer !== undefined }),
    sized: lookup(node.opType, node.domain)?.sized?.(node) ?? {},
  }
}

/** Equal for layers that take the same time. */
export function layerKey({ node, inputs, sized }: Layer): string {
  const attributes = [...node.attributes].filter(([name]) => !(name in sized)).map(([name, a]) => `${name}=${attributeText(a)}`).sort()
  const set = Object.entries(sized).map(([name, value]) => `${name}=${value}`)
  const dims = inputs.map((v) => (v ? `${v.constant ? 'w' : 'x'}${v.dims.join('x')}` : '-'))
  return [node.opType, ...dims, ...attributes, ...set].join(' ')
}

/** For keys alone: lists with commas, tensors and graphs by their kind. */
function attributeText(a: Attribute): string {
  return typeof a.value === 'object' && !Array.isArray(a.value) ? a.kind : String(a.value)
}

/** Times that were measured before, by what was timed; milliseconds. */
export interface TimesCache {
  get(key: string): number | undefined
  set(key: string, ms: number): Promise<void>
}

/** Copies of a layer that the longer of the two graphs has more than the shorter. */
const copies = 2
/** What all timed runs of the longer graph may take, about. */
const budgetMs = 30
const runsAtLeast = 5
const runsAtMost = 25

export interface LayerTimesOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly clock?: Clock
}

/**
 * Milliseconds of one run of a layer within a graph: the time of a graph with 3 copies of it side by side, their outputs added up, less that of a
 * graph with one, divided by 2. So what a run costs anyway, feeding the input and changes of layout at the borders are taken out. The least of
 * several runs in turns: what disturbs a run only ever adds to it.
 */
export async function timeLayer(layer: Layer, { runtime, session, clock }: LayerTimesOptions): Promise<number> {
  const sessions: Session[] = []
  try {
    for (const count of [1, 1 + copies]) sessions.push(await runtime.load(layerModel(layer, count), session))
    const feeds = feedsOf(layer)
    const subjects = sessions.map((s) => ({ session: s, feeds }))
    const [, rough] = await measureLatency(subjects, { runs: 1, warmup: 1, clock })
    const runs = Math.min(runsAtMost, Math.max(runsAtLeast, Math.ceil(budgetMs / Math.max(rough!.minMs, 1e-3))))
    const [one, more] = await measureLatency(subjects, { runs, warmup: 0, clock })
    return Math.max(0, (more!.minMs - one!.minMs) / copies)
  } finally {
    for (const s of sessions) await s.release()
  }
}

const inputName = (index: number): string => `x${index}`

/** `count` copies of the layer with weights of their own, so that no runtime sees that they are the same. */
export function layerModel({ node, inputs, sized }: Layer, count: number): Model {
  const b = new Builder(new Graph('layer'))
  const rng = createRng('layer')
  const fed = inputs.map((v, i) => (v && !v.constant ? b.input(inputName(i), 'float32', v.dims) : undefined))
  const outputs = Array.from({ length: count }, (): Value => {
    const made = b.copy(node, inputs.map((v, i) => v && (fed[i] ?? b.constant(noise(v.dims, () => rng.normal()), 'w'))))
    for (const [name, value] of Object.entries(sized)) setAttribute(made, name, value)
    inferNode(made, b.opset)
    return made.outputs[0]!
  })
  b.output(outputs.reduce((sum, v) => b.add(sum, v)), 'sum')
  return createModel(b.graph, b.opset)
}

function feedsOf({ inputs }: Layer): Record<string, Tensor> {
  const rng = createRng('feeds')
  return Object.fromEntries(inputs.flatMap((v, i) => (v && !v.constant ? [[inputName(i), noise(v.dims, () => rng.normal())]] : [])))
}

function noise(dims: readonly number[], normal: () => number): Tensor {
  return f32(Float32Array.from({ length: sizeOf(dims) }, normal), dims)
}
