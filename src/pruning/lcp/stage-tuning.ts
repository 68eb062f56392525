/** @file Stage fine-tuning: L_f = beta L_a + L_c + L_r over the auxiliary network and the so-far-pruned working copy. */
import { trainableWeights } from '../../autodiff/import-graph.ts'
import { buildTrainStep, type StepGraph } from '../../autodiff/train-graph.ts'
import { valueNamed } from '../../ir/walk.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import { type Detector, withWeights } from '../../train/detector.ts'
import { importDetector } from '../../train/task.ts'
import { cosineRate } from '../../train/schedule.ts'
import { createTrainStep } from '../../train/step.ts'
import { initializerOf, statisticsMomentum } from '../../train/train.ts'
import { workingCopy } from '../../train/working-copy.ts'
import { perM } from './options.ts'
import type { Workspace } from './workspace.ts'

export interface StageTuning {
  readonly detector: Detector
  /** Means over the last epoch. */
  readonly losses: Readonly<Record<string, number>>
}

function stageGraph(w: Workspace, working: Detector, aux: AuxTask | undefined): StepGraph {
  const { batch } = w.options
  const model = workingCopy(working.model, batch)
  const weights = trainableWeights(model.graph)
  return buildTrainStep((b) => {
    const wanted = [...model.graph.outputs, ...(aux ? [valueNamed(model.graph, aux.stageEnd)] : [])]
    const m = importDetector(b, model, batch, { trainable: (v) => weights.has(v), batchStatistics: statisticsMomentum, wanted })
    const own = w.task.add(b, model, m)
    const detection = b.add(own.classification, own.localization)
    const parts = aux?.add(b, m.values.get(valueNamed(model.graph, aux.stageEnd))!, batch, { momentum: statisticsMomentum })
    const beta = w.options.beta ?? perM(w.options.aux)
    const loss = parts ? b.add(detection, b.mul(b.add(parts.classification, parts.localization), b.scalar(beta))) : detection
    return {
      objectives: [{ loss, wrt: [...m.parameters, ...(parts?.parameters ?? [])].map((p) => p.input) }],
      metrics: { loss, detection, ...(parts && { auxClassification: parts.classification, auxLocalization: parts.localization }) },
      updates: [...m.updates, ...(parts?.updates ?? [])],
    }
  }, w.options.stageOptimizer === 'sgd' ? { type: 'sgd', momentum: 0.9, weightDecay: 5e-4, clipNorm: w.options.updateClip } : { type: 'adam', relative: true, clipNorm: w.options.updateClip })
}

/** Trains the working copy and the auxiliary network (which takes its new weights over); `round` tells one stage's images from another's. */
export async function tuneStage(w: Workspace, working: Detector, aux: AuxTask | undefined, round: number): Promise<StageTuning> {
  const { options, training, listener } = w
  const graph = stageGraph(w, working, aux)
  const own = initializerOf(working.model)
  const step = await createTrainStep(w.runtime, graph, (name) => aux?.initializer(name) ?? own(name), w.session)
  const steps = options.stageEpochs * training.batches
  listener?.({ type: 'phase', name: `stage ${aux?.stageEnd ?? 'outputs'}: fine-tune`, total: steps, unit: 'steps' })
  let sums: Record<string, number> = {}
  let done = 0
  try {
    for (let epoch = 0; epoch < options.stageEpochs; epoch++) {
      sums = {}
      let count = 0
      for await (const data of training.epoch(1000 * round + epoch)) {
        const feeds = { ...(await w.task.feeds(data)), ...aux?.feeds(data, `${w.seed}/${round}/${epoch}`) }
        const metrics = await step.run(feeds, cosineRate(done, { rate: options.stageRate, steps, warmup: Math.min(20, Math.floor(steps / 4)) }))
        for (const [name, v] of Object.entries(metrics)) sums[name] = (sums[name] ?? 0) + v
        done += 1
        count += 1
        w.passes.stage += options.batch
        listener?.({ type: 'progress', done, values: { loss: metrics.loss!, images: done * options.batch } })
      }
      for (const name of Object.keys(sums)) sums[name] = sums[name]! / count
    }
    aux?.adopt(step.weights())
    listener?.({ type: 'end', summary: Object.entries(sums).map(([k, v]) => `${k} ${v.toFixed(3)}`).join(', ') })
    return { detector: { ...working, model: withWeights(working.model, step.weights()) }, losses: sums }
  } finally {
    await step.release()
  }
}
