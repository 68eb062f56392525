/** @file Small detectors for tests: convolutions with random weights straight on the image, then the outputs of known families. */
import { createModel, Graph, type Model, type Value } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32 } from '../../src/tensor/tensor.ts'

/** Side of the square input. */
export const side = 64

export interface Net {
  readonly b: Builder
  /** A map [1,channels,side / stride,side / stride] as a convolution gives it. */
  map(channels: number, stride: number): Value
  /** The maps of several strides as rows: [1,cells * each,width], `each` rows a cell. */
  rows(width: number, strides: readonly number[], each?: number): Value
}

/** Builds a model with an image input [1,3,side,side], or one whose height and width are free. */
export function net(build: (n: Net) => void, free = false): Model {
  const b = new Builder(new Graph('heads'))
  const image = b.input('image', 'float32', free ? [1, 3, 'height', 'width'] : [1, 3, side, side])
  const rng = createRng('heads')
  const map = (channels: number, stride: number): Value => {
    const dims = [channels, 3, stride, stride]
    const weight = b.constant(f32(Float32Array.from({ length: channels * 3 * stride * stride }, () => rng.normal()), dims))
    return b.op('Conv', [image, weight, b.constant(f32(Float32Array.from({ length: channels }, () => rng.normal())))], { kernel_shape: [stride, stride], strides: [stride, stride] })
  }
  build({
    b, map,
    rows: (width, strides, each = 1) => b.op('Concat', strides.map((stride) => b.reshape(b.transpose(map(each * width, stride), [0, 2, 3, 1]), [1, -1, width])), { axis: 1 }),
  })
  return createModel(b.graph, b.opset)
}

/** Splits rows [1,A,width] at `at`. */
export function parts(b: Builder, rows: Value, at: number): [Value, Value] {
  const cut = (from: number, to: number): Value => b.op('Slice', [rows, b.ints([from]), b.ints([to]), b.ints([2])])
  return [cut(0, at), cut(at, 2 ** 31 - 1)]
}

/** Decodes raw box numbers [1,A,4] against a grid of A cells over `extent` pixels: centres and sizes, or corners. */
export function decode(b: Builder, raw: Value, count: number, form: 'centres' | 'corners' = 'centres', extent = side): Value {
  const columns = Math.ceil(Math.sqrt(count))
  const grid = Float32Array.from({ length: 2 * count }, (_, i) => (((i % 2 === 0 ? (i >> 1) % columns : Math.floor((i >> 1) / columns)) + 0.5) * extent) / columns)
  const [shift, size] = parts(b, raw, 2)
  const centre = b.add(b.mul(shift, b.scalar(extent / 100)), b.constant(f32(grid, [1, count, 2])))
  const extents = b.mul(b.op('Exp', [size]), b.scalar(extent / 40))
  if (form === 'centres') return b.op('Concat', [centre, extents], { axis: 2 })
  const half = b.mul(extents, b.scalar(0.5))
  return b.op('Concat', [b.sub(centre, half), b.add(centre, half)], { axis: 2 })
}

const strides = [8, 16, 32]
/** Cells of strides 8, 16, 32. */
export const cells = 64 + 16 + 4

/** Rows of decoded boxes, objectness and `classes` scores after a sigmoid: YOLOv5's output. */
export const yolov5Like = (classes: number, each = 3): Model => net(({ b, rows }) => {
  const [boxes, scores] = parts(b, rows(5 + classes, strides, each), 4)
  b.output(b.op('Concat', [decode(b, boxes, each * cells), b.op('Sigmoid', [scores])], { axis: 2 }), 'output')
})

/** Columns of decoded boxes and scores: YOLOv8's output. */
export const yolov8Like = (classes: number): Model => net(({ b, rows }) => {
  const [boxes, scores] = parts(b, rows(4 + classes, strides), 4)
  b.output(b.transpose(b.op('Concat', [decode(b, boxes, cells), b.op('Sigmoid', [scores])], { axis: 2 }), [0, 2, 1]), 'output0')
})

/** Rows as the layers give them; scores after a sigmoid or not: YOLOX's output. */
export const yoloxLike = (classes: number, logistic = true, free = false): Model => net(({ b, rows }) => {
  const all = rows(5 + classes, strides)
  const [boxes, scores] = parts(b, all, 4)
  b.output(logistic ? b.op('Concat', [boxes, b.op('Sigmoid', [scores])], { axis: 2 }) : b.op('Identity', [all]), 'output')
}, free)

/** Rows of scores after a sigmoid and of deltas, for nine anchors in each cell of five levels: RetinaNet's outputs. Coarse levels are means of the finest. */
export const retinanetLike = (classes: number): Model => net(({ b, map }) => {
  const rows = (width: number): Value => {
    const finest = map(9 * width, 8)
    return b.op('Concat', [1, 2, 4, 8, 8].map((k) => b.reshape(b.transpose(b.op('AveragePool', [finest], { kernel_shape: [k, k], strides: [k, k] }), [0, 2, 3, 1]), [1, -1, width])), { axis: 1 })
  }
  b.output(b.op('Sigmoid', [rows(classes)]), 'scores')
  b.output(b.op('Identity', [rows(4)]), 'deltas')
})

/** A table [1,5,6] of the five best cells: what models with NMS of their own give. */
export const nmsLike = (): Model => net(({ b, rows }) => {
  const [boxes, scores] = parts(b, rows(5, [8]), 4)
  const flat = b.reshape(b.op('Sigmoid', [scores]), [1, 64])
  const [best, at] = b.ops('TopK', [flat, b.ints([5])], 2, { axis: 1 })
  const corners = decode(b, boxes, 64, 'corners')
  const chosen = b.reshape(b.op('Gather', [corners, b.reshape(at!, [5])], { axis: 1 }), [1, 5, 4])
  const labels = b.mul(b.reshape(best!, [1, 5, 1]), b.scalar(0))
  b.output(b.op('Concat', [chosen, b.reshape(best!, [1, 5, 1]), labels], { axis: 2 }), 'output0')
})
