/** @file Optimizers as graphs: update rules that turn a weight, its gradient and its state into the next ones. */
import { dimsOf, type Value } from '../ir/graph.ts'
import type { Builder } from '../ops/builder.ts'
import { sizeOf } from '../tensor/tensor.ts'

export interface SgdOptions {
  readonly type: 'sgd'
  readonly momentum: number
  readonly nesterov?: boolean
  /** L2 penalty added to the gradient of weights of rank 2 and more (biases and BN parameters are left free). */
  readonly weightDecay?: number
  /** Gradients are scaled down together so that their joint L2 norm is at most this. */
  readonly clipNorm?: number
}

/** Adam (Kingma and Ba 2015, algorithm 1, with bias correction); weight decay as L2 like SGD's. */
export interface AdamOptions {
  readonly type: 'adam'
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  readonly weightDecay?: number
  readonly clipNorm?: number
  /**
   * The rate is relative to each weight's root mean square, 1e-3 at least (Shazeer and Stern, "Adafactor", 2018, section 8): where BatchNormalization
   * was folded into kernels, or images come as 0 to 255, weights differ in size by hundreds, and no one step fits them all.
   */
  readonly relative?: boolean
}

/** The least size of a weight in relative steps. */
const leastSize = 1e-3

export type OptimizerOptions = SgdOptions | AdamOptions

/** One piece of state: read as `current`, written as `next`; starts at zero. */
export interface StateUpdate {
  readonly current: Value
  readonly next: Value
}

export interface WeightUpdate {
  readonly next: Value
  readonly state: readonly StateUpdate[]
}

/** Adds the update of one weight; `lr` is a scalar, `step` the 1-based number of the step as a float scalar. */
export function updateWeight(b: Builder, options: OptimizerOptions, weight: Value, gradient: Value, lr: Value, step: Value): WeightUpdate {
  const decay = options.weightDecay ?? 0
  const g = decay > 0 && (weight.shape?.length ?? 0) >= 2 ? b.add(gradient, scaled(b, weight, b.scalar(decay))) : gradient
  const state = (suffix: string): Value => b.input(`${weight.name}/${suffix}`, 'float32', weight.shape ?? [])
  if (options.type === 'sgd') {
    if (options.momentum === 0) return { next: b.sub(weight, scaled(b, g, lr)), state: [] }
    // torch's form: v <- momentum v + g; w <- w - lr v (Nesterov: w - lr (g + momentum v)).
    const current = state('momentum')
    const velocity = b.add(scaled(b, current, b.scalar(options.momentum)), g)
    const direction = options.nesterov ? b.add(g, scaled(b, velocity, b.scalar(options.momentum))) : velocity
    return { next: b.sub(weight, scaled(b, direction, lr)), state: [{ current, next: velocity }] }
  }
  const beta1 = options.beta1 ?? 0.9
  const beta2 = options.beta2 ?? 0.999
  const m = state('adam-m')
  const v = state('adam-v')
  const nextM = b.add(scaled(b, m, b.scalar(beta1)), scaled(b, g, b.scalar(1 - beta1)))
  const nextV = b.add(scaled(b, v, b.scalar(beta2)), scaled(b, b.mul(g, g), b.scalar(1 - beta2)))
  const correct = (x: Value, beta: number): Value => scaled(b, x, b.op('Reciprocal', [b.sub(b.scalar(1), b.op('Pow', [b.scalar(beta), step]))]))
  const denominator = plus(b, b.op('Sqrt', [correct(nextV, beta2)]), b.scalar(options.epsilon ?? 1e-8))
  const direction = b.div(correct(nextM, beta1), denominator)
  const next = b.sub(weight, scaled(b, direction, options.relative ? b.mul(sizeOfWeight(b, weight), lr) : lr))
  return { next, state: [{ current: m, next: nextM }, { current: v, next: nextV }] }
}

/** v times a scalar. */
function scaled(b: Builder, v: Value, factor: Value): Value {
  return laidFlat(b, v, (flat) => b.mul(flat, factor))
}

/** v plus a scalar. */
function plus(b: Builder, v: Value, term: Value): Value {
  return laidFlat(b, v, (flat) => b.add(flat, term))
}

/** The runtime's loop over a tensor and a scalar goes by single elements where the dims end in ones, as those of 1x1 kernels do: 50 times slower. */
function laidFlat(b: Builder, v: Value, combine: (flat: Value) => Value): Value {
  const dims = dimsOf(v)
  return dims.at(-1) === 1 ? b.reshape(combine(b.reshape(v, [sizeOf(dims)])), dims) : combine(v)
}

function sizeOfWeight(b: Builder, weight: Value): Value {
  const square = b.op('ReduceMean', [b.mul(weight, weight)], { keepdims: 0 })
  return b.op('Max', [b.op('Sqrt', [square]), b.scalar(leastSize)])
}

/** Scales all gradients down together to a joint L2 norm of at most `limit`; also returns the norm before. */
export function clipByNorm(b: Builder, gradients: ReadonlyMap<Value, Value>, limit: number | undefined): { clipped: Map<Value, Value>; norm: Value } {
  let total: Value | undefined
  for (const g of gradients.values()) {
    const square = b.op('ReduceSumSquare', [g], { keepdims: 0 })
    total = total ? b.add(total, square) : square
  }
  const norm = b.op('Sqrt', [total ?? b.scalar(0)], {}, 'gradient_norm')
  if (limit === undefined) return { clipped: new Map(gradients), norm }
  const factor = b.op('Min', [b.scalar(1), b.div(b.scalar(limit), b.add(norm, b.scalar(1e-6)))])
  return { clipped: new Map([...gradients].map(([w, g]) => [w, scaled(b, g, factor)])), norm }
}
