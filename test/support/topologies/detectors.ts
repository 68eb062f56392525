/** @file Narrow detectors with the topology of the originals: YOLOv4's CSP, YOLOv5, YOLOv8, YOLO11 and v10 attention, RetinaNet, CenterNet, EfficientDet. */
import { dimsOf, type Model, type Value } from '../../../src/ir/graph.ts'
import { i64 } from '../../../src/tensor/tensor.ts'
import { channelsOf, Layers } from './layers.ts'

const cbs = (m: Layers, x: Value, out: number, kernel = 1, stride = 1): Value => m.block(x, out, { kernel, stride }, 'Silu')

/** Positions of even and odd rows and columns become channels. */
function focus(m: Layers, x: Value): Value {
  const every = (v: Value, axis: number, from: number): Value => m.b.op('Slice', [v, m.b.ints([from]), m.b.constant(i64([2 ** 40])), m.b.ints([axis]), m.b.ints([2])])
  return m.concat(...[[0, 0], [1, 0], [0, 1], [1, 1]].map(([row, column]) => every(every(x, 2, row!), 3, column!)))
}

/** Two branches, one of them through residual bottlenecks. */
function c3(m: Layers, x: Value, out: number, n: number, shortcut: boolean): Value {
  let y = cbs(m, x, out / 2)
  for (let i = 0; i < n; i++) {
    const z = cbs(m, cbs(m, y, out / 2), out / 2, 3)
    y = shortcut ? m.b.add(y, z) : z
  }
  return cbs(m, m.concat(y, cbs(m, x, out / 2)), out)
}

/** Split in two; every bottleneck's result is kept for the Concat. */
function c2f(m: Layers, x: Value, out: number, n: number, shortcut: boolean): Value {
  const parts = m.split(cbs(m, x, out), out / 2, out / 2)
  for (let i = 0; i < n; i++) {
    const last = parts.at(-1)!
    const z = cbs(m, cbs(m, last, out / 2, 3), out / 2, 3)
    parts.push(shortcut ? m.b.add(last, z) : z)
  }
  return cbs(m, m.concat(...parts), out)
}

function sppf(m: Layers, x: Value, out: number): Value {
  const parts = [cbs(m, x, channelsOf(x) / 2)]
  for (let i = 0; i < 3; i++) parts.push(m.maxPool(parts.at(-1)!, 5, 1, 2))
  return cbs(m, m.concat(...parts), out)
}

type Stage = (x: Value, out: number) => Value

/** Top-down and bottom-up paths over three levels. */
function pan(m: Layers, [p3, p4, p5]: readonly [Value, Value, Value], width: number, stage: Stage): [Value, Value, Value] {
  const n4 = stage(m.concat(m.upsample(p5), p4), 2 * width)
  const n3 = stage(m.concat(m.upsample(n4), p3), width)
  const m4 = stage(m.concat(cbs(m, n3, width, 3, 2), n4), 2 * width)
  return [n3, m4, stage(m.concat(cbs(m, m4, 2 * width, 3, 2), p5), 4 * width)]
}

function backbone(m: Layers, stem: Value, width: number, stage: Stage): [Value, Value, Value] {
  const p3 = stage(cbs(m, stage(cbs(m, stem, width, 3, 2), width), width, 3, 2), width)
  const p4 = stage(cbs(m, p3, 2 * width, 3, 2), 2 * width)
  return [p3, p4, stage(cbs(m, p4, 4 * width, 3, 2), 4 * width)]
}

/** A map [1,C,H,W] as [1,C,HW]. */
const flat = (m: Layers, x: Value): Value => m.b.reshape(x, [1, channelsOf(x), -1])

/** Focus, C3, SPPF, PAN; outputs decoded as version 5 does: boxes from sigmoids, a grid and anchors. */
export function yolov5(width = 8, classes = 3): Model {
  const m = new Layers('yolov5')
  const [p3, p4, p5] = backbone(m, cbs(m, focus(m, m.image), width, 3), 2 * width, (x, out) => c3(m, x, out, 1, true))
  const levels = pan(m, [p3, p4, sppf(m, p5, channelsOf(p5))], 2 * width, (x, out) => c3(m, x, out, 1, false))
  const decoded = levels.map((level, i) => {
    const [, , h, w] = dimsOf(level) as [number, number, number, number]
    const raw = m.b.reshape(m.conv(level, 3 * (5 + classes), { bias: true }), [1, 3, 5 + classes, h, w])
    const y = m.b.op('Sigmoid', [m.b.transpose(raw, [0, 1, 3, 4, 2])])
    const [xy, wh, rest] = m.b.ops('Split', [y, m.b.ints([2, 2, 1 + classes])], 3, { axis: 4 })
    const centre = m.b.mul(m.b.add(m.b.mul(xy!, m.b.scalar(2)), m.weight(`grid${i}`, [1, 3, h, w, 2])), m.b.scalar(8 << i))
    const size = m.b.mul(m.b.op('Pow', [m.b.mul(wh!, m.b.scalar(2)), m.b.scalar(2)]), m.weight(`anchors${i}`, [1, 3, 1, 1, 2], 1, 4))
    return m.b.reshape(m.b.op('Concat', [centre, size, rest!], { axis: 4 }), [1, 3 * h * w, 5 + classes])
  })
  return m.model(m.b.op('Concat', decoded, { axis: 1 }))
}

/** Cross-stage partial stages by Split halves with Mish, LeakyReLU neck, raw outputs. */
export function yolov4(width = 8): Model {
  const m = new Layers('yolov4', undefined, 18)
  const mish = (x: Value, out: number, kernel = 1, stride = 1): Value => m.block(x, out, { kernel, stride }, 'Mish')
  const stage = (x: Value, out: number, n: number): Value => {
    const down = mish(x, out, 3, 2)
    const route = mish(down, out / 2)
    let y = mish(down, out / 2)
    for (let i = 0; i < n; i++) y = m.b.add(y, mish(mish(y, out / 2), out / 2, 3))
    return mish(m.concat(mish(y, out / 2), route), out)
  }
  const p3 = stage(stage(stage(mish(m.image, width, 3), 2 * width, 1), 2 * width, 2), 4 * width, 2)
  const p4 = stage(p3, 8 * width, 2)
  const leaky = (x: Value, out: number, kernel = 1): Value => m.block(x, out, { kernel }, 'LeakyRelu')
  const pooled = [5, 9, 13].map((k) => m.maxPool(p4, k, 1, k >> 1))
  const top = leaky(m.concat(...pooled, p4), 4 * width)
  const up = leaky(m.concat(leaky(p3, 2 * width), m.upsample(leaky(top, 2 * width))), 4 * width, 3)
  return m.model(m.conv(up, 24, { bias: true }), m.conv(leaky(top, 8 * width, 3), 24, { bias: true }))
}

/** The decoupled head with distribution focal loss: softmax over bins, their expectation by a fixed convolution, boxes from anchor points. */
function dflHead(m: Layers, levels: readonly Value[], classes: number, bins = 16): Value {
  const raw = levels.map((level) => {
    const boxes = m.conv(cbs(m, cbs(m, level, 16, 3), 16, 3), 4 * bins, { bias: true })
    const scores = m.conv(cbs(m, cbs(m, level, 16, 3), 16, 3), classes, { bias: true })
    return flat(m, m.concat(boxes, scores))
  })
  const all = m.b.op('Concat', raw, { axis: 2 })
  const count = dimsOf(all)[2]!
  const [boxes, scores] = m.split(all, 4 * bins, classes)
  const sides = m.b.op('Softmax', [m.b.transpose(m.b.reshape(boxes!, [1, 4, bins, count]), [0, 2, 1, 3])], { axis: 1 })
  const numbers = m.b.constant({ dtype: 'float32', dims: [1, bins, 1, 1], data: Float32Array.from({ length: bins }, (_, i) => i) }, 'dfl.weight')
  const distances = m.b.reshape(m.b.op('Conv', [sides, numbers]), [1, 4, count])
  const [near, far] = m.split(distances, 2, 2)
  const points = m.weight('points', [1, 2, count], 4)
  const [low, high] = [m.b.sub(points, near!), m.b.add(points, far!)]
  const box = m.concat(m.b.div(m.b.add(low, high), m.b.scalar(2)), m.b.sub(high, low))
  return m.concat(m.b.mul(box, m.weight('strides', [1, count], 1, 8)), m.act('Sigmoid', scores!))
}

export function yolov8(width = 8, classes = 3): Model {
  const m = new Layers('yolov8')
  const [p3, p4, p5] = backbone(m, cbs(m, m.image, width, 3, 2), 2 * width, (x, out) => c2f(m, x, out, 1, true))
  const levels = pan(m, [p3, p4, sppf(m, p5, channelsOf(p5))], 2 * width, (x, out) => c2f(m, x, out, 1, false))
  return m.model(dflHead(m, levels, classes))
}

/** Attention over positions in heads, with a depthwise position encoding: the block of YOLOv10's PSA and YOLO11's C2PSA. */
function attention(m: Layers, x: Value, heads: number): Value {
  const [, c, h, w] = dimsOf(x) as [number, number, number, number]
  const head = c / heads
  const key = head / 2
  const qkv = m.b.reshape(m.norm(m.conv(x, heads * (2 * key + head))), [1, heads, 2 * key + head, h * w])
  const [q, k, v] = m.b.ops('Split', [qkv, m.b.ints([key, key, head])], 3, { axis: 2 })
  const scores = m.b.mul(m.b.op('MatMul', [m.b.transpose(q!, [0, 1, 3, 2]), k!]), m.b.scalar(key ** -0.5))
  const mixed = m.b.op('MatMul', [v!, m.b.transpose(m.b.op('Softmax', [scores], { axis: -1 }), [0, 1, 3, 2])])
  const position = m.norm(m.depthwise(m.b.reshape(v!, [1, c, h, w]), 3))
  return m.norm(m.conv(m.b.add(m.b.reshape(mixed, [1, c, h, w]), position), c))
}

/** Attention and a feed-forward part on one half of the channels. */
function partialAttention(m: Layers, x: Value, heads: number): Value {
  const c = channelsOf(x)
  const [a, b] = m.split(cbs(m, x, c), c / 2, c / 2)
  const attended = m.b.add(b!, attention(m, b!, heads))
  const fed = m.b.add(attended, m.norm(m.conv(cbs(m, attended, c), c / 2)))
  return cbs(m, m.concat(a!, fed), c)
}

export function yolo11(width = 8, classes = 3): Model {
  const m = new Layers('yolo11')
  const [p3, p4, p5] = backbone(m, cbs(m, m.image, width, 3, 2), 2 * width, (x, out) => c2f(m, x, out, 1, true))
  const levels = pan(m, [p3, p4, partialAttention(m, sppf(m, p5, channelsOf(p5)), 2)], 2 * width, (x, out) => c2f(m, x, out, 1, false))
  return m.model(dflHead(m, levels, classes))
}

/** A feature pyramid whose levels share one head with group normalisation, as PyTorch exports it; outputs by position. */
export function retinanet(width = 8, classes = 3): Model {
  const m = new Layers('retinanet')
  let y = m.block(m.image, width, { kernel: 3, stride: 2 })
  const maps = [2, 4, 8].map((n) => (y = m.block(m.b.add(y = m.block(y, n * width, { kernel: 3, stride: 2 }), m.norm(m.conv(m.block(y, n * width), n * width, { kernel: 3 }))), n * width)))
  const lateral = maps.map((v) => m.conv(v, 4 * width, { bias: true }))
  for (let i = 1; i >= 0; i--) lateral[i] = m.b.add(lateral[i]!, m.upsample(lateral[i + 1]!))
  const smooth = lateral.map((v) => m.conv(v, 4 * width, { kernel: 3, bias: true }))
  const kernels = [0, 1].map((i) => m.weight(`tower${i}.weight`, [4 * width, 4 * width, 3, 3], Math.sqrt(2 / (36 * width))))
  const [gamma, beta] = [m.weight('gn.weight', [4 * width, 1, 1], 0.2, 1), m.weight('gn.bias', [4 * width, 1, 1], 0.1)]
  const [ones, zeros] = [m.weight('gn.ones', [4], 0, 1), m.weight('gn.zeros', [4], 0)]
  const last = m.weight('cls.weight', [9 * classes, 4 * width, 3, 3], Math.sqrt(2 / (36 * width)))
  const same = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }
  const head = (x: Value): Value => {
    const tower = kernels.reduce((v, kernel) => {
      const z = m.b.op('Conv', [v, kernel], same)
      const grouped = m.b.op('InstanceNormalization', [m.b.reshape(z, [1, 4, -1]), ones, zeros])
      return m.act('Relu', m.b.add(m.b.mul(m.b.reshape(grouped, dimsOf(z)), gamma), beta))
    }, x)
    return m.b.reshape(m.b.transpose(m.b.op('Conv', [tower, last], same), [0, 2, 3, 1]), [1, -1, classes])
  }
  return m.model(m.act('Sigmoid', m.b.op('Concat', smooth.map(head), { axis: 1 })))
}

/** Deconvolutions up to a quarter of the input, three heads; peaks by pooling and TopK. */
export function centernet(width = 8): Model {
  const m = new Layers('centernet')
  let y = m.block(m.image, width, { kernel: 3, stride: 2 })
  for (const n of [2, 4, 8]) y = m.block(m.block(y, n * width, { kernel: 3, stride: 2 }), n * width, { kernel: 3 })
  for (const n of [4, 2]) {
    const wide = m.block(y, n * width, { kernel: 3 })
    const w = m.weight(m.b.unique('deconv.weight'), [n * width, n * width, 4, 4], Math.sqrt(2 / (4 * n * width)))
    y = m.act('Relu', m.norm(m.b.op('ConvTranspose', [wide, w], { kernel_shape: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1] })))
  }
  const head = (out: number): Value => m.conv(m.act('Relu', m.conv(y, 4 * width, { kernel: 3, bias: true })), out, { bias: true })
  const heat = m.act('Sigmoid', head(3))
  const peaks = m.b.mul(heat, m.b.cast(m.b.op('Equal', [heat, m.maxPool(heat, 3, 1, 1)]), 'float32'))
  const [scores, places] = m.b.ops('TopK', [m.b.reshape(peaks, [1, -1]), m.b.ints([8])], 2, { axis: 1 })
  return m.model(heat, head(2), head(2), scores!, places!)
}

/** Two repeats of a weighted bidirectional pyramid with depthwise separable convolutions. */
export function efficientdet(width = 8): Model {
  const m = new Layers('efficientdet')
  const separable = (x: Value): Value => m.norm(m.conv(m.depthwise(x, 3), 4 * width, { bias: true }))
  const fuse = (...parts: Value[]): Value => {
    const weighted = parts.map((v, i) => m.b.mul(v, m.b.scalar(0.3 + 0.1 * i))).reduce((a, v) => m.b.add(a, v))
    return separable(m.act('Silu', weighted))
  }
  let y = m.block(m.image, width, { kernel: 3, stride: 2 }, 'Silu')
  const maps = [2, 4, 8].map((n) => {
    const wide = m.act('Silu', m.norm(m.depthwise(m.block(y, 6 * width, {}, 'Silu'), 3, 2)))
    return (y = m.norm(m.conv(m.squeezeExcite(wide, width, 'Silu', 'Sigmoid'), n * width)))
  })
  let [p3, p4, p5] = maps.map((v) => m.norm(m.conv(v, 4 * width, { bias: true }))) as [Value, Value, Value]
  for (let i = 0; i < 2; i++) {
    const t4 = fuse(p4, m.upsample(p5))
    const [n3] = [fuse(p3, m.upsample(t4))]
    const n4 = fuse(p4, t4, m.maxPool(n3, 3, 2, 1))
    ;[p3, p4, p5] = [n3, n4, fuse(p5, m.maxPool(n4, 3, 2, 1))]
  }
  const head = (x: Value, out: number): Value => m.b.reshape(m.b.transpose(m.conv(m.act('Silu', separable(x)), out, { bias: true }), [0, 2, 3, 1]), [1, -1, out / 3])
  return m.model(...[9, 12].map((out) => m.b.op('Concat', [p3, p4, p5].map((v) => head(v, out)), { axis: 1 })))
}
