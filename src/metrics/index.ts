/** @file Public API of espalier/metrics. */
export { type CocoFilesScore, scoreCocoFiles } from './coco-files.ts'
export { type CocoNumbers, type CocoSummary, evaluateCoco } from './coco-map.ts'
export { evaluateErrorTypes, type ErrorKind, errorKinds, type ErrorTypes } from './error-types.ts'
export { evaluateVoc, type VocOptions, type VocSummary } from './voc-ap.ts'
