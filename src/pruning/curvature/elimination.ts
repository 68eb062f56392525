/**
 * @file Backward elimination: the channel whose loss costs least goes, and what is left of its layers makes up for it as well as least squares can. The costs
 * are those of the optimal brain surgeon (Hassibi and Stork, NeurIPS 1992) on the Kronecker-factored curvature of each layer (as Wang et al., "EigenDamage", ICML 2019).
 */
import { inverse, Matrix } from 'ml-matrix'
import { indicesOf, type ChannelGroup } from '../groups.ts'
import { weightAxes, weightsOf } from '../criteria/criterion.ts'
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

/** One block of a weight: filters [M, D] that read the same D inputs. */
interface Block {
  /** Inverse of the damped X X^T over the inputs that are left. */
  readonly inverse: Matrix
  /** The filters, fitted to the whole layer's outputs with the inputs that are left. */
  readonly filters: Matrix
  /** What a squared error of each filter's output costs; 0 once its output is gone. */
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
    if (!layers.has(name)) layers.set(name, layerOf(weightsOf(member), member.value.initializer!.dims, curvature.get(name)!, node.inputs[2] !== undefined))
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

function fittedOf({ blocks, depth, biased }: Layer): FittedWeight {
  const rows = blocks.flatMap(({ filters }) => Array.from({ length: filters.rows }, (_, o) => filters.getRow(o)))
  return { weights: Float32Array.from(rows.flatMap((row) => row.slice(0, depth))), shift: biased ? Float32Array.from(rows, (row) => row[depth]!) : undefined }
}

function layerOf(weights: Float32Array, [filters = 0, channels = 1]: readonly number[], { inputs, gram, outputs }: LayerCurvature, biased: boolean): Layer {
  const groups = gram.length / inputs ** 2
  const [rows, depth] = [filters / groups, inputs - 1]
  const blocks = Array.from({ length: groups }, (_, g): Block => {
    const at = (i: number, j: number): number => gram[g * inputs ** 2 + i * inputs + j]!
    let trace = 0
    for (let i = 0; i < depth; i++) trace += at(i, i)
    const added = (damping * trace) / depth
    const own = biased ? inputs : depth
    // Single precision leaves the two halves apart by rounding.
    const damped = new Matrix(own, own)
    for (let i = 0; i < own; i++) for (let j = 0; j < own; j++) damped.set(i, j, (at(i, j) + at(j, i)) / 2 + (i === j ? added : 0))
    const filterRows = new Matrix(rows, own)
    for (let o = 0; o < rows; o++) for (let i = 0; i < depth; i++) filterRows.set(o, i, weights[(g * rows + o) * depth + i]!)
    return { inverse: trace > 0 ? inverse(damped) : Matrix.eye(own), filters: filterRows, costs: trace > 0 ? outputs.slice(g * rows, (g + 1) * rows) : new Float64Array(rows) }
  })
  return { blocks, cells: depth / channels, depth, biased }
}

/** Inputs that go together are taken one after the other: their costs add up to the cost of all. */
function costOf(block: Block, inputs: readonly number[]): number {
  if (inputs.length === 1) return single(block, inputs[0]!)
  const inner = inverse(block.inverse.selection([...inputs], [...inputs]))
  let sum = 0
  block.costs.forEach((cost, o) => {
    if (cost === 0) return
    const w = inputs.map((i) => block.filters.get(o, i))
    for (let i = 0; i < w.length; i++) for (let j = 0; j < w.length; j++) sum += cost * w[i]! * inner.get(i, j) * w[j]!
  })
  return sum
}

function single({ inverse: h, filters, costs }: Block, input: number): number {
  let sum = 0
  for (let o = 0; o < costs.length; o++) sum += costs[o]! * filters.get(o, input) ** 2
  return sum / h.get(input, input)
}

function drop({ inverse: h, filters }: Block, input: number): void {
  const row = h.getRow(input)
  const pivot = row[input]!
  for (const [matrix, rows] of [[filters, filters.rows], [h, h.rows]] as const) {
    for (let o = 0; o < rows; o++) {
      const share = matrix.get(o, input) / pivot
      if (share === 0) continue
      for (let j = 0; j < row.length; j++) matrix.set(o, j, matrix.get(o, j) - share * row[j]!)
      matrix.set(o, input, 0)
    }
  }
  for (let j = 0; j < row.length; j++) h.set(input, j, 0)
  h.set(input, input, 1)
}

/** An output by its index among all filters of the weight. */
function forget({ blocks }: Layer, filter: number): void {
  const rows = blocks[0]!.costs.length
  blocks[Math.floor(filter / rows)]!.costs[filter % rows] = 0
}
