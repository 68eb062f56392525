/** @file Static quantization: a case worked by hand, weights and biases within half a step, where the pairs stand, what the runtime makes of them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { withOutputs } from '../../src/ir/edit.ts'
import { type Model, opsetOf, type Value } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { valueNamed, valuesOf } from '../../src/ir/walk.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { calibrationPoints, quantizable, quantize, type QuantizeOptions } from '../../src/passes/quantize.ts'
import { activationScale, type Range } from '../../src/passes/quantize-weights.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce, type Tensors } from '../../src/runtime/session.ts'
import { f32, floats, i64, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { exactProducts } from '../support/eight-bit.ts'
import { normal } from '../support/op-case.ts'
import { runModel } from '../support/run.ts'
import { Net } from './nets.ts'

/** All values between -4 and 4. */
function wide(model: Model): Map<string, Range> {
  return new Map(calibrationPoints(model).map((name) => [name, { min: -4, max: 4 }]))
}

/** The ends of what one run computes. */
async function seenIn(model: Model, feeds: Tensors): Promise<Map<string, Range>> {
  const names = new Set(calibrationPoints(model))
  const seen: Tensors = { ...feeds, ...(await runModel(withOutputs(model, [...valuesOf(model.graph)].filter((v) => v.producer && names.has(v.name))), feeds)) }
  return new Map([...names].map((name) => [name, { min: floats(seen[name]!).reduce((a, b) => Math.min(a, b)), max: floats(seen[name]!).reduce((a, b) => Math.max(a, b)) }]))
}

function content(model: Model, name: string): Tensor {
  return valueNamed(model.graph, name).initializer!
}

const numbers = (t: Tensor): number[] => Array.from(t.data as ArrayLike<number>)

async function strictly(model: Model, feeds: Tensors): Promise<Tensors> {
  verify(model.graph)
  // WebAssembly's kernels are exact everywhere; the native library's are what users run, where the processor lets them be.
  return runOnce(nodeRuntime, model, feeds, { threads: 1, strict: true, ...(exactProducts ? {} : { provider: 'wasm' }) })
}

function quantized(source: Model, ranges?: ReadonlyMap<string, Range>, options: QuantizeOptions = {}) {
  const ready = quantizable(source)
  return quantize(ready, ranges ?? wide(ready), options)
}

describe('numbers', () => {
  it('a case worked by hand', async () => {
    // x in [-1, 3]: 255 steps over 4 make 4/255 a step; 0 lies 63.75 steps up, 64 to the nearest. y in [0, 2.55]: steps of 0.01, no step below 0.
    // Weights: 1.27 and -2.54 are 127 steps of 0.01 and 0.02, so 0.503 is 50.3 of the first, 50, and 0.085 is 4.25 of the second, 4.
    // Biases: 1 and -0.5 in units of 4/255 x 0.01 and 4/255 x 0.02: 6375 and -1593.75, -1594.
    const net = new Net()
    const x = net.input('x', [1, 2, 1, 1])
    const w = net.constant('w', f32([1.27, 0.503, -2.54, 0.085], [2, 2, 1, 1]))
    const source = net.model(13, net.op('Conv', [x, w, net.constant('b', f32([1, -0.5]))], {}, ['y']))
    const { model, layers } = quantized(source, new Map([['x', { min: -1, max: 3 }], ['y', { min: 0, max: 2.55 }]]))
    expect(layers).toEqual(['y'])
    expect(numbers(content(model, 'x_scale'))[0]).toBe(Math.fround(4 / 255))
    expect(numbers(content(model, 'x_zero_point'))).toEqual([64])
    expect(numbers(content(model, 'w_quantized'))).toEqual([127, 50, -127, 4])
    expect(numbers(content(model, 'b_quantized'))).toEqual([6375, -1594])
    expect(numbers(content(model, 'y_zero_point'))).toEqual([0])
    // x = [0.5, -0.25] is [96, 48], 32 and -16 steps from zero: 127 x 32 - 50 x 16 + 6375 = 9639 units of 4/25500 are 1.512 = 151.2 steps of y, 151;
    // the other channel, -127 x 32 - 4 x 16 - 1594, is below zero.
    const out = await strictly(model, { x: f32([0.5, -0.25], [1, 2, 1, 1]) })
    expect(numbers(out.y!)).toEqual([Math.fround(151 * Math.fround(2.55 / 255)), 0])
  })

  it.each([
    [{ min: 2, max: 6 }, { scale: 6 / 255, zeroPoint: 0 }],
    [{ min: -6, max: -2 }, { scale: 6 / 255, zeroPoint: 255 }],
    [{ min: 0, max: 0 }, { scale: 1, zeroPoint: 0 }],
  ])('zero is among the numbers of %j', (range, { scale, zeroPoint }) => {
    expect(activationScale(range)).toEqual({ scale: Math.fround(scale), zeroPoint })
  })

  const layers: [string, number, (net: Net) => Value][] = [
    ['Conv', 0, (n) => n.op('Conv', [n.input('x', [1, 6, 5, 5]), n.weights('w', [8, 6, 3, 3]), n.weights('b', [8])])],
    ['depthwise Conv', 0, (n) => n.op('Conv', [n.input('x', [1, 6, 5, 5]), n.weights('w', [6, 1, 3, 3]), n.weights('b', [6])], { group: 6 })],
    ['Conv along one axis', 0, (n) => n.op('Conv', [n.input('x', [1, 6, 5]), n.weights('w', [8, 6, 3]), n.weights('b', [8])])],
    ['ConvTranspose', 1, (n) => n.op('ConvTranspose', [n.input('x', [1, 6, 5, 5]), n.weights('w', [6, 4, 2, 2]), n.weights('b', [4])])],
    ['ConvTranspose in groups', 1, (n) => n.op('ConvTranspose', [n.input('x', [1, 6, 5, 5]), n.weights('w', [6, 4, 2, 2]), n.weights('b', [8])], { group: 2 })],
    ['Gemm', 1, (n) => n.op('Gemm', [n.input('x', [3, 6]), n.weights('w', [6, 8]), n.weights('b', [8])])],
    ['Gemm transposed', 0, (n) => n.op('Gemm', [n.input('x', [3, 6]), n.weights('w', [8, 6]), n.weights('b', [8])], { transB: 1 })],
    ['MatMul', 1, (n) => n.op('MatMul', [n.input('x', [2, 3, 6]), n.weights('w', [6, 8])])],
  ]
  it.each(layers)('%s: weights within half a step of their channel, biases within half a unit, outputs near', async (_, axis, build) => {
    for (const weightBits of [8, 7] as const) {
      const net = new Net()
      const y = build(net)
      // Channels of very different sizes: one scale would not do.
      const w = valueNamed(net.graph, 'w').initializer!
      const channel = (i: number): number => Math.floor(i / sizeOf(w.dims.slice(axis + 1))) % w.dims[axis]!
      floats(w).forEach((v, i, all) => (all[i] = v * 10 ** -channel(i)))
      const source = net.model(17, y)
      const { model } = quantized(source, undefined, { weightBits })
      const scales = numbers(content(model, 'w_scale'))
      expect(scales).toHaveLength(w.dims[axis]!)
      const steps = numbers(content(model, 'w_quantized'))
      expect(Math.max(...steps.map(Math.abs))).toBe(weightBits === 8 ? 127 : 63)
      floats(w).forEach((v, i) => expect(Math.abs(steps[i]! * scales[channel(i)]! - v)).toBeLessThanOrEqual(0.5001 * scales[channel(i)]!))
      const bias = net.graph.initializers.find((v) => v.name === 'b')?.initializer
      if (bias) {
        const units = numbers(content(model, 'b_scale'))
        const x = numbers(content(model, 'x_scale'))[0]!
        units.forEach((u, i) => expect(u).toBe(Math.fround(x * scales[i % scales.length]!)))
        numbers(content(model, 'b_quantized')).forEach((q, i) => expect(Math.abs(q * units[i]! - floats(bias)[i]!)).toBeLessThanOrEqual(0.5001 * units[i]!))
      }
      const feeds = { x: normal(valueNamed(source.graph, 'x').shape as number[]) }
      const [wanted, got] = [numbers((await runModel(source, feeds))[y.name]!), numbers((await strictly(model, feeds))[y.name]!)]
      // Half a step of y, of x through all its weights, and of the weights.
      wanted.forEach((v, i) => expect(Math.abs(Math.max(-4, Math.min(4, v)) - got[i]!)).toBeLessThan(weightBits === 8 ? 0.25 : 0.35))
    }
  })

  it('a bias fits where a channel has next to no weight', async () => {
    const net = new Net()
    const x = net.input('x', [1, 1, 2, 2])
    const source = net.model(17, net.op('Conv', [x, net.constant('w', f32([1, 1e-12, 0], [3, 1, 1, 1])), net.constant('b', f32([0.5, 3, -3]))], {}, ['y']))
    const out = numbers((await strictly(quantized(source).model, { x: normal([1, 1, 2, 2]) })).y!)
    for (const [from, wanted] of [[4, 3], [8, -3]] as const) for (const v of out.slice(from, from + 4)) expect(Math.abs(v - wanted)).toBeLessThan(8 / 255)
  })
})

describe('places', () => {
  /** stem, Relu, pool; two branches, one with a Sigmoid; sum; head; scores. */
  function net(): Net & { model(opset: number): Model } {
    const n = new Net()
    const stem = n.op('Relu', [n.op('Conv', [n.input('image', [1, 3, 8, 8]), n.weights('stem.w', [4, 3, 3, 3]), n.weights('stem.b', [4])], {}, ['stem'])], {}, ['relu'])
    const pooled = n.op('MaxPool', [stem], { kernel_shape: [2, 2] }, ['pooled'])
    const left = n.op('Conv', [pooled, n.weights('left.w', [4, 4, 1, 1])], {}, ['left'])
    const gate = n.op('Mul', [left, n.op('Sigmoid', [left], {}, ['gate'])], {}, ['silu'])
    const sum = n.op('Add', [gate, pooled], {}, ['sum'])
    const head = n.op('Conv', [sum, n.weights('head.w', [2, 4, 1, 1])], {}, ['head'])
    const flat = n.op('Reshape', [head, n.constant('dims', i64([1, -1]))], {}, ['flat'])
    const scores = n.op('Softmax', [flat], { axis: 1 }, ['scores'])
    return Object.assign(n, { model: (opset: number) => Net.prototype.model.call(n, opset, scores, head) })
  }

  it('pairs around layers and what lies between them; the tail in float; one scale for what is only moved', () => {
    const { model, layers, floatLayers } = quantized(net().model(13))
    expect({ layers, floatLayers }).toEqual({ layers: ['stem', 'left', 'head'], floatLayers: [] })
    const nodes = print(model.graph).split('\n').filter((line) => !line.includes('initializer')).join('\n')
    expect(nodes).toMatchInlineSnapshot(`
      "graph net(image: float32[1,3,8,8]) {
        image_quantized: uint8[1,3,8,8] = QuantizeLinear(image, image_scale, image_zero_point)
        image_dequantized: float32[1,3,8,8] = DequantizeLinear(image_quantized, image_scale, image_zero_point)
        stem.w_dequantized: float32[4,3,3,3] = DequantizeLinear(stem.w_quantized, stem.w_scale, stem.w_zero_point) {axis=0}
        stem.b_dequantized: float32[4] = DequantizeLinear(stem.b_quantized, stem.b_scale, stem.b_zero_point) {axis=0}
        stem: float32[1,4,6,6] = Conv(image_dequantized, stem.w_dequantized, stem.b_dequantized)
        relu: float32[1,4,6,6] = Relu(stem)
        relu_quantized: uint8[1,4,6,6] = QuantizeLinear(relu, relu_scale, relu_zero_point)
        relu_dequantized: float32[1,4,6,6] = DequantizeLinear(relu_quantized, relu_scale, relu_zero_point)
        pooled: float32[1,4,5,5] = MaxPool(relu_dequantized) {kernel_shape=[2,2]}
        pooled_quantized: uint8[1,4,5,5] = QuantizeLinear(pooled, relu_scale, relu_zero_point)
        pooled_dequantized: float32[1,4,5,5] = DequantizeLinear(pooled_quantized, relu_scale, relu_zero_point)
        left.w_dequantized: float32[4,4,1,1] = DequantizeLinear(left.w_quantized, left.w_scale, left.w_zero_point) {axis=0}
        left: float32[1,4,5,5] = Conv(pooled_dequantized, left.w_dequantized)
        left_quantized: uint8[1,4,5,5] = QuantizeLinear(left, left_scale, left_zero_point)
        left_dequantized: float32[1,4,5,5] = DequantizeLinear(left_quantized, left_scale, left_zero_point)
        gate: float32[1,4,5,5] = Sigmoid(left_dequantized)
        gate_quantized: uint8[1,4,5,5] = QuantizeLinear(gate, gate_scale, gate_zero_point)
        gate_dequantized: float32[1,4,5,5] = DequantizeLinear(gate_quantized, gate_scale, gate_zero_point)
        silu: float32[1,4,5,5] = Mul(left_dequantized, gate_dequantized)
        silu_quantized: uint8[1,4,5,5] = QuantizeLinear(silu, silu_scale, silu_zero_point)
        silu_dequantized: float32[1,4,5,5] = DequantizeLinear(silu_quantized, silu_scale, silu_zero_point)
        sum: float32[1,4,5,5] = Add(silu_dequantized, pooled_dequantized)
        sum_quantized: uint8[1,4,5,5] = QuantizeLinear(sum, sum_scale, sum_zero_point)
        sum_dequantized: float32[1,4,5,5] = DequantizeLinear(sum_quantized, sum_scale, sum_zero_point)
        head.w_dequantized: float32[2,4,1,1] = DequantizeLinear(head.w_quantized, head.w_scale, head.w_zero_point) {axis=0}
        head_float: float32[1,2,5,5] = Conv(sum_dequantized, head.w_dequantized)
        head_quantized: uint8[1,2,5,5] = QuantizeLinear(head_float, head_scale, head_zero_point)
        head: float32[1,2,5,5] = DequantizeLinear(head_quantized, head_scale, head_zero_point)
        flat: float32[1,50] = Reshape(head, dims)
        scores: float32[1,50] = Softmax(flat) {axis=1}
        return scores, head
      }"
    `)
    const scales = new Set(model.graph.initializers.filter((v) => v.name.endsWith('_scale')).map((v) => v.name))
    expect(scales.has('pooled_scale')).toBe(false)
  })

  it('a layer named to stay in float takes along what follows it alone', () => {
    const { model, layers, floatLayers } = quantized(net().model(13), undefined, { float: new Set(['left']) })
    expect({ layers, floatLayers }).toEqual({ layers: ['stem', 'head'], floatLayers: [{ node: 'left', why: 'as asked' }] })
    const read = (name: string): string[] => valueNamed(model.graph, name).producer!.inputs.map((v) => v!.name)
    expect(read('left')).toEqual(['pooled_dequantized', 'left.w'])
    expect(read('gate')).toEqual(['left'])
    expect(read('silu')).toEqual(['left', 'gate'])
    expect(read('sum')).toEqual(['silu', 'pooled_dequantized'])
  })

  it('the runtime computes all of it on 8-bit numbers, near the float model', async () => {
    const source = net().model(13)
    const feeds = { image: normal([1, 3, 8, 8]) }
    const ready = quantizable(source)
    const { model } = quantize(ready, await seenIn(ready, feeds))
    const [wanted, got] = [await runModel(source, feeds), await strictly(model, feeds)]
    const [a, b] = [numbers(wanted.head!), numbers(got.head!)]
    const most = Math.max(...a.map(Math.abs))
    a.forEach((v, i) => expect(Math.abs(v - b[i]!) / most).toBeLessThan(0.06))
    // Rounding to 8 bits must be there at all.
    expect(new Set(b).size).toBeLessThan(256)
    expect(b).not.toEqual(a)
  })

  it('a file of IR 3 gets a version that takes initializers beside its inputs', async () => {
    const build = (): Model => {
      const n = new Net()
      const model = n.model(13, n.op('Conv', [n.input('x', [1, 2, 3, 3]), n.weights('w', [2, 2, 1, 1])], {}, ['y']))
      model.irVersion = 3
      return model
    }
    const { model } = quantized(build())
    expect(model.irVersion).toBe(8)
    expect((await strictly(model, { x: normal([1, 2, 3, 3]) })).y!.dims).toEqual([1, 2, 3, 3])
  })

  it('a weight that several layers read is quantized once', () => {
    const n = new Net()
    const w = n.weights('w', [3, 3, 1, 1])
    const b = n.weights('b', [3])
    const first = n.op('Conv', [n.input('x', [1, 3, 2, 2]), w, b], {}, ['first'])
    const { model } = quantized(n.model(17, n.op('Conv', [first, w, b], {}, ['second'])))
    expect(model.graph.initializers.map((v) => v.name)).toEqual([
      'w_quantized', 'w_scale', 'w_zero_point', 'b_quantized', 'b_scale', 'b_zero_point', 'b_quantized_1', 'b_scale_1', 'b_zero_point_1',
      'x_scale', 'x_zero_point', 'first_scale', 'first_zero_point', 'second_scale', 'second_zero_point',
    ])
    expect(model.graph.nodes.filter((node) => node.inputs[0]?.name === 'w_quantized')).toHaveLength(1)
  })

  it('layers without a constant float32 weight stay in float, with the reason', () => {
    const n = new Net()
    const x = n.input('x', [2, 3])
    const product = n.op('MatMul', [x, n.input('y', [3, 4])], {}, ['product'])
    const { layers, floatLayers } = quantized(n.model(17, n.op('MatMul', [product, n.weights('w', [4, 4])], {}, ['out'])))
    expect({ layers, floatLayers }).toEqual({ layers: ['out'], floatLayers: [{ node: 'product', why: 'its weight is no float32 constant' }] })
  })
})

describe('models', () => {
  it('are raised to an opset with scales a channel; others keep theirs, and what they were', () => {
    const old = new Net()
    const source = old.model(11, old.op('Conv', [old.input('x', [1, 3, 4, 4]), old.weights('w', [2, 3, 1, 1])]))
    expect(opsetOf(quantized(source).model)).toBe(21)
    const n = new Net()
    const newer = n.model(17, n.op('Conv', [n.input('x', [1, 3, 4, 4]), n.weights('w', [2, 3, 1, 1])]))
    const before = print(newer.graph)
    expect(opsetOf(quantized(newer).model)).toBe(17)
    expect(print(newer.graph)).toBe(before)
  })

  it('without a range, or with one that is not finite, are refused by value', () => {
    const n = new Net()
    const ready = quantizable(n.model(17, n.op('Conv', [n.input('x', [1, 3, 4, 4]), n.weights('w', [2, 3, 1, 1])], {}, ['y'])))
    expect(() => quantize(ready, new Map([['x', { min: 0, max: 1 }]]))).toThrow('"y" has no range: it cannot be quantized')
    expect(() => quantize(ready, new Map([['x', { min: 0, max: Infinity }], ['y', { min: 0, max: 1 }]]))).toThrow('"x" reaches from 0 to Infinity')
  })

  it('the detector that comes with the package: every layer, card and borders as they were', async () => {
    const path = 'assets/shapes-detector.onnx'
    const source = foldBatchNorm(foldConstants(parseModel(readFileSync(path), path)))
    const image = source.graph.inputs.find((v) => !v.initializer)!
    const feeds = { [image.name]: normal([1, ...(image.shape!.slice(1) as number[])]) }
    const ready = quantizable(source)
    const { model, layers } = quantize(ready, await seenIn(ready, feeds))
    expect(layers).toHaveLength(23)
    expect(model.metadata).toEqual(source.metadata)
    const borders = (m: Model): unknown => [...m.graph.inputs.filter((v) => !v.initializer), ...m.graph.outputs].map((v) => [v.name, v.dtype, v.shape])
    expect(borders(model)).toEqual(borders(source))
    const whole = [...valuesOf(model.graph)].filter((v) => v.initializer?.dtype === 'float32' && v.initializer.data.length > 512)
    expect(whole.map((v) => v.name)).toEqual([])
    await strictly(model, feeds)
    const counts = await kernels(model, feeds)
    expect(counts).toMatchObject({ QLinearConv: 23, QLinearAdd: 4 })
    expect(Object.keys(counts).filter((type) => /^(Fused)?Conv|^Relu|^Add/.test(type))).toEqual([])
  })
})

/** What the runtime makes of a model: the kernels that one run calls, counted by type. */
async function kernels(model: Model, feeds: Tensors): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-profile-'))
  try {
    await runOnce(nodeRuntime, model, feeds, { threads: 1, profilePrefix: join(folder, 'run') })
    const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')) as { cat: string; name: string; args: { op_name: string } }[]
    const counts: Record<string, number> = {}
    for (const { cat, name, args } of events) if (cat === 'Node' && name.endsWith('_kernel_time')) counts[args.op_name] = (counts[args.op_name] ?? 0) + 1
    return counts
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
