/** @file Public API of espalier/autodiff. */
export { checkGradient, type GradientCheck } from './check.ts'
export { grad, gradients, type Objective, pullBack } from './grad.ts'
export { type ImportedGraph, importGraph, type ImportOptions, trainableWeights } from './import-graph.ts'
export type { AdamOptions, OptimizerOptions, SgdOptions } from './optimizers.ts'
export { buildGradientGraph, buildTrainStep, type GradientGraph, type Slot, type StepGraph, type StepParts } from './train-graph.ts'
