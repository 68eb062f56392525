/** @file Public API of espalier/passes. */
export { modelCost, type ModelCost, type NodeCost } from './cost.ts'
export { removeDeadCode } from './dead-code.ts'
export { foldBatchNorm } from './fold-batchnorm.ts'
export { foldAllConstants, foldConstants } from './fold-constants.ts'
export { inferShapes } from './infer-shapes.ts'
export { setBatch } from './set-batch.ts'
export { upgradeOpset } from './upgrade-opset.ts'
