/** @file Gradients of the joint loss by the layers' weights, accumulated over the selection images; and their update. */
import { buildGradientGraph, buildTrainStep, type GradientGraph } from '../../autodiff/train-graph.ts'
import type { Objective } from '../../autodiff/grad.ts'
import type { Value } from '../../ir/graph.ts'
import type { Builder } from '../../ops/builder.ts'
import type { Session } from '../../runtime/session.ts'
import { UserError } from '../../tensor/error.ts'
import { floats, type Tensor } from '../../tensor/tensor.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import type { Detector } from '../../train/detector.ts'
import { cosineRate } from '../../train/schedule.ts'
import { createTrainStep, trainingMemory, type TrainStep } from '../../train/step.ts'
import { initializerOf } from '../../train/train.ts'
import { workingCopy } from '../../train/working-copy.ts'
import { addJointLoss, type JointLoss, type Layer } from './joint-loss.ts'
import { perM, sweepOf } from './options.ts'
import { jointFeeds, judgeOf, type Workspace } from './workspace.ts'

/** L_re trains its own layer only: what it would do to earlier layers is their own L_re's business. */
function objectives(b: Builder, joint: JointLoss, reconstruction: boolean, weightOfAux: number): { re: Objective[]; a: Objective[] } {
  const re = reconstruction ? [...joint.reconstruction].map(([name, loss]) => ({ loss, wrt: [joint.weights.get(name)!] })) : []
  const loss = b.mul(b.add(joint.classification, joint.localization), b.scalar(weightOfAux))
  return { re, a: weightOfAux > 0 ? [{ loss, wrt: [...joint.weights.values()] }] : [] }
}

/** Name of the input that masks a weight's gradient. */
function maskInput(weight: string): string {
  return `mask/${weight}`
}

function sumOf(b: Builder, values: Iterable<Value>): Value {
  let total: Value | undefined
  for (const v of values) total = total ? b.add(total, v) : v
  return total ?? b.scalar(0)
}

export interface Scores {
  /** d(L_re + alpha L_a)/dW by weight, accumulated. */
  readonly gradients: ReadonlyMap<string, Float32Array>
  /** Norms of the accumulated parts, by weight. */
  readonly norms: ReadonlyMap<string, { readonly reconstruction: number; readonly localization: number }>
  /** Mean losses over the selection images. */
  readonly losses: { readonly reconstruction: number; readonly classification: number; readonly localization: number }
}

export interface Scorer {
  /** One pass over the selection images at the given weights. */
  accumulate(weights: (name: string) => Tensor): Promise<Scores>
  release(): Promise<void>
}

/** A session that accumulates gradients for `layers` of the working copy. */
export async function createScorer(w: Workspace, working: Detector, layers: readonly Layer[], aux: AuxTask | undefined): Promise<Scorer> {
  const { batch, alpha, reconstruction } = w.options
  const judge = judgeOf(w, aux)
  const model = workingCopy(working.model, batch)
  const graph: GradientGraph = buildGradientGraph((b) => {
    const joint = addJointLoss(b, { working: model, baseline: w.baselineGraph, layers, batch, judge })
    const { re, a } = objectives(b, joint, reconstruction, alpha)
    return {
      objectives: { re, a },
      metrics: { reconstruction: sumOf(b, joint.reconstruction.values()), classification: joint.classification, localization: joint.localization },
    }
  })
  const session: Session = await w.runtime.load(graph.model, { ...trainingMemory, ...w.session })
  const feeds = jointFeeds(w, judge)
  return {
    async accumulate(weights) {
      const sums = new Map(graph.outputs.map((o) => [o.output, new Float32Array(o.dims.reduce((x, y) => x * y, 1))]))
      const losses = { reconstruction: 0, classification: 0, localization: 0 }
      const given = Object.fromEntries(layers.map((l) => [l.weight, weights(l.weight)]))
      let count = 0
      w.listener?.({ type: 'phase', name: `stage ${aux?.stageEnd ?? 'outputs'}: score ${layers.length} layers`, total: w.selection.batches, unit: 'batches' })
      for await (const data of w.selection.epoch(0)) {
        const out = await session.run({ ...given, ...(await feeds(data, `${w.seed}/selection`)) })
        for (const [name, sum] of sums) {
          const g = floats(out[name]!)
          for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + g[i]!
        }
        for (const key of ['reconstruction', 'classification', 'localization'] as const) losses[key] += floats(out[`metric/${key}`]!)[0]!
        count += 1
        w.passes.selection += batch
        w.listener?.({ type: 'progress', done: count, values: { images: count * batch } })
      }
      const norms = new Map(layers.map((l) => [l.weight, { reconstruction: 0, localization: 0 }]))
      const gradients = new Map<string, Float32Array>()
      for (const { objective, weight, output } of graph.outputs) {
        const sum = sums.get(output)!
        norms.get(weight)![objective === 're' ? 'reconstruction' : 'localization'] = Math.sqrt(sum.reduce((t, v) => t + v * v, 0))
        const before = gradients.get(weight)
        gradients.set(weight, before ? before.map((v, i) => v + sum[i]!) : sum)
      }
      for (const key of ['reconstruction', 'classification', 'localization'] as const) losses[key] /= count
      for (const [weight, n] of norms) {
        if (!Number.isFinite(n.reconstruction + n.localization)) throw new UserError(`the gradient by "${weight}" is not finite, so its channels cannot be ranked; is the detector trained?`)
        w.listener?.({ type: 'note', text: `gradient norms of ${weight}: L_re ${n.reconstruction.toPrecision(3)}, alpha L_a ${n.localization.toPrecision(3)}` })
      }
      w.listener?.({ type: 'end', summary: `L_re ${losses.reconstruction.toPrecision(3)}, L_ac ${losses.classification.toFixed(3)}, L_ar ${losses.localization.toFixed(3)}` })
      return { gradients, norms, losses }
    },
    release: () => session.release(),
  }
}

export interface Updater {
  /** Trains the layers' weights on L_re + gamma L_a for `epochs`; returns the mean loss of the last one. `masks`: 0/1 factors on the gradients, by weight. */
  run(epochs: number, round: number, masks?: ReadonlyMap<string, Tensor>): Promise<number>
  readonly step: TrainStep
  release(): Promise<void>
}

export interface UpdateOptions {
  /** Starting weights; default: the working copy's. */
  readonly initial?: (name: string) => Tensor
  /** Dims of the gradient masks that each run is given, by weight; default: none are used. */
  readonly masks?: ReadonlyMap<string, readonly number[]>
}

/** A session that updates the weights of `layers`, BN frozen. */
export async function createUpdater(w: Workspace, working: Detector, layers: readonly Layer[], aux: AuxTask | undefined, { initial = initializerOf(working.model), masks }: UpdateOptions = {}): Promise<Updater> {
  const { batch, reconstruction } = w.options
  const gamma = w.options.gamma ?? (aux ? perM(w.options.aux) : 1)
  const judge = judgeOf(w, aux)
  const model = workingCopy(working.model, batch)
  const graph = buildTrainStep((b) => {
    const joint = addJointLoss(b, { working: model, baseline: w.baselineGraph, layers, batch, judge })
    const { re, a } = objectives(b, joint, reconstruction, gamma)
    const loss = sumOf(b, [...re, ...a].map((o) => o.loss))
    const factors = [...(masks ?? [])].map(([weight, dims]) => [joint.weights.get(weight)!, b.input(maskInput(weight), 'float32', dims)] as const)
    return { objectives: [...re, ...a], metrics: { loss }, masks: new Map(factors) }
  }, { type: 'sgd', momentum: 0.9, clipNorm: w.options.updateClip })
  const step = await createTrainStep(w.runtime, graph, initial, w.session)
  const feeds = jointFeeds(w, judge)
  // A stage is updated on the training images; a single layer, or a round of greedy selection, on the images that score it.
  const loader = sweepOf(w.options) === 'stage' ? w.training : w.selection
  return {
    step,
    async run(epochs, round, given) {
      const factors = Object.fromEntries([...(given ?? [])].map(([weight, mask]) => [maskInput(weight), mask]))
      const steps = epochs * loader.batches
      let mean = 0
      let done = 0
      w.listener?.({ type: 'phase', name: `stage ${aux?.stageEnd ?? 'outputs'}: update ${layers.length} layers`, total: steps, unit: 'steps' })
      for (let epoch = 0; epoch < epochs; epoch++) {
        let sum = 0
        let count = 0
        for await (const data of loader.epoch(1000 * round + 500 + epoch)) {
          const metrics = await step.run({ ...factors, ...(await feeds(data, `${w.seed}/${round}/update/${epoch}`)) }, cosineRate(done, { rate: w.options.updateRate, steps, warmup: 0 }))
          sum += metrics.loss!
          done += 1
          count += 1
          w.passes.update += batch
          w.listener?.({ type: 'progress', done, values: { loss: metrics.loss!, images: done * batch } })
        }
        mean = sum / count
      }
      w.listener?.({ type: 'end', summary: `loss ${mean.toPrecision(3)}` })
      return mean
    },
    release: () => step.release(),
  }
}
