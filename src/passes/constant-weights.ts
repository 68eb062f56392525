/** @file Weights that a file also lists among its inputs, as exporters did before IR version 4: they become constants. */
import type { Model } from '../ir/graph.ts'

/** The first IR version whose weights need not be inputs. */
const ownWeights = 4

/** Weights that a caller could replace at every run. */
export function replaceableWeights({ graph }: Model): number {
  return graph.inputs.filter((v) => v.initializer).length
}

/**
 * Takes all weights off the inputs of `model`, in place. A runtime must expect other content in them at every run, so it folds none of them into its
 * neighbours and lays none out anew: ONNX Runtime runs a detector whose BatchNormalizations are so kept from being folded at half the speed.
 */
export function makeWeightsConstant(model: Model): void {
  if (replaceableWeights(model) === 0) return
  const { inputs } = model.graph
  inputs.splice(0, inputs.length, ...inputs.filter((v) => !v.initializer))
  model.irVersion = Math.max(model.irVersion, ownWeights)
}
