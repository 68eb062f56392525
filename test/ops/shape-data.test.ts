/** @file What follows of shapes with a symbolic batch: reshape targets, flattening, slices, without running the graph. */
import { describe, expect, it } from 'vitest'
import { type Dim, Graph, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { lookup } from '../../src/ops/registry.ts'
import { contentOf, numbersOf, sliceIndices } from '../../src/ops/shape-data.ts'
import { i64, scalar } from '../../src/tensor/tensor.ts'

function setUp(...shape: Dim[]): { b: Builder; x: Value; shape: Value; length: (axis: number) => Value } {
  const b = new Builder(new Graph('g'))
  const x = b.input('x', 'float32', shape)
  const whole = b.op('Shape', [x])
  return { b, x, shape: whole, length: (axis) => b.op('Gather', [whole, b.constant(i64([axis], []))]) }
}

describe('contentOf', () => {
  it('follows lengths through shape arithmetic', () => {
    const { b, shape, length } = setUp('N', 6, 10, 4)
    const one = (v: Value): Value => b.op('Unsqueeze', [v, b.ints([0])])
    const half = b.div(length(2), b.constant(i64([4], [])))
    expect(contentOf(half)).toEqual([2])
    expect(contentOf(b.op('Concat', [one(length(0)), one(half), b.ints([-1])], { axis: 0 }))).toEqual(['N', 2, -1])
    expect(contentOf(b.op('Slice', [shape, b.ints([-2]), b.ints([2 ** 40])]))).toEqual([10, 4])
    expect(contentOf(b.op('Slice', [shape, b.ints([-1]), b.ints([-9]), b.ints([0]), b.ints([-2])]))).toEqual([4, 6])
    expect(contentOf(b.mul(shape, b.ints([1])))).toEqual(['N', 6, 10, 4])
    expect(contentOf(b.mul(shape, b.ints([2])))).toEqual([undefined, 12, 20, 8])
    expect(contentOf(b.sub(shape, b.ints([1])))).toEqual([undefined, 5, 9, 3])
    const scaled = b.op('Floor', [b.mul(b.op('Cast', [length(2)], { to: 1 }), b.scalar(0.25))])
    expect(contentOf(b.op('Cast', [scaled], { to: 7 }))).toEqual([2])
    expect(numbersOf(shape)).toBeUndefined()
    expect(numbersOf(length(-1))).toEqual([4])
  })

  it('knows at least how many elements a computed vector has', () => {
    const { b } = setUp('N')
    const v = b.input('v', 'int64', [3])
    expect(contentOf(b.add(v, b.ints([1])))).toEqual([undefined, undefined, undefined])
    expect(contentOf(v)).toBeUndefined()
  })

  it('folds single lengths of a shape that is not known in full', () => {
    const { length } = setUp('N', 6)
    const fold = (v: Value): unknown => lookup('Gather')!.fold!(v.producer!, v.producer!.inputs.map((i) => i?.initializer), { opset: 21 })
    expect(fold(length(1))).toEqual([i64([6], [])])
    expect(fold(length(0))).toBeUndefined()
  })
})

describe('shapes with a symbolic batch', () => {
  it('Reshape and Flatten cancel symbols', () => {
    const { b, x } = setUp('N', 6, 2, 2)
    expect(b.op('Reshape', [x, b.ints([0, -1])]).shape).toEqual(['N', 24])
    expect(b.op('Reshape', [x, b.ints([-1, 24])]).shape).toEqual(['N', 24])
    expect(b.op('Reshape', [x, b.ints([-1, 6])]).shape).toEqual([undefined, 6])
    expect(b.op('Reshape', [x, b.ints([1, -1])]).shape).toEqual([1, undefined])
    expect(b.op('Flatten', [x]).shape).toEqual(['N', 24])
    expect(b.op('Flatten', [x], { axis: 2 }).shape).toEqual([undefined, 4])
    const unknown = b.input('u', 'float32', [undefined, 6])
    expect(b.op('Reshape', [unknown, b.ints([0, 3, -1])]).shape).toEqual([undefined, 3, undefined])
  })

  it('other ops pass the symbol on', () => {
    const { b, x } = setUp('N', 6, 2, 2)
    expect(b.add(x, scalarOf(b)).shape).toEqual(['N', 6, 2, 2])
    expect(b.transpose(x, [1, 0, 2, 3]).shape).toEqual([6, 'N', 2, 2])
    expect(b.op('Concat', [x, x], { axis: 1 }).shape).toEqual(['N', 12, 2, 2])
    expect(b.op('Concat', [x, x], { axis: 0 }).shape).toEqual([undefined, 6, 2, 2])
    expect(b.op('Slice', [x, b.ints([0, 1]), b.ints([2 ** 40, 3]), b.ints([0, 1])]).shape).toEqual(['N', 2, 2, 2])
    expect(b.op('Slice', [x, b.ints([0]), b.ints([1])]).shape).toEqual([undefined, 6, 2, 2])
    expect(b.op('Pad', [x, b.ints([0, 0, 1, 1, 0, 0, 1, 1])]).shape).toEqual(['N', 6, 4, 4])
    expect(b.op('Expand', [x, b.op('Shape', [x])]).shape).toEqual(['N', 6, 2, 2])
    expect(b.op('Tile', [x, b.ints([1, 2, 1, 1])]).shape).toEqual(['N', 12, 2, 2])
    expect(b.op('ConstantOfShape', [b.op('Shape', [x])]).shape).toEqual(['N', 6, 2, 2])
  })
})

function scalarOf(b: Builder): Value {
  return b.constant(scalar(1))
}

it('sliceIndices clamps as ONNX does', () => {
  const at = (start: number, end: number, step = 1, length = 5): number[] => sliceIndices({ start, end, step }, length)
  expect(at(1, 100)).toEqual([1, 2, 3, 4])
  expect(at(-100, -3)).toEqual([0, 1])
  expect(at(3, 1)).toEqual([])
  expect(at(100, -100, -2)).toEqual([4, 2, 0])
  expect(at(-1, 0, -1)).toEqual([4, 3, 2, 1])
  expect(at(0, 5, 2)).toEqual([0, 2, 4])
  expect(at(-1, -9, -1, 0)).toEqual([])
})
