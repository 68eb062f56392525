/**
 * @file Backward elimination: the channel whose loss costs least goes, and what is left of its layers makes up for it as well as least squares can. The costs
 * are those of the optimal brain surgeon (Hassibi and Stork, NeurIPS 1992) on the Kronecker-factored curvature of each layer (as Wang et al., "EigenDamage", ICML 2019).
 */
import { indicesOf, type ChannelGroup } from '../groups.ts'
import { weightAxes, weightsOf } from '../criteria/criterion.ts'
import type { Node, Value } from '../../ir/graph.ts'
import { invertPositive } from './inverse.ts'
import type { Curvature, LayerCurvature } from './measure.ts'

/** Groups in which units go one after the other. */
export interface Elimination {
  /** What it would cost now to lose a unit: the growth of the squared error, once the kept weights are fitted anew. */
  cost(group: ChannelGroup, unit: number): number
  /** Lets a unit go: kept weights take over what they can, and later costs count from there. */
  remove(group: ChannelGroup, unit: number): void
  /** The weights as they are now, by name: kept inputs make up for those that went, which are 0. Biases change by `shift`, one a filter; undefined where the layer has none. */
  fitted(): ReadonlyMap<string, FittedWeight>
}

export interface FittedWeight {
  readonly weights: Float32Array
  readonly shift: Float32Array | undefined
}

/** Added to the diagonal of X X^T, as a share of its mean: what the images do not show is not trusted. */
const damping = 1e-2

/** One block of a weight: filters that read the same inputs. Rows one behind the other: a step goes over all of them, hundreds of times. */
interface Block {
  /** D */
  readonly inputs: number
  /** [D, D] inverse of the damped X X^T over the inputs that are left. */
  readonly inverse: Float64Array
  /** [M, D] the filters, fitted to the whole layer's outputs with the inputs that are left. */
  readonly filters: Float64Array
  /** [M] what a squared error of each filter's output costs; 0 once its output is gone. */
  readonly costs: Float64Array
}

interface Layer {
  readonly blocks: readonly Block[]
  /** Entries of a filter that one index of the consuming axis has. */
  readonly cells: number
  /** Entries of a filter; where the layer has a bias, blocks have one more input, which is always 1. */
  readonly depth: number
  readonly biased: boolean
}

/**
 * For channels that `groups` consist of, at the weights of their model. With H = (X X^T)^-1 of a layer and f_o the weight of its output o, losing the inputs S costs
 * sum_o f_o w_oS^T (H_SS)^-1 w_oS, added up over the layers that read the unit; then W <- W - W_S (H_SS)^-1 H_S and H <- H - H_S^T (H_SS)^-1 H_S.
 */
export function createElimination(groups: readonly ChannelGroup[], curvature: Curvature): Elimination {
  const layers = new Map<string, Layer>()
  for (const { node, member } of groups.flatMap((g) => g.consumers)) {
    const { name } = member.value
    if (!layers.has(name)) layers.set(name, layerOf(weightsOf(member), member.value.initializer!.dims, curvature.get(name)!, ownBias(node) !== undefined))
  }
  const read = (group: ChannelGroup, unit: number): { layer: Layer; inputs: number[] }[] => weightAxes(group.consumers).map((member) => {
    const layer = layers.get(member.value.name)!
    return { layer, inputs: indicesOf(member, [unit]).flatMap((index) => Array.from({ length: layer.cells }, (_, k) => index * layer.cells + k)) }
  })
  return {
    cost: (group, unit) => read(group, unit).reduce((sum, { layer, inputs }) => sum + layer.blocks.reduce((s, block) => s + costOf(block, inputs), 0), 0),
    remove(group, unit) {
      for (const { layer, inputs } of read(group, unit)) for (const block of layer.blocks) for (const input of inputs) drop(block, input)
      // What nobody computes any more needs no fit.
      for (const member of weightAxes(group.producers)) {
        const layer = layers.get(member.value.name)
        if (layer) for (const index of indicesOf(member, [unit])) forget(layer, index)
      }
    },
    fitted: () => new Map([...layers].map(([name, layer]) => [name, fittedOf(layer)])),
  }
}

/** The bias that is the layer's alone to change: one that others share, or that is computed, is not. */
export function ownBias({ inputs: [, , bias] }: Node): Value | undefined {
  return bias?.initializer && bias.uses.size === 1 ? bias : undefined
}

function fittedOf({ blocks, depth, biased }: Layer): FittedWeight {
  const rows = blocks.flatMap(({ filters, inputs, costs }) => Array.from(costs, (_, o) => filters.subarray(o * inputs, (o + 1) * inputs)))
  const weights = new Float32Array(rows.length * depth)
  rows.forEach((row, o) => weights.set(row.subarray(0, depth), o * depth))
  return { weights, shift: biased ? Float32Array.from(rows, (row) => row[depth]!) : undefined }
}

/** Inverses that are known: the choice of widths and that of channels start from the same, and they are what takes time. */
const known = new WeakMap<LayerCurvature, readonly Float64Array[]>()

function layerOf(weights: Float32Array, [filters = 0, channels = 1]: readonly number[], curvature: LayerCurvature, biased: boolean): Layer {
  const { inputs: measured, outputs } = curvature
  const depth = measured - 1
  const inputs = biased ? measured : depth
  const inverses = known.get(curvature) ?? invertedBlocks(curvature, inputs)
  known.set(curvature, inverses)
  const rows = filters / inverses.length
  const blocks = inverses.map((inverse, g): Block => {
    const own = new Float64Array(rows * inputs)
    for (let o = 0; o < rows; o++) for (let i = 0; i < depth; i++) own[o * inputs + i] = weights[(g * rows + o) * depth + i]!
    // What nothing hangs on, or no image shows, costs nothing.
    const costs = inverse.length > 0 ? outputs.slice(g * rows, (g + 1) * rows) : new Float64Array(rows)
    return { inputs, inverse: inverse.length > 0 ? inverse.slice() : identity(inputs), filters: own, costs }
  })
  return { blocks, cells: depth / channels, depth, biased }
}

/** [G] inverses of the damped X X^T over the first `inputs` inputs; empty where no image shows any. */
function invertedBlocks({ inputs: measured, gram }: LayerCurvature, inputs: number): Float64Array[] {
  const depth = measured - 1
  return Array.from({ length: gram.length / measured ** 2 }, (_, g) => {
    const at = (i: number, j: number): number => gram[g * measured ** 2 + i * measured + j]!
    let trace = 0
    for (let i = 0; i < depth; i++) trace += at(i, i)
    if (trace === 0) return new Float64Array(0)
    const added = (damping * trace) / depth
    // Single precision leaves the two halves apart by rounding.
    const damped = new Float64Array(inputs * inputs)
    for (let i = 0; i < inputs; i++) for (let j = 0; j < inputs; j++) damped[i * inputs + j] = (at(i, j) + at(j, i)) / 2 + (i === j ? added : 0)
    invertPositive(damped, inputs)
    return damped
  })
}

function identity(n: number): Float64Array {
  const out = new Float64Array(n * n)
  for (let i = 0; i < n; i++) out[i * n + i] = 1
  return out
}

function costOf({ inputs, inverse: h, filters, costs }: Block, gone: readonly number[]): number {
  const n = gone.length
  const inner = new Float64Array(n * n)
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) inner[i * n + j] = h[gone[i]! * inputs + gone[j]!]!
  invertPositive(inner, n)
  let sum = 0
  for (let o = 0; o < costs.length; o++) {
    if (costs[o] === 0) continue
    let form = 0
    for (let i = 0; i < n; i++) {
      let along = 0
      for (let j = 0; j < n; j++) along += inner[i * n + j]! * filters[o * inputs + gone[j]!]!
      form += along * filters[o * inputs + gone[i]!]!
    }
    sum += costs[o]! * form
  }
  return sum
}

/** Inputs that go together are dropped one after the other, which comes to the same. */
function drop({ inputs, inverse: h, filters }: Block, input: number): void {
  const row = h.slice(input * inputs, (input + 1) * inputs)
  const pivot = row[input]!
  for (const matrix of [filters, h]) {
    for (let from = 0; from < matrix.length; from += inputs) {
      const share = matrix[from + input]! / pivot
      if (share === 0) continue
      for (let j = 0; j < inputs; j++) matrix[from + j] = matrix[from + j]! - share * row[j]!
      matrix[from + input] = 0
    }
  }
  h.fill(0, input * inputs, (input + 1) * inputs)
  h[input * inputs + input] = 1
}

/** An output by its index among all filters of the weight. */
function forget({ blocks }: Layer, filter: number): void {
  const rows = blocks[0]!.costs.length
  blocks[Math.floor(filter / rows)]!.costs[filter % rows] = 0
}
