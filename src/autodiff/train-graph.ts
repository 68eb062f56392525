/** @file Training graphs: one `run` is one optimizer step. Weights, optimizer state and running statistics go in and come out. */
import { createModel, dimsOf, Graph, type Model, type Value } from '../ir/graph.ts'
import { Builder } from '../ops/builder.ts'
import { UserError } from '../tensor/error.ts'
import { gradients, type Objective } from './grad.ts'
import { clipByNorm, type OptimizerOptions, updateWeight } from './optimizers.ts'

/** What a loss builder hands over: what to minimise by what, what to report, what else changes with each run. */
export interface StepParts {
  /** Losses and the weights each of them trains; where objectives share a weight their gradients add up. */
  readonly objectives: readonly Objective[]
  /** Scalars to report after each step, by name. */
  readonly metrics: Readonly<Record<string, Value>>
  /** 0/1 factors on the gradients of some weights, applied before clipping: what is masked stays as it is. */
  readonly masks?: ReadonlyMap<Value, Value>
  /** State beside the weights (BN's running statistics). */
  readonly updates?: readonly { readonly state: Value; readonly next: Value }[]
}

/** A tensor that a step reads under one name and writes under another. */
export interface Slot {
  readonly input: string
  readonly output: string
  readonly dims: readonly number[]
  /** Weights and statistics come from the model; optimizer state starts at zero. */
  readonly kind: 'weight' | 'statistic' | 'optimizer'
}

export interface StepGraph {
  readonly model: Model
  readonly slots: readonly Slot[]
  readonly metrics: readonly string[]
}

/** Names of the scalar inputs of every step. */
export const learningRateInput = 'learning_rate'
export const stepInput = 'step_number'

/** Builds one optimizer step from a loss builder. Throws UserError when a weight gets no gradient from its objective. */
export function buildTrainStep(build: (b: Builder) => StepParts, optimizer: OptimizerOptions): StepGraph {
  const b = new Builder(new Graph('train_step'))
  const parts = build(b)
  const lr = b.input(learningRateInput, 'float32', [])
  const step = b.input(stepInput, 'float32', [])
  const total = gradients(b, parts.objectives)
  for (const { wrt } of parts.objectives) {
    for (const w of wrt) if (!total.has(w)) throw new UserError(`weight "${w.name}" does not influence the loss, so it cannot be trained; leave it frozen`)
  }
  for (const [weight, mask] of parts.masks ?? []) {
    const g = total.get(weight)
    if (g) total.set(weight, b.mul(g, mask))
  }
  const { clipped, norm } = clipByNorm(b, total, optimizer.clipNorm)
  const slots: Slot[] = []
  const slot = (current: Value, next: Value, kind: Slot['kind']): void => {
    const output = b.output(next.producer ? next : b.op('Identity', [next]), `${current.name}/next`)
    slots.push({ input: current.name, output: output.name, dims: dimsOf(current), kind })
  }
  for (const [weight, g] of clipped) {
    const update = updateWeight(b, optimizer, weight, g, lr, step)
    slot(weight, update.next, 'weight')
    for (const s of update.state) slot(s.current, s.next, 'optimizer')
  }
  for (const u of parts.updates ?? []) slot(u.state, u.next, 'statistic')
  const metrics = reportScalars(b, { ...parts.metrics, gradientNorm: norm })
  dropUnread(b, [learningRateInput, stepInput])
  return { model: createModel(b.graph, b.opset), slots, metrics }
}

/** A graph that only computes gradients, for selection: outputs `<objective>/<weight>` for each objective by name. */
export interface GradientGraph {
  readonly model: Model
  readonly outputs: readonly { readonly objective: string; readonly weight: string; readonly output: string; readonly dims: readonly number[] }[]
  readonly metrics: readonly string[]
}

/** Builds the gradients of named objectives, each kept apart (their norms are logged, their sum is the importance). */
export function buildGradientGraph(
  build: (b: Builder) => { objectives: Readonly<Record<string, readonly Objective[]>>; metrics: Readonly<Record<string, Value>> },
): GradientGraph {
  const b = new Builder(new Graph('gradients'))
  const parts = build(b)
  const outputs: { objective: string; weight: string; output: string; dims: readonly number[] }[] = []
  for (const [objective, list] of Object.entries(parts.objectives)) {
    for (const [weight, g] of gradients(b, list)) {
      const out = b.output(b.op('Identity', [g]), `${objective}/${weight.name}`)
      outputs.push({ objective, weight: weight.name, output: out.name, dims: dimsOf(weight) })
    }
  }
  return { model: createModel(b.graph, b.opset), outputs, metrics: reportScalars(b, parts.metrics) }
}

function reportScalars(b: Builder, metrics: Readonly<Record<string, Value>>): string[] {
  return Object.entries(metrics).map(([name, v]) => b.output(b.op('Identity', [v]), `metric/${name}`).name)
}

/** Inputs nobody reads (SGD needs no step number) would only have to be fed. */
function dropUnread(b: Builder, names: readonly string[]): void {
  for (const name of names) {
    const at = b.graph.inputs.findIndex((v) => v.name === name && v.uses.size === 0)
    if (at >= 0) b.graph.inputs.splice(at, 1)
  }
}
