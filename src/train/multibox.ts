/** @file The detector's own loss L_c + L_r in a training graph, and the targets that feed it. */
import { importGraph, type ImportedGraph, type ImportOptions } from '../autodiff/import-graph.ts'
import { multiboxLoss } from '../detection/losses.ts'
import { createMatcher, type Matcher } from '../detection/matcher.ts'
import { encodeTargets } from '../detection/targets.ts'
import type { Batch } from '../data/loader.ts'
import type { Model, Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import type { Builder } from '../ops/builder.ts'
import type { Tensors } from '../runtime/session.ts'
import type { Detector } from './detector.ts'

const ports = { image: 'image', labels: 'target_labels', offsets: 'target_offsets' } as const

export interface ImportedDetector extends ImportedGraph {
  /** [B,3,H,W] */
  readonly image: Value
}

/** Copies a detector whose input gets a batch of `batch` images into a training graph; `extra` values are wanted beside its outputs. */
export function importDetector(b: Builder, working: Model, batch: number, options: Omit<ImportOptions, 'given' | 'wanted'> & { image?: Value; wanted?: readonly Value[] }): ImportedDetector {
  const source = working.graph.inputs.find((v) => !v.initializer)
  if (!source) throw new Error('the model has no input')
  const [, ...rest] = source.shape ?? []
  const image = options.image ?? b.input(ports.image, 'float32', [batch, ...rest])
  const imported = importGraph(b, working.graph, { ...options, given: new Map([[source, image]]), wanted: options.wanted ?? working.graph.outputs })
  return { ...imported, image }
}

/** Adds L_c and L_r on an imported detector's outputs; makes the target inputs. */
export function addMultibox(b: Builder, detector: Detector, working: Model, imported: ImportedDetector, batch: number): { classification: Value; localization: Value } {
  const output = (name: string): Value => imported.values.get(valueNamed(working.graph, name))!
  const d = detector.defaults.count
  const labels = b.input(ports.labels, 'int32', [batch, d])
  const offsets = b.input(ports.offsets, 'float32', [batch, d, 4])
  return multiboxLoss(b, { scores: output(detector.card.decoder.scores), boxes: output(detector.card.decoder.boxes), labels, offsets })
}

/** Turns batches into the feeds of `addMultibox` (and the image). Buffers are used again: feed one batch before asking for the next. */
export function multiboxFeeds(detector: Detector, batch: number): (data: Batch) => Tensors {
  const { defaults, card } = detector
  const d = defaults.count
  const match: Matcher = createMatcher(defaults.corners)
  const labels = new Int32Array(batch * d)
  const offsets = new Float32Array(batch * d * 4)
  const matches = new Int32Array(d)
  return (data) => {
    data.truths.forEach((truth, i) => {
      encodeTargets(truth, match(truth, matches), defaults, { labels, offsets }, i, card.decoder.variances)
    })
    return {
      [ports.image]: { dtype: 'float32', dims: [batch, 3, card.input.height, card.input.width], data: data.images },
      [ports.labels]: { dtype: 'int32', dims: [batch, d], data: labels },
      [ports.offsets]: { dtype: 'float32', dims: [batch, d, 4], data: offsets },
    }
  }
}
