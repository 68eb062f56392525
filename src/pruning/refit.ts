/** @file How much of a cut's harm is left once the layers behind it are fitted anew: lost channels that the kept ones foretell are no loss. */
import { CholeskyDecomposition, inverse, Matrix } from 'ml-matrix'
import type { Batch } from '../data/loader.ts'
import { createModel, dimsOf, Graph, type Node } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import { Builder } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import { floats } from '../tensor/tensor.ts'
import type { Detector } from '../train/detector.ts'
import { imageFeeds, importDetector } from '../train/task.ts'
import { workingCopy } from '../train/working-copy.ts'
import { type ChannelGroup, indicesOf, type WeightUse } from './groups.ts'
import { ridge } from './least-squares.ts'

export interface RefitOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Full batches of one size. */
  readonly batches: readonly Batch[]
}

/** Inputs of a layer beyond which its normal equations would take longer than they are worth. */
const mostInputs = 2400

/**
 * For units of a group that are removed: the squared error of the outputs of its consumers with the rest fitted anew by least squares, over the
 * error when they are set to zero; 0: the others foretell them, 1: nothing can be made up. With X X^T = G and H = (G + r)^-1, for removed inputs S the
 * two are tr W_S^T (H_SS)^-1 W_S (the Schur complement, as in Hassibi and Stork's Optimal Brain Surgeon, 1993) and tr W_S^T G_SS W_S.
 */
export async function refitShares(detector: Detector, groups: readonly ChannelGroup[], options: RefitOptions): Promise<(group: ChannelGroup, removed: readonly number[]) => number> {
  const uses = groups.flatMap((g) => g.consumers).filter(({ node }) => isPlain(node))
  const layers = await inputMoments(detector, [...new Set(uses.map((u) => u.node))], options)
  return (group, removed) => {
    let [zero, refit] = [0, 0]
    for (const use of group.consumers) {
      const moments = layers.get(use.node)
      // What is not known counts as not made up for.
      const part = moments ? damage(use, moments, removed) : { zero: 1, refit: 1 }
      zero += part.zero
      refit += part.refit
    }
    return zero > 0 ? Math.min(1, refit / zero) : 1
  }
}

/** A convolution without groups, of a size that can be solved. */
function isPlain(node: Node): boolean {
  if (lookup(node.opType, node.domain)?.regressors === undefined) return false
  const [, perGroup = 1, ...kernel] = dimsOf(node.inputs[1]!)
  return node.inputs[0]!.shape?.[1] === perGroup && perGroup * kernel.reduce((a, b) => a * b, 1) <= mostInputs
}

interface Moments {
  /** X X^T with a row of ones at the end, and its inverse, regularised. */
  readonly gram: Matrix
  readonly inverse: Matrix
  /** Sum of the squares of the layer's outputs, without the bias. */
  readonly energy: number
}

/** Of the layers' inputs over all images and places. */
async function inputMoments(detector: Detector, layers: readonly Node[], { runtime, session: options, batches }: RefitOptions): Promise<Map<Node, Moments>> {
  if (layers.length === 0) return new Map()
  const b = new Builder(new Graph('input_moments'))
  const batch = batches[0]!.samples.length
  const working = workingCopy(detector.model, batch)
  const copies = layers.map((node) => valueNamed(working.graph, node.outputs[0]!.name).producer!)
  const imported = importDetector(b, working, batch, { wanted: copies.map((node) => node.inputs[0]!) })
  const names = copies.map((node, i) => {
    const x = lookup(node.opType, node.domain)!.regressors!(b, node, imported.values.get(node.inputs[0]!)!)
    const [n, , , places] = dimsOf(x) as [number, number, number, number]
    const ones = b.constant({ dtype: 'float32', dims: [n, 1, 1, places], data: new Float32Array(n * places).fill(1) })
    const rows = b.op('Concat', [x, ones], { axis: 2 })
    return b.output(b.sum(b.op('MatMul', [rows, b.transpose(rows, [0, 1, 3, 2])]), [0, 1]), `gram_${i}`).name
  })
  const sums = new Map<string, Float64Array>()
  const session = await runtime.load(createModel(b.graph, b.opset), options)
  try {
    for (const data of batches) {
      const out = await session.run(imageFeeds(detector.card, data))
      for (const name of names) {
        const found = floats(out[name]!)
        const sum = sums.get(name) ?? new Float64Array(found.length)
        sums.set(name, sum)
        for (let i = 0; i < sum.length; i++) sum[i]! += found[i]!
      }
    }
  } finally {
    await session.release()
  }
  return new Map(layers.map((node, i) => [node, momentsOf(node, sums.get(names[i]!)!)]))
}

function momentsOf(node: Node, sum: Float64Array): Moments {
  const d = Math.sqrt(sum.length)
  const gram = Matrix.from1DArray(d, d, sum)
  const pull = Math.max((ridge * gram.trace()) / d, Number.MIN_VALUE)
  const whole = Array.from({ length: d - 1 }, (_, i) => i)
  const h = inverse(Matrix.add(gram, Matrix.eye(d).mul(pull)))
  // Of a symmetric matrix up to rounding, which the decomposition does not take.
  return { gram, inverse: Matrix.add(h, h.transpose()).mul(0.5), energy: quadratic(weightsOf(node, whole), gram.selection(whole, whole)) }
}

/** The squared errors of a consumer's outputs, relative to their size. */
function damage({ node, member }: WeightUse, { gram, inverse: h, energy }: Moments, removed: readonly number[]): { zero: number; refit: number } {
  const [, perGroup = 1] = dimsOf(node.inputs[1]!)
  const cells = (gram.rows - 1) / perGroup
  const inputs = indicesOf(member, removed).flatMap((channel) => Array.from({ length: cells }, (_, i) => channel * cells + i))
  if (energy === 0 || inputs.length === 0) return { zero: 0, refit: 0 }
  const w = weightsOf(node, inputs)
  const refit = new CholeskyDecomposition(h.selection(inputs, inputs)).solve(w)
  return { zero: quadratic(w, gram.selection(inputs, inputs)) / energy, refit: Matrix.mul(w, refit).sum() / energy }
}

/** [inputs, outputs] */
function weightsOf(node: Node, inputs: readonly number[]): Matrix {
  const w = floats(node.inputs[1]!.initializer!)
  const outputs = dimsOf(node.inputs[1]!)[0]!
  const width = w.length / outputs
  const m = new Matrix(inputs.length, outputs)
  inputs.forEach((input, i) => {
    for (let o = 0; o < outputs; o++) m.set(i, o, w[o * width + input]!)
  })
  return m
}

/** tr W^T A W */
function quadratic(w: Matrix, a: Matrix): number {
  return Matrix.mul(w, a.mmul(w)).sum()
}
