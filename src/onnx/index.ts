/** @file Public API of espalier/onnx. */
export { loadModel, parseModel } from './load.ts'
export { saveModel, type SaveOptions, serializeModel } from './save.ts'
