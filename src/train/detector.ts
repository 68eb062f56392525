/** @file A detector in hand: its model, its card, its default boxes; and the same model with other weights. */
import { setInitializer, cloneModel } from '../ir/edit.ts'
import type { Model } from '../ir/graph.ts'
import { decoderOf, type DetectorCard, readCard } from '../detection/card.ts'
import { type DefaultBoxes, makeDefaultBoxes } from '../detection/default-boxes.ts'
import { valuesOf } from '../ir/walk.ts'
import { UserError } from '../tensor/error.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface Detector {
  readonly model: Model
  readonly card: DetectorCard
  /** Of SSDs whose outputs are offsets from default boxes; others have none. */
  readonly defaults: DefaultBoxes | undefined
}

/** Reads the card of `model`; `file` names it in errors. */
export function detectorOf(model: Model, file: string): Detector {
  const card = readCard(model.metadata, file)
  const outputs = model.graph.outputs.map((v) => v.name)
  for (const name of decoderOf(card).outputs) {
    if (!outputs.includes(name)) throw new UserError(`${file}: its detector card names the output "${name}", the model has ${outputs.map((o) => `"${o}"`).join(', ')}: the card does not belong to this model`)
  }
  const values = new Set([...valuesOf(model.graph)].map((v) => v.name))
  for (const name of card.stageEnds ?? []) {
    if (!values.has(name)) throw new UserError(`${file}: its detector card names the stage end "${name}", which the model does not compute: the card does not belong to this model`)
  }
  return { model, card, defaults: card.defaultBoxes && makeDefaultBoxes(card.defaultBoxes) }
}

/** A copy with the weights of `weights` (by initializer name) in place of its own; shares all others. */
export function withWeights(model: Model, weights: ReadonlyMap<string, Tensor>): Model {
  const copy = cloneModel(model).model
  for (const v of copy.graph.initializers) {
    const content = weights.get(v.name)
    // Training swaps its buffers: what goes into a model must be a copy.
    if (content) setInitializer(v, { ...content, data: content.data.slice() })
  }
  return copy
}
