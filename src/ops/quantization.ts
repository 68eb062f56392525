/** @file Quantized arithmetic. A cut would have to calibrate the scales anew: such models are refused, with the remedy. */
import type { Node } from '../ir/graph.ts'
import type { DType } from '../tensor/dtype.ts'
import { notDifferentiable, opaque, type OpDef, type ShapeRule } from './define.ts'
import { asStated, inputOf, typed } from './rules.ts'

const remedy = 'the model is quantized; prune the float model, then quantize the pruned one'

function quantized(type: string, shape: ShapeRule): OpDef {
  return { type, shape, vjp: notDifferentiable, channels: opaque(remedy), refused: remedy, float32: 'all' }
}

/** The first input's shape in the element type of input `index`, or `otherwise`. */
const likeInput = (index: number, otherwise: DType): ShapeRule => (node: Node) => typed(node.inputs[index]?.dtype ?? otherwise, inputOf(node, 0).shape)

export const quantization: readonly OpDef[] = [
  quantized('QuantizeLinear', likeInput(2, 'uint8')),
  quantized('DequantizeLinear', likeInput(1, 'float32')),
  quantized('DynamicQuantizeLinear', (node) => [{ dtype: 'uint8', shape: inputOf(node, 0).shape }, { dtype: 'float32', shape: [] }, { dtype: 'uint8', shape: [] }]),
  ...['QLinearConv', 'QLinearMatMul', 'ConvInteger', 'MatMulInteger'].map((type) => quantized(type, asStated)),
]
