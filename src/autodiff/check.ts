/** @file Gradient check: one random direction, float32 kernels, contraction in float64 (as jax's check_grads). */
import { createModel, dimsOf, Graph, type Model, type Value } from '../ir/graph.ts'
import { Builder } from '../ops/builder.ts'
import type { Rng } from '../tensor/rng.ts'
import { f32, floats, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { pullBack } from './grad.ts'

/** Executes a model; handed in, so that the check knows no runtime. */
export type Run = (model: Model, feeds: Record<string, Tensor>) => Promise<Readonly<Record<string, Tensor>>>

export interface GradientCheck {
  /** Builds the function under test from its inputs; its (float) results are all contracted. */
  readonly build: (b: Builder, inputs: readonly Value[]) => Value | readonly Value[]
  readonly inputs: readonly Tensor[]
  /** Indices of inputs to differentiate by; default: every float32 one. */
  readonly by?: readonly number[]
  readonly run: Run
  readonly rng: Rng
  /** Half step of the central difference; default 1e-2 of a unit direction (float32 wants it large). */
  readonly step?: number
}

/** Relative error between the analytic directional derivative and the central difference, along one random direction per checked input; the worst. */
export async function checkGradient(check: GradientCheck): Promise<{ worst: number; perInput: number[] }> {
  const { inputs, rng } = check
  const by = check.by ?? inputs.flatMap((t, i) => (t.dtype === 'float32' ? [i] : []))
  const forward = buildForward(check)
  const b = new Builder(forward.graph)
  const cotangents = forward.outputs.map((y, k) => ({ y, name: `cotangent${k}`, value: random(dimsOf(y), rng) }))
  const wrt = by.map((i) => forward.inputs[i]!)
  const seeds = new Map(cotangents.map((c) => [c.y, b.input(c.name, 'float32', dimsOf(c.y))]))
  const grads = pullBack(b, seeds, wrt)
  const names = by.map((i) => forward.inputs[i]!.name)
  wrt.forEach((v, k) => {
    const g = grads.get(v)
    if (!g) throw new Error(`no gradient reaches input ${by[k]}`)
    b.output(b.op('Identity', [g], {}, `gradient_${names[k]}`))
  })
  const feeds = Object.fromEntries(inputs.map((t, i) => [forward.inputs[i]!.name, t]))
  const withSeeds = { ...feeds, ...Object.fromEntries(cotangents.map((c) => [c.name, c.value])) }
  const results = await check.run(createModel(forward.graph, b.opset), withSeeds)
  const plain = buildForward(check)
  const model = createModel(plain.graph, b.opset)
  const contracted = async (at: Record<string, Tensor>): Promise<number> => {
    const out = await check.run(model, at)
    return plain.outputs.reduce((total, y, k) => total + dot(out[y.name]!, cotangents[k]!.value), 0)
  }
  const perInput: number[] = []
  for (const [k, i] of by.entries()) {
    const x = inputs[i]!
    const direction = random(x.dims, rng)
    const h = check.step ?? 1e-2
    const plus = await contracted({ ...feeds, [names[k]!]: shifted(x, direction, h) })
    const minus = await contracted({ ...feeds, [names[k]!]: shifted(x, direction, -h) })
    const numeric = (plus - minus) / (2 * h)
    const g = results[`gradient_${names[k]}`]!
    const analytic = dot(g, direction)
    // Scaled by the size of the summands: two directions that nearly cancel would make rounding look like a fault.
    const scale = Math.max(Math.abs(numeric), Math.abs(analytic), 0.05 * norm(g) * norm(direction) / Math.sqrt(sizeOf(x.dims)), 1e-6)
    perInput.push(Math.abs(numeric - analytic) / scale)
  }
  return { worst: Math.max(...perInput), perInput }
}

function buildForward(check: GradientCheck): { graph: Graph; inputs: Value[]; outputs: Value[] } {
  const graph = new Graph('check')
  const b = new Builder(graph)
  const inputs = check.inputs.map((t, i) => b.input(`x${i}`, t.dtype, t.dims))
  const made = check.build(b, inputs)
  const results: readonly Value[] = Array.isArray(made) ? made : [made as Value]
  for (const v of results) b.output(v)
  return { graph, inputs, outputs: [...results] }
}

function random(dims: readonly number[], rng: Rng): Tensor {
  return f32(Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()), dims)
}

function shifted(x: Tensor, direction: Tensor, h: number): Tensor {
  const d = floats(direction)
  return f32(floats(x).map((v, i) => v + h * d[i]!), x.dims)
}

function dot(a: Tensor, b: Tensor): number {
  const y = floats(b)
  let total = 0
  floats(a).forEach((v, i) => (total += v * y[i]!))
  return total
}

function norm(t: Tensor): number {
  return Math.sqrt(dot(t, t))
}
