/** @file Weights after a cut, without gradients: layer by layer, the least-squares fit to what the original computes there. */
import { CholeskyDecomposition, Matrix } from 'ml-matrix'
import type { Batch } from '../data/loader.ts'
import { cloneModel, setInitializer } from '../ir/edit.ts'
import { createModel, dimsOf, Graph, type Model, type Node, type Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import { Builder } from '../ops/builder.ts'
import { lookup } from '../ops/registry.ts'
import type { Runtime, SessionOptions, Tensors } from '../runtime/session.ts'
import { f32, floats, type Tensor } from '../tensor/tensor.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { imageFeeds, importDetector } from '../train/task.ts'
import { workingCopy } from '../train/working-copy.ts'
import type { PrunePlan } from './plan.ts'
import { resolvePlan } from './resolve-plan.ts'

export interface FitOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Full batches of one size; they are run through the models again for each layer. */
  readonly batches: readonly Batch[]
  readonly listener?: Listener
}

/** Pull towards the weights that the cut left, as a share of the inputs' mean square; it decides where the images say nothing. */
const ridge = 1e-2

/**
 * The cut model with weights and biases W of each layer behind a cut such that sum (F_b - X * W)^2 + ridge |W - W_C|^2 is least, F_b being the
 * original's output and X what reaches the layer in the cut model, whose earlier layers are fitted already, so that errors do not pile up (He, Zhang
 * and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, section 3.1, with equation 5's asymmetric target). In the order of
 * the network; nodes and shapes stay as they are. Layers that share weights with others are left.
 */
export async function fitWeights(original: Detector, cut: Detector, plan: PrunePlan, options: FitOptions): Promise<Model> {
  const { axes, kept } = resolvePlan(original.model, plan)
  const { model } = cloneModel(cut.model)
  const layers = fittable(model, new Set([...axes.keys()].map((v) => v.name)))
  options.listener?.({ type: 'phase', name: 'fit weights', total: layers.length, unit: 'layers' })
  const images = { batch: options.batches[0]!.samples.length, batches: options.batches }
  for (const [i, node] of layers.entries()) {
    const output = node.outputs[0]!.name
    await fitLayer(original, { ...cut, model }, { output, keep: kept({ value: valueNamed(original.model.graph, output), axis: 1 }) }, images, options)
    options.listener?.({ type: 'progress', done: i + 1, values: {} })
  }
  options.listener?.({ type: 'end', summary: 'least squares to the unpruned detector\'s features' })
  return model
}

/** A layer by the value that it computes, and which channels of the original's value it still has; undefined: all. */
export interface FittedLayer {
  readonly output: string
  readonly keep: readonly number[] | undefined
}

/** Full batches of one size. */
export interface FitImages {
  readonly batch: number
  readonly batches: Iterable<Batch> | AsyncIterable<Batch>
}

/** Puts the least-squares weights and biases of one layer (see fitWeights) into the initializers of `cut`'s own model. */
export async function fitLayer(original: Detector, cut: Detector, layer: FittedLayer, images: FitImages, options: Pick<FitOptions, 'runtime' | 'session'>): Promise<void> {
  solve(valueNamed(cut.model.graph, layer.output).producer!, await normalEquations(original, cut, layer, images, options))
}

/** Whether a node is a layer whose weights, its own alone, have a least-squares fit here. */
export function hasFit(node: Node): boolean {
  const own = (v: Value | undefined): boolean => v?.initializer !== undefined && v.uses.size === 1
  return lookup(node.opType, node.domain)?.regressors !== undefined && own(node.inputs[1]) && (node.inputs[2] === undefined || own(node.inputs[2]))
}

/** Layers whose input is not what it was, with weights of their own, in graph order. */
function fittable(model: Model, cutValues: ReadonlySet<string>): Node[] {
  const touched = new Set<Value>()
  return model.graph.nodes.filter((node) => {
    if (!node.inputs.some((v) => v && (touched.has(v) || (cutValues.has(v.name) && !v.initializer)))) return false
    for (const v of node.outputs) if (v) touched.add(v)
    return hasFit(node)
  })
}

/** X X^T and X F_b^T over all images and places, one of each for every group of the layer. */
interface NormalEquations {
  /** [G, D, D]; D inputs, the last of them 1 where there is a bias. */
  readonly gram: Tensor
  /** [G, D, M] for M outputs a group. */
  readonly right: Tensor
}

async function normalEquations(original: Detector, cut: Detector, { output, keep }: FittedLayer, { batch, batches }: FitImages, { runtime, session: options }: Pick<FitOptions, 'runtime' | 'session'>): Promise<NormalEquations> {
  const b = new Builder(new Graph('normal_equations'))
  const student = workingCopy(cut.model, batch)
  const node = valueNamed(student.graph, output).producer!
  const input = node.inputs[0]!
  const m = importDetector(b, student, batch, { wanted: [input] })
  const teacher = workingCopy(original.model, batch)
  const target = valueNamed(teacher.graph, output)
  const whole = importDetector(b, teacher, batch, { image: m.image, wanted: [target], prefix: 'original/' }).values.get(target)!
  const y = keep ? b.op('Gather', [whole, b.ints(keep)], { axis: 1 }) : whole
  let x = lookup(node.opType, node.domain)!.regressors!(b, node, m.values.get(input)!)
  const [n, groups, , places] = dimsOf(x) as [number, number, number, number]
  if (node.inputs[2]) x = b.op('Concat', [x, b.constant({ dtype: 'float32', dims: [n, groups, 1, places], data: new Float32Array(n * groups * places).fill(1) })], { axis: 2 })
  const rows = b.reshape(y, [n, groups, dimsOf(y)[1]! / groups, places])
  const product = (right: Value): Value => b.sum(b.op('MatMul', [x, b.transpose(right, [0, 1, 3, 2])]), [0])
  const names = { gram: b.output(product(x), 'gram').name, right: b.output(product(rows), 'right').name }
  const session = await runtime.load(createModel(b.graph, b.opset), options)
  try {
    let sums: { gram: Tensor; right: Tensor } | undefined
    for await (const data of batches) {
      const out: Tensors = await session.run(imageFeeds(cut.card, data))
      const found = { gram: out[names.gram]!, right: out[names.right]! }
      sums = sums ? { gram: added(sums.gram, found.gram), right: added(sums.right, found.right) } : found
    }
    return sums!
  } finally {
    await session.release()
  }
}

function added(a: Tensor, b: Tensor): Tensor {
  const more = floats(b)
  return { dtype: 'float32', dims: a.dims, data: floats(a).map((v, i) => v + more[i]!) }
}

/** Puts the fitted weights and biases into the node's initializers. */
function solve(node: Node, { gram, right }: NormalEquations): void {
  const [groups, d, m] = right.dims as [number, number, number]
  const [weight, bias] = [node.inputs[1]!, node.inputs[2]]
  const inputs = bias ? d - 1 : d
  const w = floats(weight.initializer!).slice()
  const offsets = bias && floats(bias.initializer!).slice()
  const at = (data: Float32Array, g: number, columns: number): Matrix => Matrix.from1DArray(d, columns, data.subarray(g * d * columns, (g + 1) * d * columns))
  for (let g = 0; g < groups; g++) {
    const a = at(floats(gram), g, d)
    const present = new Matrix(d, m)
    for (let o = 0; o < m; o++) {
      for (let i = 0; i < inputs; i++) present.set(i, o, w[(g * m + o) * inputs + i]!)
      if (offsets) present.set(inputs, o, offsets[g * m + o]!)
    }
    const residual = Matrix.sub(at(floats(right), g, m), a.mmul(present))
    const pull = (ridge * a.trace()) / d
    // Inputs that are always zero can be told nothing.
    if (pull === 0) continue
    const change = new CholeskyDecomposition(Matrix.add(a, Matrix.eye(d).mul(pull))).solve(residual)
    for (let o = 0; o < m; o++) {
      for (let i = 0; i < inputs; i++) w[(g * m + o) * inputs + i]! += change.get(i, o)
      if (offsets) offsets[g * m + o]! += change.get(inputs, o)
    }
  }
  setInitializer(weight, f32(w, weight.initializer!.dims))
  if (bias && offsets) setInitializer(bias, f32(offsets))
}
