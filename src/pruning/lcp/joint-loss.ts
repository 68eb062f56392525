/** @file The joint loss of LCP in a graph: L_re of every layer in question, and L_a at the stage end (or the detector's own loss after the last). */
import type { Model, Value } from '../../ir/graph.ts'
import { countOf } from '../../ir/graph.ts'
import { valueNamed } from '../../ir/walk.ts'
import type { Builder } from '../../ops/builder.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import { type DetectorTask, importDetector } from '../../train/task.ts'

/** A layer whose input channels are in question: a consumer of a group. */
export interface Layer {
  /** Initializer of its weight. */
  readonly weight: string
  /** Value that it computes, before BN and activation. */
  readonly output: string
  /** Where its own output channels are cut already: what to keep of the baseline's output, by axis. */
  readonly keep: readonly { readonly axis: number; readonly indices: readonly number[] }[]
}

export interface JointParts {
  /** The working copy M and the baseline M_b, both at the working opset. */
  readonly working: Model
  readonly baseline: Model
  readonly layers: readonly Layer[]
  readonly batch: number
  /** What L_a is: the stage's auxiliary network's loss, the detector's own, or nothing. */
  readonly judge: Judge
}

export type Judge = { readonly aux: AuxTask } | { readonly task: DetectorTask } | undefined

export interface JointLoss {
  /** The layers' weights as graph inputs, by initializer name. */
  readonly weights: ReadonlyMap<string, Value>
  /** L_re of each layer, by weight: 1 / (2 Q) sum (F_b - F)^2, Q the number of elements. Layers that share a weight add up. */
  readonly reconstruction: ReadonlyMap<string, Value>
  /** L_a = L_ac + L_ar, or L_c + L_r; 0 without a judge. */
  readonly classification: Value
  readonly localization: Value
}

/** Adds both models and the losses; BN is frozen, only the layers' weights are inputs. */
export function addJointLoss(b: Builder, parts: JointParts): JointLoss {
  const { working, baseline, layers, batch, judge } = parts
  const names = new Set(layers.map((l) => l.weight))
  const ends = judge ? ('aux' in judge ? [valueNamed(working.graph, judge.aux.stageEnd)] : working.graph.outputs) : []
  const outputs = layers.map((l) => valueNamed(working.graph, l.output))
  const m = importDetector(b, working, batch, { trainable: (v) => names.has(v.name), wanted: [...ends, ...outputs] })
  const references = layers.map((l) => valueNamed(baseline.graph, l.output))
  const base = importDetector(b, baseline, batch, { image: m.image, wanted: references, prefix: 'baseline/' })
  const reconstruction = new Map<string, Value>()
  layers.forEach((layer, i) => {
    let reference = base.values.get(references[i]!)!
    for (const { axis, indices } of layer.keep) reference = b.op('Gather', [reference, b.ints(indices)], { axis })
    const output = m.values.get(outputs[i]!)!
    const difference = b.sub(reference, output)
    const loss = b.mul(b.op('ReduceSumSquare', [difference], { keepdims: 0 }), b.scalar(1 / (2 * countOf(output))))
    const before = reconstruction.get(layer.weight)
    reconstruction.set(layer.weight, before ? b.add(before, loss) : loss)
  })
  const weights = new Map(m.parameters.map((p) => [p.source.name, p.input]))
  const losses = judge ? ('aux' in judge ? judge.aux.add(b, m.values.get(ends[0]!)!, batch) : judge.task.add(b, working, m)) : { classification: b.scalar(0), localization: b.scalar(0) }
  return { weights, reconstruction, classification: losses.classification, localization: losses.localization }
}
