/** @file Folding constants and batch normalisation, removing dead code: same outputs, fewer nodes. */
import { readFileSync } from 'node:fs'
import { InferenceSession } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { parseModel } from '../../src/onnx/load.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { removeDeadCode } from '../../src/passes/dead-code.ts'
import { foldBatchNorm } from '../../src/passes/fold-batchnorm.ts'
import { foldAllConstants, foldConstants, type RunConstants } from '../../src/passes/fold-constants.ts'
import type { TensorData, DType } from '../../src/tensor/dtype.ts'
import { f32, i64, tensor } from '../../src/tensor/tensor.ts'
import { sharedIt } from '../support/shared.ts'
import { difference, Net } from './nets.ts'

const run: RunConstants = async (bytes, outputs) => {
  const session = await InferenceSession.create(bytes)
  const results = await session.run({})
  await session.release()
  return outputs.map((name) => {
    const t = results[name]!
    return tensor(t.type as DType, t.dims, t.data as unknown as TensorData)
  })
}

describe('foldConstants', () => {
  it('turns Constant nodes and shape arithmetic into initializers of the same names, and drops identities', () => {
    const net = new Net()
    const x = net.input('x', [2, 3, 4])
    const shape = net.op('Shape', [x])
    const first = net.op('Gather', [shape, net.op('Constant', [], { value: i64([0]) })])
    const target = net.op('Concat', [first, net.op('Constant', [], { value: i64([-1]) })], { axis: 0 })
    const y = net.op('Identity', [net.op('Reshape', [net.op('Dropout', [net.op('Identity', [x])]), target])])
    const model = net.model(13, y)
    const before = print(model.graph)
    const folded = foldConstants(model)
    verify(folded.graph)
    expect(print(folded.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[2,3,4]) {
        concat5: int64[2] = initializer
        reshape8: float32[2,12] = Reshape(x, concat5)
        identity9: float32[2,12] = Identity(reshape8)
        return identity9
      }"
    `)
    expect(print(model.graph)).toBe(before)
  })

  it('keeps the names of outputs: a constant output becomes an initializer, an identity at the end stays', async () => {
    const net = new Net()
    const x = net.input('x', [2, 3])
    const model = net.model(13, net.op('Identity', [x]), net.op('Shape', [x]))
    const folded = foldConstants(model)
    expect(print(folded.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[2,3]) {
        shape2: int64[2] = initializer
        identity1: float32[2,3] = Identity(x)
        return identity1, shape2
      }"
    `)
    expect(await difference(folded, model)).toBe(0)
  })

  it('leaves float work to the runtime, unless it would bloat the file', async () => {
    const net = new Net()
    const x = net.input('x', [3])
    const scale = net.op('Exp', [net.op('Mul', [net.weights('a', [3]), net.weights('b', [3])])])
    const large = net.op('Expand', [net.constant('one', f32([1])), net.constant('dims', i64([200, 1000]))])
    const model = net.model(17, net.op('Mul', [x, scale]), net.op('ReduceSum', [large]))
    const folded = await foldAllConstants(model, run)
    verify(folded.graph)
    expect(print(folded.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[3]) {
        one: float32[1] = initializer
        dims: int64[2] = initializer
        exp2: float32[3] = initializer
        expand3: float32[200,1000] = Expand(one, dims)
        mul4: float32[3] = Mul(x, exp2)
        reducesum5: float32[1,1] = ReduceSum(expand3)
        return mul4, reducesum5
      }"
    `)
    expect(await difference(folded, model)).toBe(0)
  })

  for (const path of ['models/FastestDet.onnx', 'models/nanodet_m_320.onnx', 'models/version-RFB-320.onnx']) {
    sharedIt(path, `keeps the outputs of ${path} and leaves nothing constant to compute`, async (file) => {
      const model = parseModel(readFileSync(file), file)
      const folded = foldConstants(model)
      expect(await difference(folded, model)).toBeLessThan(1e-6)
      const constant = folded.graph.nodes.filter((n) => n.inputs.every((v) => !v || v.initializer))
      expect(constant.map((n) => n.opType)).toEqual([])
    })
  }
})

describe('foldBatchNorm', () => {
  it('folds into a Conv of its own, and not where somebody else reads between', async () => {
    const net = new Net()
    const x = net.input('x', [1, 3, 6, 6])
    const norm = (h: ReturnType<Net['op']>, name: string, c: number) =>
      net.op('BatchNormalization', [h, net.weights(`${name}.s`, [c]), net.weights(`${name}.b`, [c]), net.weights(`${name}.m`, [c]), net.weights(`${name}.v`, [c], 0.5, 2)])
    const shared = net.weights('w', [4, 3, 3, 3])
    const a = norm(net.op('Conv', [x, shared, net.weights('bias', [4])]), 'a', 4)
    const b = norm(net.op('Conv', [x, shared]), 'b', 4)
    const between = net.op('Conv', [x, net.weights('u', [4, 3, 3, 3])])
    const c = net.op('Add', [norm(between, 'c', 4), between])
    const model = net.model(17, a, net.op('Add', [b, c]))
    const folded = foldBatchNorm(model)
    expect(print(folded.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[1,3,6,6]) {
        w: float32[4,3,3,3] = initializer
        bias: float32[4] = initializer
        u: float32[4,3,3,3] = initializer
        c.s: float32[4] = initializer
        c.b: float32[4] = initializer
        c.m: float32[4] = initializer
        c.v: float32[4] = initializer
        w_1: float32[4,3,3,3] = initializer
        conv3.bias: float32[4] = initializer
        batchnormalization2: ?[...] = Conv(x, w_1, bias)
        conv3: ?[...] = Conv(x, w, conv3.bias)
        conv5: ?[...] = Conv(x, u)
        batchnormalization6: ?[...] = BatchNormalization(conv5, c.s, c.b, c.m, c.v)
        add7: ?[...] = Add(batchnormalization6, conv5)
        add8: ?[...] = Add(conv3, add7)
        return batchnormalization2, add8
      }"
    `)
    expect(await difference(folded, model)).toBeLessThan(1e-5)
  })

  for (const [path, left] of [['models/mobilenetv1_0.25_imagenet_bn.onnx', 0], ['models/version-RFB-320.onnx', 0], ['models/yolo-fastest-1.1.onnx', 0]] as const) {
    sharedIt(path, `folds all of ${path}`, async (file) => {
      const model = parseModel(readFileSync(file), file)
      const folded = foldBatchNorm(model)
      expect(folded.graph.nodes.filter((n) => n.opType === 'BatchNormalization').length).toBe(left)
      expect(await difference(folded, model)).toBeLessThan(1e-4)
    })
  }
})

describe('removeDeadCode', () => {
  it('removes what no output needs, also initializers that are inputs', () => {
    const net = new Net()
    const x = net.input('x', [2])
    const w = net.weights('w', [2])
    net.graph.inputs.push(w)
    net.op('Relu', [net.op('Mul', [x, w])])
    net.input('unread', [1])
    const model = net.model(9, net.op('Neg', [x]))
    const clean = removeDeadCode(model)
    verify(clean.graph)
    expect(print(clean.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[2], unread: float32[1]) {
        neg3: ?[...] = Neg(x)
        return neg3
      }"
    `)
  })

  it('keeps what subgraphs read, and cleans them too', () => {
    const net = new Net()
    const x = net.input('x', [2])
    const inner = new Net()
    const kept = net.op('Relu', [x])
    const lost = net.op('Exp', [x])
    const y = inner.op('Neg', [kept])
    inner.op('Abs', [lost])
    inner.graph.outputs.push(y)
    const branch = net.op('If', [net.input('c', [], 'bool')], { then_branch: inner.graph })
    const clean = removeDeadCode(net.model(17, branch))
    verify(clean.graph)
    expect(clean.graph.nodes.map((n) => n.opType)).toEqual(['Relu', 'If'])
  })

  sharedIt('models/nanodet_m_320.onnx', 'cuts off what only the removed outputs needed', async (file) => {
    const model = parseModel(readFileSync(file), file)
    const part = parseModel(serializeModel(model), file)
    part.graph.outputs.splice(1)
    const clean = removeDeadCode(part)
    expect(clean.graph.nodes.length).toBeLessThan(part.graph.nodes.length)
    expect(await difference(clean, part)).toBe(0)
  })
})
