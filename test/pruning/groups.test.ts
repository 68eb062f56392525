/** @file Channel groups of small graphs, as text. */
import { describe, expect, it } from 'vitest'
import { findGroups, printGroups } from '../../src/pruning/groups.ts'
import { addNode } from '../../src/ir/edit.ts'
import { dimsOf, Graph } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { modelCost } from '../../src/passes/cost.ts'
import { inferShapes } from '../../src/passes/infer-shapes.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { widthCost } from '../../src/pruning/width-cost.ts'
import { Net } from './nets.ts'

describe('findGroups', () => {
  it('ties a chain of Conv, BatchNormalization, Relu and Conv', () => {
    const net = new Net(1)
    const a = net.act('Relu', net.norm('n1', net.conv('c1', net.x, 4)))
    const model = net.model(net.conv('c2', a, 2, 1))
    expect(printGroups(findGroups(model))).toMatchInlineSnapshot(`
      "c1.w: 4 channels
        produces c1.w[0] 0..3
        follows c1.b[0] 0..3
        follows n1.scale[0] 0..3
        follows n1.bias[0] 0..3
        follows n1.mean[0] 0..3
        follows n1.var[0] 0..3
        consumes c2.w[1] 0..3
        follows c1[1] 0..3
        follows n1[1] 0..3
        follows relu[1] 0..3
      c2.w: 2 channels, whole: "c2", which Conv "c2" makes, is an output of the model
        produces c2.w[0] 0..1
        follows c2.b[0] 0..1
        follows c2[1] 0..1"
    `)
  })

  it('couples the stream of a residual block and leaves its inner channels to themselves', () => {
    const net = new Net(2)
    const s = net.conv('stem', net.x, 4, 1, false)
    const inner = net.act('Relu', net.conv('inner', s, 6, 3, false))
    const sum = net.b.add(s, net.conv('outer', inner, 4, 1, false), 'sum')
    const groups = findGroups(net.model(net.conv('head', sum, 2, 1, false)))
    expect(groups.map((g) => [g.id, g.channels, g.coupled, g.prunable])).toEqual([['stem.w', 4, true, true], ['inner.w', 6, false, true], ['head.w', 2, false, false]])
    expect(printGroups(groups.slice(0, 1))).toMatchInlineSnapshot(`
      "stem.w: 4 channels, coupled
        produces stem.w[0] 0..3
        consumes inner.w[1] 0..3
        produces outer.w[0] 0..3
        consumes head.w[1] 0..3
        follows stem[1] 0..3
        follows outer[1] 0..3
        follows sum[1] 0..3"
    `)
  })

  it('maps the parts of a Concat to their own indices of the consumer', () => {
    const net = new Net(3)
    const parts = [net.conv('a', net.x, 2, 1, false), net.conv('b', net.x, 3, 1, false)]
    const groups = findGroups(net.model(net.conv('head', net.b.op('Concat', parts, { axis: 1 }), 2, 1, false)))
    expect(printGroups(groups)).toMatchInlineSnapshot(`
      "a.w: 2 channels
        produces a.w[0] 0..1
        consumes head.w[1] 0..1
        follows a[1] 0..1
        follows concat[1] 0..1
      b.w: 3 channels
        produces b.w[0] 0..2
        consumes head.w[1] 2..4
        follows b[1] 0..2
        follows concat[1] 2..4
      head.w: 2 channels, whole: "head", which Conv "head" makes, is an output of the model
        produces head.w[0] 0..1
        follows head[1] 0..1"
    `)
  })

  it('cuts depthwise convolutions along and ties the groups of grouped ones', () => {
    const net = new Net(4)
    const a = net.grouped('dw', net.conv('c1', net.x, 4, 1, false), 4, 4)
    const g = net.grouped('grouped', a, 6, 2)
    expect(printGroups(findGroups(net.model(net.conv('head', g, 2, 1, false))))).toMatchInlineSnapshot(`
      "c1.w: 2 channels
        produces c1.w[0] x2 0..3
        follows dw.w[0] x2 0..3
        follows dw.b[0] x2 0..3
        consumes grouped.w[1] 0..1
        follows c1[1] x2 0..3
        follows dw[1] x2 0..3
      grouped.w: 3 channels
        produces grouped.w[0] x2 0..5
        follows grouped.b[0] x2 0..5
        consumes head.w[1] x2 0..5
        follows grouped[1] x2 0..5
      head.w: 2 channels, whole: "head", which Conv "head" makes, is an output of the model
        produces head.w[0] 0..1
        follows head[1] 0..1"
    `)
  })

  it('follows a channel through Flatten into its block of features', () => {
    const net = new Net(5, [1, 3, 2, 2])
    const flat = net.b.op('Flatten', [net.conv('c1', net.x, 3, 1, false)], { axis: 1 })
    expect(printGroups(findGroups(net.model(net.linear('fc', flat, 2))))).toMatchInlineSnapshot(`
      "c1.w: 3 channels
        produces c1.w[0] 0..2
        consumes fc.w[1] x4 0..11
        follows c1[1] 0..2
        follows flatten[1] x4 0..11
      fc.w: 2 channels, whole: "fc", which Gemm "fc" makes, is an output of the model
        produces fc.w[0] 0..1
        follows fc.b[0] 0..1
        follows fc[1] 0..1"
    `)
  })

  it('lists every consumer, and a weight that two nodes share once', () => {
    const net = new Net(6)
    const s = net.conv('stem', net.x, 3, 1, false)
    const w = net.weight('shared.w', [4, 3, 1, 1])
    const [a, b] = [net.convWith('left', s, w), net.convWith('right', net.act('Relu', s), w)]
    const groups = findGroups(net.model(net.conv('h1', a, 2, 1, false), net.conv('h2', b, 2, 1, false)))
    const use = (u: { node: { name: string }; member: { value: { name: string }; axis: number } }): string => `${u.node.name} ${u.member.value.name}[${u.member.axis}]`
    expect(groups.map((g) => [g.id, g.coupled, g.producers.map(use), g.consumers.map(use)])).toMatchInlineSnapshot(`
      [
        [
          "stem.w",
          false,
          [
            "stem stem.w[0]",
          ],
          [
            "left shared.w[1]",
            "right shared.w[1]",
          ],
        ],
        [
          "shared.w",
          false,
          [
            "left shared.w[0]",
            "right shared.w[0]",
          ],
          [
            "h1 h1.w[1]",
            "h2 h2.w[1]",
          ],
        ],
        [
          "h1.w",
          false,
          [
            "h1 h1.w[0]",
          ],
          [],
        ],
        [
          "h2.w",
          false,
          [
            "h2 h2.w[0]",
          ],
          [],
        ],
      ]
    `)
  })

  it('does not call a squeeze-excitation gate a second stream', () => {
    const net = new Net(7)
    const a = net.conv('c1', net.x, 4, 1, false)
    const squeezed = net.act('Relu', net.conv('down', net.b.op('GlobalAveragePool', [a]), 2, 1))
    const gate = net.act('Sigmoid', net.conv('up', squeezed, 4, 1))
    const groups = findGroups(net.model(net.conv('head', net.b.mul(a, gate), 2, 1)))
    expect(groups.map((g) => [g.id, g.coupled, g.producers.length])).toEqual([['c1.w', false, 2], ['down.w', false, 1], ['head.w', false, 1]])
  })

  it('says which node keeps a group whole', () => {
    const net = new Net(8)
    const mystery = addNode(net.b.graph, 'Mystery', [net.conv('c1', net.x, 2, 1, false)], ['m'], {}, { name: 'what', domain: 'com.example' }).outputs[0]!
    mystery.dtype = 'float32'
    mystery.shape = dimsOf(net.x).map((d, i) => (i === 1 ? 2 : d))
    const soft = net.b.op('Softmax', [net.conv('c2', mystery, 3, 1, false)], { axis: 1 }, 'soft')
    const groups = findGroups(net.model(net.conv('head', soft, 2, 1, false)))
    expect(groups.map((g) => [g.id, g.reason])).toMatchInlineSnapshot(`
      [
        [
          "c1.w",
          "com.example.Mystery "what": this operator is not known here",
        ],
        [
          "c2.w",
          "Softmax "soft": Softmax normalises over this axis",
        ],
        [
          "head.w",
          ""head", which Conv "head" makes, is an output of the model",
        ],
      ]
    `)
  })

  it('keeps whole what has no known length or shape', () => {
    const net = new Net(9)
    const a = net.conv('c1', net.x, 2, 1, false)
    const out = net.conv('head', net.act('Relu', a), 2, 1, false)
    a.shape = undefined
    const groups = findGroups(net.model(out))
    expect(groups.map((g) => [g.id, g.prunable])).toEqual([['head.w', false]])
  })

  it('keeps whole what a weight is summed over: its norm would change with the cut', () => {
    const net = new Net(14)
    const v = net.weight('v', [4, 3, 1, 1])
    const normed = net.b.div(v, net.b.op('ReduceL2', [v, net.b.ints([1, 2, 3])], {}, 'norm'))
    const groups = findGroups(net.model(net.conv('head', net.b.add(net.convWith('by norm', net.conv('c1', net.x, 3, 1), normed), net.conv('c2', net.x, 4, 1)), 2, 1)))
    expect(groups.map((g) => [g.id, g.reason])).toEqual([
      ['c1.w', 'ReduceL2 "norm" sums over axis 1 of "v", which depends on no input'],
      ['c2.w', undefined],
      ['head.w', '"head", which Conv "head" makes, is an output of the model'],
    ])
  })

  it('keeps whole what a subgraph reads', () => {
    const net = new Net(12)
    const a = net.conv('c1', net.x, 2, 1, false)
    const branch = new Graph('branch')
    branch.outputs.push(addNode(branch, 'Identity', [a], ['inner']).outputs[0]!)
    const condition = net.b.input('condition', 'bool', [])
    addNode(net.b.graph, 'If', [condition], ['chosen'], { then_branch: branch, else_branch: branch }, { name: 'choice' })
    const groups = findGroups(net.model(net.conv('head', a, 2, 1, false)))
    expect(groups[0]).toMatchObject({ id: 'c1.w', prunable: false, reason: '"c1" is read inside a subgraph of If "choice"' })
  })

  it('cuts weights that an old file lists as inputs, and models of free batch', () => {
    const net = new Net(13)
    const model = net.model(net.linear('fc', net.b.op('Flatten', [net.b.op('GlobalAveragePool', [net.conv('c1', net.x, 4, 1)])]), 2))
    model.graph.inputs.push(...model.graph.initializers)
    model.graph.inputs[0]!.shape = ['N', 3, 6, 6]
    const free = inferShapes(model)
    const groups = findGroups(free)
    expect(groups.map((g) => [g.id, g.prunable])).toEqual([['c1.w', true], ['fc.w', false]])
    const cut = applyPlan(free, makePlan(groups, new Map([['c1.w', [1]]]), { method: 'hand' }))
    expect(print(cut.graph)).toMatchInlineSnapshot(`
      "graph net(x: float32[N,3,6,6]) {
        c1.w: float32[1,3,1,1] = initializer
        c1.b: float32[1] = initializer
        fc.w: float32[2,1] = initializer
        fc.b: float32[2] = initializer
        c1: float32[N,1,6,6] = Conv(x, c1.w, c1.b) {group=1, kernel_shape=[1,1], pads=[0,0,0,0]}
        globalaveragepool: float32[N,1,1,1] = GlobalAveragePool(c1)
        flatten: float32[N,1] = Flatten(globalaveragepool)
        fc: float32[N,2] = Gemm(flatten, fc.w, fc.b) {transB=1}
        return fc
      }"
    `)
    expect(modelCost(cut)).toMatchObject(widthCost(free, groups)([1, 2]))
  })
})
