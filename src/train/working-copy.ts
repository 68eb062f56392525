/** @file The copy of a model that training graphs are made from: at the working opset, for batches of the wanted size. */
import type { Model } from '../ir/graph.ts'
import { setBatch } from '../passes/set-batch.ts'
import { upgradeOpset } from '../passes/upgrade-opset.ts'

/** Weights keep their names. A batch that is fixed in the file is set anew; a free one is left to the training graph. */
export function workingCopy(model: Model, batch: number): Model {
  const raised = upgradeOpset(model)
  const input = raised.graph.inputs.find((v) => !v.initializer)
  const fixed = input?.shape?.[0]
  return typeof fixed === 'number' && fixed !== batch ? setBatch(raised, batch) : raised
}
