/** @file Whether this processor adds products of 8-bit numbers exactly: x86 processors without VNNI add them in pairs in 16 bits, which uint8 times int8 can pass (docs/export.md). */
import { createModel, Graph } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { floats, tensor } from '../../src/tensor/tensor.ts'
import { runModel } from './run.ts'

/** 255 * 127 four times over, by the runtime's own 8-bit product. */
async function product(): Promise<number> {
  const b = new Builder(new Graph('product'))
  const x = b.input('x', 'uint8', [1, 4])
  const w = b.constant(tensor('int8', [4, 16], new Int8Array(64).fill(127)))
  b.output(b.cast(b.op('MatMulInteger', [x, w]), 'float32'), 'y')
  return floats((await runModel(createModel(b.graph, b.opset), { x: tensor('uint8', [1, 4], new Uint8Array(4).fill(255)) })).y!)[0]!
}

/** False where sums of two products are cut off: what is written for 8 bits must then be run elsewhere, or with weights of 7 bits. */
export const exactProducts = (await product()) === 4 * 255 * 127
