/** @file Half precision: every operator as the runtime computes it in float32, what stays in float32 and why, names and types. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { addInitializer, addInput, addNode } from '../../src/ir/edit.ts'
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { halfPrecision } from '../../src/passes/half-precision.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce, type Tensors } from '../../src/runtime/session.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, halfToNumber, i64, numberToHalf, scalar, tensor } from '../../src/tensor/tensor.ts'
import { randomFeeds } from '../../src/runtime/latency.ts'
import { sharedModels } from '../onnx/ort.ts'
import { openCases, shapeCases } from '../ops/shape-cases.ts'
import { convCases, furtherShapes, normCases, poolCases, productCases, resizeCases } from '../ops/window-cases.ts'
import { distance } from '../support/distance.ts'
import { buildCase, describeCase, normal } from '../support/op-case.ts'
import { runModel } from '../support/run.ts'
import { sharedIt } from '../support/shared.ts'
import { Net } from './nets.ts'

async function strictly(model: Model, feeds: Tensors, strict = true): Promise<Tensors> {
  verify(model.graph)
  return runOnce(nodeRuntime, model, feeds, { threads: 1, strict })
}

describe('numbers', () => {
  it('are rounded as the runtime rounds them', async () => {
    const rng = createRng('halves')
    const ends = [0, -0, 1, 65504, 65519.99, 65520, -1e9, Infinity, -Infinity, 2 ** -14, 2 ** -24, 2 ** -25, 2 ** -25 * 1.001, 3 * 2 ** -25, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 1e-30]
    const values = [...ends, ...Array.from({ length: 4000 }, () => (rng.next() - 0.5) * 2 ** (rng.int(50) - 32))]
    const net = new Net()
    const model = net.model(21, net.op('Cast', [net.input('x', [values.length])], { to: 10 }))
    const { cast1 } = await runModel(model, { x: f32(values) })
    expect(Array.from(f32(values).data as Float32Array, numberToHalf)).toEqual(Array.from(cast1!.data as ArrayLike<number>))
    expect(Number.isNaN(halfToNumber(numberToHalf(Number.NaN)))).toBe(true)
  })
})

describe('every operator', () => {
  const all = [shapeCases, openCases, convCases, poolCases, productCases, normCases, resizeCases, furtherShapes].flat()
  const fed = all.map((c) => ({ c, ...buildCase(c) })).filter(({ feeds }) => Object.values(feeds).some((t) => t.dtype === 'float32'))

  it.each(fed.map((x) => [describeCase(x.c), x] as const))('%s', async (_, { model, feeds }) => {
    const wanted = await runModel(model, feeds)
    // Where the runtime's strict inference disagrees with its own kernels (pools that round up), it refuses the float model, too.
    const strict = await strictly(model, feeds).then(() => true, () => false)
    const got = await strictly(halfPrecision(model).model, feeds, strict)
    for (const [name, t] of Object.entries(wanted)) expect(distance(t, got[name]!), name).toBeLessThan(4e-3)
  })

  it('computes in half precision but for those whose entry says otherwise', () => {
    const kept = new Set(fed.flatMap(({ c, model }) => (halfPrecision(model).kept.length ? [c.op] : [])))
    expect([...kept].sort()).toEqual(['Celu', 'CumSum', 'DynamicQuantizeLinear', 'LRN', 'LpNormalization', 'MeanVarianceNormalization', 'NonMaxSuppression', 'QuantizeLinear', 'ReduceL2', 'ReduceSumSquare', 'TopK'])
  })
})

describe('graphs', () => {
  it('borders in float32, casts where both precisions meet, settings as they were', () => {
    const net = new Net()
    const x = net.input('x', ['N', 2, 4, 4])
    const conv = net.op('Conv', [x, net.weights('w', [2, 2, 1, 1])])
    const large = net.op('Resize', [conv, undefined, net.constant('scales', f32([1, 1, 2, 2]))])
    const flat = net.op('Flatten', [large])
    const far = net.op('Add', [flat, net.constant('far', scalar(1e6))])
    const near = net.op('Div', [flat, net.op('Add', [net.op('ReduceMean', [flat, net.constant('axes', i64([1]))]), net.constant('eps', scalar(1e-8))])])
    const best = net.op('TopK', [near, net.constant('k', i64([3]))], {}, ['best', 'where'])
    const { model, kept } = halfPrecision(net.model(18, conv, far, best))
    verify(model.graph)
    expect(print(model.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[N,2,4,4]) {
        w: float16[2,2,1,1] = initializer
        scales: float32[4] = initializer
        far: float32[] = initializer
        axes: int64[1] = initializer
        eps: float32[] = initializer
        k: int64[1] = initializer
        x_half: float16[N,2,4,4] = Cast(x) {to=10}
        conv1_half: float16[N,2,4,4] = Conv(x_half, w)
        resize2: float16[N,2,8,8] = Resize(conv1_half, _, scales)
        flatten3: float16[N,128] = Flatten(resize2)
        flatten3_float: float32[N,128] = Cast(flatten3) {to=1}
        add4: float32[N,128] = Add(flatten3_float, far)
        reducemean5: float16[N,1] = ReduceMean(flatten3, axes)
        reducemean5_float: float32[N,1] = Cast(reducemean5) {to=1}
        add6: float32[N,1] = Add(reducemean5_float, eps)
        div7: float32[N,128] = Div(flatten3_float, add6)
        best: float32[N,3], where: int64[N,3] = TopK(div7, k)
        conv1: float32[N,2,4,4] = Cast(conv1_half) {to=1}
        return conv1, add4, best
      }"
    `)
    expect(kept).toEqual([
      { node: 'add4', why: 'constant "far" holds 1.00e+6, beyond float16\'s 65504' },
      { node: 'add6', why: 'constant "eps" holds nothing above 1.00e-8, of which float16 leaves little' },
      { node: 'div7', why: '"add6" holds what float16 cannot' },
      { node: 'best', why: 'TopK needs float32' },
    ])
  })

  it('what hangs on shapes alone stays float32; data in bytes is turned once it is float', async () => {
    const net = new Net()
    const image = net.input('image', [1, 3, 4, 4], 'uint8')
    const x = net.op('Cast', [image], { to: 1 })
    const size = net.op('Cast', [net.op('Shape', [image])], { to: 1 })
    const half = net.op('Mul', [size, net.constant('factor', f32([1, 1, 0.5, 0.5]))])
    const target = net.op('Cast', [half], { to: 7 })
    const source = net.model(18, net.op('Resize', [net.op('Conv', [x, net.weights('w', [2, 3, 1, 1])]), undefined, undefined, target]))
    const { model, kept } = halfPrecision(source)
    expect(kept).toEqual([])
    const dtypes = Object.fromEntries(model.graph.nodes.flatMap((n) => n.outputs.map((v) => [v!.name, v!.dtype])))
    expect(dtypes).toMatchObject({ cast1: 'float32', mul4: 'float32', conv6: 'float16', resize7: 'float32', resize7_half: 'float16' })
    const feeds = { image: tensor('uint8', [1, 3, 4, 4], Uint8Array.from({ length: 48 }, (_, i) => 5 * i)) }
    expect(distance((await runModel(source, feeds)).resize7!, (await strictly(model, feeds)).resize7!)).toBeLessThan(1e-3)
  })

  it('a weight that both precisions read is there in both', async () => {
    const net = new Net()
    const x = net.input('x', [2, 3])
    const w = net.weights('w', [3, 3])
    const source = net.model(18, net.op('MatMul', [net.op('CumSum', [net.op('MatMul', [x, w]), net.constant('axis', i64([0], []))]), w]), net.op('Celu', [w]))
    const { model } = halfPrecision(source)
    expect(model.graph.initializers.map((v) => [v.name, v.dtype])).toEqual([['w', 'float32'], ['axis', 'int64'], ['w_half', 'float16']])
    const feeds = { x: normal([2, 3]) }
    const [a, b] = [await runModel(source, feeds), await strictly(model, feeds)]
    for (const name of Object.keys(a)) expect(distance(a[name]!, b[name]!)).toBeLessThan(2e-3)
  })

  it('branches read what they read before', async () => {
    const graph = new Graph('outer')
    const x = addInput(graph, 'x', 'float32', [2])
    const doubled = addNode(graph, 'Add', [x, x], ['doubled']).outputs[0]!
    const on = addInput(graph, 'on', 'bool', [])
    const then = new Graph('then')
    then.outputs.push(addNode(then, 'Mul', [doubled, addInitializer(then, 'three', scalar(3))], ['tripled']).outputs[0]!)
    const other = new Graph('else')
    other.outputs.push(addNode(other, 'Identity', [doubled], ['same']).outputs[0]!)
    for (const g of [then, other]) Object.assign(g.outputs[0]!, { dtype: 'float32', shape: [2] })
    const y = addNode(graph, 'If', [on], ['y'], { then_branch: then, else_branch: other }).outputs[0]!
    Object.assign(y, { dtype: 'float32', shape: [2] })
    graph.outputs.push(y)
    const { model, kept } = halfPrecision(createModel(graph, 18))
    expect(kept).toEqual([{ node: 'y', why: 'If runs graphs of its own' }])
    expect(model.graph.nodes.map((n) => n.outputs[0]!.dtype)).toEqual(['float16', 'float16', 'float32', 'float32'])
    for (const [value, wanted] of [[1, [6, -12]], [0, [2, -4]]] as const) {
      const out = await strictly(model, { x: f32([1, -2]), on: tensor('bool', [], Uint8Array.of(value)) })
      expect(Array.from(out.y!.data as Float32Array)).toEqual(wanted)
    }
  })

  it('nodes stay in float32 when asked, and where numbers measured come near the end of the range', async () => {
    const net = new Net()
    const x = net.input('x', [1, 2])
    const a = net.op('Mul', [x, net.constant('c', scalar(300))], {}, ['a'])
    const b = net.op('Mul', [a, a], {}, ['b'])
    const c = net.op('Sqrt', [b], {}, ['c2'])
    const source = net.model(18, net.op('Relu', [c], {}, ['y']))
    const feeds = { x: f32([1, 2], [1, 2]) }
    const { model, kept } = halfPrecision(source, { float: new Set(['y']), magnitudes: new Map([['a', 600], ['b', 360000], ['c2', 600]]) })
    expect(kept).toEqual([
      { node: 'b', why: '"b" reaches 3.60e+5, float16 ends at 65504' },
      { node: 'c2', why: '"b" reaches 3.60e+5, float16 ends at 65504' },
      { node: 'y', why: 'as asked' },
    ])
    expect(Array.from((await strictly(model, feeds)).y!.data as Float32Array)).toEqual([300, 600])
  })

  it('what keeps a divisor from zero does so still, behind moves too; a bound out of reach keeps nobody', async () => {
    const net = new Net()
    const x = net.input('x', [1, 4])
    const bounded = net.op('Clip', [x, net.constant('zero', scalar(0)), net.constant('most', scalar(3.4e38))], {}, ['bounded'])
    const norm = net.op('ReduceL2', [bounded, net.constant('axes', i64([1]))], {}, ['norm'])
    const safe = net.op('Clip', [norm, net.constant('least', scalar(1e-12))], {}, ['safe'])
    const spread = net.op('Expand', [safe, net.constant('dims', i64([1, 4]))], {}, ['spread'])
    const source = net.model(18, net.op('Relu', [net.op('Div', [bounded, spread], {}, ['unit'])], {}, ['y']))
    const { model, kept } = halfPrecision(source)
    expect(kept.map((k) => k.node)).toEqual(['bounded', 'norm', 'safe', 'spread', 'unit'])
    for (const values of [[0, 0, 0, 0], [3, -1, 4, 0]]) {
      const feeds = { x: f32(values, [1, 4]) }
      expect(distance((await runModel(source, feeds)).y!, (await strictly(model, feeds)).y!)).toBeLessThan(1e-3)
    }
  })

  it('leaves the model it was given as it was', () => {
    const net = new Net()
    const source = net.model(18, net.op('Conv', [net.input('x', [1, 2, 4, 4]), net.weights('w', [2, 2, 1, 1])]))
    const before = print(source.graph)
    halfPrecision(source)
    expect(print(source.graph)).toBe(before)
    verify(source.graph)
  })
})

describe('detectors', () => {
  const folded = (path: string): Model => foldBatchNorm(foldConstants(parseModel(readFileSync(path), path)))

  async function check(path: string): Promise<void> {
    const source = folded(path)
    const { model, kept } = halfPrecision(source)
    expect(kept).toEqual([])
    expect(model.metadata).toEqual(source.metadata)
    const types = (m: Model): unknown => [...m.graph.inputs.filter((v) => !v.initializer), ...m.graph.outputs].map((v) => [v.name, v.dtype, v.shape])
    expect(types(model)).toEqual(types(source))
    expect(model.graph.initializers.filter((v) => v.initializer!.dtype === 'float32' && v.initializer!.data.length > 4).map((v) => v.name)).toEqual([])
    // YOLOX takes bytes as they are: on a standard normal image it sees nothing but rounding.
    const scale = path.includes('yolox') ? 100 : 1
    const feeds = Object.fromEntries(Object.entries(randomFeeds(source, path, createRng('half'))).map(([name, t]) => [name, { ...t, data: floats(t).map((v) => scale * v) }]))
    const [a, b] = [await runModel(source, feeds), await strictly(model, feeds)]
    for (const [name, t] of Object.entries(a)) expect(distance(t, b[name]!), name).toBeLessThan(0.02)
  }

  it('the one that comes with the package', () => check('assets/shapes-detector.onnx'))
  for (const path of sharedModels) sharedIt(path, `${path} computes the same`, check, 60_000)
})
