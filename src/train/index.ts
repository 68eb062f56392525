/** @file Public API of espalier/train. */
export { type AuxOptions, type AuxTask, createAuxTask } from './aux-task.ts'
export { loadBackbone } from './backbone.ts'
export { type Detector, detectorOf, withWeights } from './detector.ts'
export { detectAll, type DetectOptions, evaluate, type Evaluation } from './evaluate.ts'
export type { Listener, ProgressEvent } from './events.ts'
export type { ImageSource } from './source.ts'
export { createTrainStep, type TrainStep } from './step.ts'
export { type EpochRecord, trainDetector, type TrainOptions, type TrainResult } from './train.ts'
