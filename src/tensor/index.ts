/** @file Public API of espalier/tensor. */
export { allocate, bytesPerElement, isFloat, viewBytes, type DType, type TensorData } from './dtype.ts'
export { UserError } from './error.ts'
export { createRng, shuffled, type Rng } from './rng.ts'
export { f32, floats, halfToNumber, i64, numberToHalf, scalar, sizeOf, stridesOf, takeAlong, tensor, toNumbers, zeros, type Tensor } from './tensor.ts'
