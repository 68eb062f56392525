/** @file Inferred types and folded constants equal what ONNX Runtime computes. */
import { describe, expect, it } from 'vitest'
import { lookup } from '../../src/ops/registry.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { buildCase, describeCase, type OpCase } from '../support/op-case.ts'
import { runModel } from '../support/run.ts'
import { openCases, shapeCases } from './shape-cases.ts'

/** Runs a case with the outputs' shapes undeclared, so that only the runtime's own are reported. */
async function run(c: OpCase): Promise<{ results: Tensor[]; inferred: { dtype: unknown; shape: unknown }[]; folded: readonly Tensor[] | undefined }> {
  const { model, node, feeds } = buildCase(c)
  const inferred = node.outputs.map((v) => ({ dtype: v!.dtype, shape: v!.shape }))
  const folded = lookup(c.op)!.fold?.(node, node.inputs.map((v) => v?.initializer), { opset: c.opset ?? 21 })
  for (const v of node.outputs) v!.shape = undefined
  const out = await runModel(model, feeds)
  return { results: node.outputs.map((v) => out[v!.name]!), inferred, folded }
}

describe('shapes and types', () => {
  it.each(shapeCases.map((c) => [describeCase(c), c] as const))('%s', async (_, c) => {
    const { results, inferred, folded } = await run(c)
    expect(inferred).toEqual(results.map((t) => ({ dtype: t.dtype, shape: [...t.dims] })))
    folded?.forEach((t, i) => {
      expect({ dtype: t.dtype, dims: [...t.dims] }).toEqual({ dtype: results[i]!.dtype, dims: [...results[i]!.dims] })
      expect(Array.from(t.data as ArrayLike<unknown>)).toEqual(Array.from(results[i]!.data as ArrayLike<unknown>))
    })
  })

  it.each(openCases.map((c) => [describeCase(c), c] as const))('partly known: %s', async (_, c) => {
    const { results, inferred } = await run(c)
    expect(inferred.map((t) => t.shape)).toEqual(c.expected)
    expect(inferred.map((t) => t.dtype)).toEqual(results.map((t) => t.dtype))
    results.forEach((t, i) => c.expected[i]!.forEach((d, axis) => d !== undefined && expect(t.dims[axis]).toBe(d)))
  })

  it('folds shape arithmetic', () => {
    const folds = new Set(
      shapeCases.filter((c) => {
        const { node } = buildCase(c)
        return lookup(c.op)!.fold?.(node, node.inputs.map((v) => v?.initializer), { opset: c.opset ?? 21 }) !== undefined
      }).map((c) => c.op),
    )
    expect([...folds].sort()).toEqual([
      'Abs', 'Add', 'And', 'Cast', 'CastLike', 'Ceil', 'Concat', 'Constant', 'ConstantOfShape', 'Div', 'Equal', 'Expand', 'Floor', 'Gather', 'Greater', 'GreaterOrEqual',
      'Identity', 'IsNaN', 'Less', 'LessOrEqual', 'Max', 'Min', 'Mod', 'Mul', 'Neg', 'Not', 'Or', 'Range', 'Reshape', 'Shape', 'Size', 'Slice', 'Sqrt',
      'Squeeze', 'Sub', 'Transpose', 'Unsqueeze', 'Where', 'Xor',
    ])
  })
})
