/** @file Edits keep uses and producers right; clones share weights and nothing else. */
import { describe, expect, it } from 'vitest'
import {
  addInitializer, addInput, addNode, appendInput, cloneGraph, cloneModel, putInput, removeNode, removeUnusedInitializers, replaceNode, replaceUses, setAttribute, setInitializer, setInput,
} from '../../src/ir/edit.ts'
import { createModel, Graph, Node, type Value } from '../../src/ir/graph.ts'
import { print } from '../../src/ir/print.ts'
import { verify } from '../../src/ir/verify.ts'
import { ancestors, capturedBy, inTurns, valueNamed, valuesOf } from '../../src/ir/walk.ts'
import { f32, i64 } from '../../src/tensor/tensor.ts'

/** x -> Conv(w) -> Relu -> y */
function small(): { graph: Graph; x: Value; w: Value; conv: Node; relu: Node } {
  const graph = new Graph('small')
  const x = addInput(graph, 'x', 'float32', ['N', 3, 8, 8])
  const w = addInitializer(graph, 'w', f32(new Float32Array(6), [2, 3, 1, 1]))
  const conv = addNode(graph, 'Conv', [x, w], ['h'], { kernel_shape: [1, 1], group: 1 })
  const relu = addNode(graph, 'Relu', [conv.outputs[0]], ['y'])
  graph.outputs.push(relu.outputs[0]!)
  return { graph, x, w, conv, relu }
}

/** The same with an If whose branches read x and w from outside. */
function withBranches(): { graph: Graph; branch: Node; w: Value } {
  const { graph, x, w } = small()
  const c = addInput(graph, 'c', 'bool', [])
  const side = (name: string): Graph => {
    const g = new Graph(name)
    g.outputs.push(addNode(g, 'Mul', [x, w], [`${name}_y`]).outputs[0]!)
    return g
  }
  const branch = addNode(graph, 'If', [c], ['z'], { then_branch: side('yes'), else_branch: side('no') })
  return { graph, branch, w }
}

describe('edits', () => {
  it('print shows a graph a line a node', () => {
    expect(print(small().graph)).toMatchInlineSnapshot(`
      "graph small(x: float32[N,3,8,8]) {
        w: float32[2,3,1,1] = initializer
        h: ?[...] = Conv(x, w) {group=1, kernel_shape=[1,1]}
        y: ?[...] = Relu(h)
        return y
      }"
    `)
    expect(print(withBranches().graph)).toMatchInlineSnapshot(`
      "graph small(x: float32[N,3,8,8], c: bool[]) {
        w: float32[2,3,1,1] = initializer
        h: ?[...] = Conv(x, w) {group=1, kernel_shape=[1,1]}
        y: ?[...] = Relu(h)
        z: ?[...] = If(c) {else_branch=no, then_branch=yes}
          graph yes() {
            yes_y: ?[...] = Mul(x, w)
            return yes_y
          }
          graph no() {
            no_y: ?[...] = Mul(x, w)
            return no_y
          }
        return y
      }"
    `)
  })

  it('setInput, appendInput and putInput move uses', () => {
    const { graph, x, w, conv, relu } = small()
    setInput(relu, 0, x)
    expect([...x.uses].map((u) => [u.node.opType, u.index])).toEqual([['Conv', 0], ['Relu', 0]])
    expect(conv.outputs[0]!.uses.size).toBe(0)
    appendInput(conv, undefined)
    putInput(relu, 3, w)
    expect(relu.inputs).toEqual([x, undefined, undefined, w])
    setInput(relu, 3, undefined)
    expect(w.uses.size).toBe(1)
    verify(graph)
  })

  it('a value read twice by one node keeps two uses', () => {
    const graph = new Graph('g')
    const x = addInput(graph, 'x', 'float32', [1])
    const node = addNode(graph, 'Mul', [x, x], ['y'])
    expect(x.uses.size).toBe(2)
    setInput(node, 0, undefined)
    expect([...x.uses].map((u) => u.index)).toEqual([1])
  })

  it('replaceUses covers readers, subgraphs and outputs', () => {
    const { graph, w } = withBranches()
    const other = addInitializer(graph, 'other', f32([1]))
    replaceUses(graph, w, other)
    expect([w.uses.size, other.uses.size]).toEqual([0, 3])
    const y = valueNamed(graph, 'y')
    replaceUses(graph, y, valueNamed(graph, 'h'))
    expect(graph.outputs[0]!.name).toBe('h')
    verify(graph)
  })

  it('removeNode refuses while its outputs are read, and forgets what the node and its subgraphs read', () => {
    const { graph, branch, w } = withBranches()
    expect(() => removeNode(graph, graph.nodes[0]!)).toThrow('"h" of node "h" is still read')
    expect(() => removeNode(graph, valueNamed(graph, 'y').producer!)).toThrow('"y" of node "y" is still read')
    removeNode(graph, branch)
    expect(w.uses.size).toBe(1)
    verify(graph)
  })

  it('replaceNode hands over the outputs', () => {
    const { graph, relu } = small()
    const y = graph.outputs[0]!
    const node = new Node('Sigmoid', '', 's')
    appendInput(node, relu.inputs[0])
    replaceNode(graph, relu, node)
    expect([y.producer, graph.outputs[0], graph.nodes.map((n) => n.opType)]).toEqual([node, y, ['Conv', 'Sigmoid']])
    expect(relu.inputs[0]).toBe(undefined)
    verify(graph)
  })

  it('addNode puts a node before another', () => {
    const { graph, conv, relu } = small()
    const made = addNode(graph, 'Neg', [conv.outputs[0]], ['n'], {}, { before: relu })
    setInput(relu, 0, made.outputs[0])
    verify(graph)
    expect(graph.nodes.map((n) => n.opType)).toEqual(['Conv', 'Neg', 'Relu'])
  })

  it('initializers change type with their content, and go when nobody reads them', () => {
    const { graph, w } = small()
    setInitializer(w, i64([1, 2]))
    expect([w.dtype, w.shape]).toEqual(['int64', [2]])
    const spare = addInitializer(graph, 'spare', f32([1]))
    const kept = addInitializer(graph, 'kept', f32([1]))
    graph.outputs.push(kept)
    graph.inputs.push(spare)
    removeUnusedInitializers(graph, graph.initializers)
    expect(graph.initializers.map((v) => v.name)).toEqual(['w', 'kept'])
    expect(graph.inputs.map((v) => v.name)).toEqual(['x'])
  })

  it('setAttribute takes plain numbers', () => {
    const { conv } = small()
    setAttribute(conv, 'pads', [1, 1, 1, 1])
    setAttribute(conv, 'alpha', 0.5)
    setAttribute(conv, 'whole', { float: 1 })
    expect(['pads', 'alpha', 'whole'].map((k) => conv.attributes.get(k)!.kind)).toEqual(['ints', 'float', 'float'])
  })
})

describe('walks', () => {
  it('ancestors stop where told and follow subgraphs', () => {
    const { graph, branch } = withBranches()
    expect(ancestors(graph, graph.outputs).map((n) => n.opType)).toEqual(['Conv', 'Relu'])
    expect(ancestors(graph, graph.outputs, new Set([valueNamed(graph, 'h')])).map((n) => n.opType)).toEqual(['Relu'])
    expect([...capturedBy(branch)].map((v) => v.name)).toEqual(['x', 'w', 'x', 'w'])
    expect([...valuesOf(graph)].map((v) => v.name)).toEqual(['x', 'c', 'w', 'h', 'y', 'z'])
    expect(() => valueNamed(graph, 'q')).toThrow('graph "small" has no value "q"')
  })
})

describe('clone', () => {
  it('prints the same, shares weights, and is independent', () => {
    const { graph, w } = withBranches()
    const model = createModel(graph, 17)
    model.metadata.set('k', 'v')
    w.extra = { doc: 1 }
    const { model: copy, values } = cloneModel(model)
    verify(copy.graph)
    expect(print(copy.graph)).toBe(print(graph))
    const v = values.get(w)!
    expect([v === w, v.initializer === w.initializer, v.extra === w.extra, v.uses.size]).toEqual([false, true, true, 3])
    const before = print(graph)
    setInitializer(v, f32([1]))
    copy.opsets.set('', 9)
    removeNode(copy.graph, copy.graph.nodes[2]!)
    expect(print(graph)).toBe(before)
    expect(model.opsets.get('')).toBe(17)
    verify(graph)
  })

  it('an initializer that is an input stays one value', () => {
    const { graph, w } = small()
    graph.inputs.push(w)
    const copy = cloneGraph(graph).graph
    expect(copy.inputs[1]).toBe(copy.initializers[0])
    verify(copy)
  })
})

describe('verify', () => {
  const faults: [string, (g: ReturnType<typeof small>) => void, string][] = [
    ['a use that is not recorded', ({ x }) => x.uses.clear(), '"x" does not know its use by node "h"'],
    ['a use of a node that does not read', ({ x, relu }) => void x.uses.add({ node: relu, index: 0 }), '"x" lists a use by node "y" that does not read it'],
    ['nodes out of order', ({ graph }) => void graph.nodes.reverse(), 'node "y" reads "h" before it is computed'],
    ['a name given twice', ({ graph }) => void addInitializer(graph, 'h', f32([1])), 'two values are called "h"'],
    ['a wrong producer', ({ graph }) => void (graph.outputs[0]!.producer = undefined), '"y" does not know its producer "y"'],
    ['an output that nothing computes', ({ graph }) => void graph.nodes.pop(), 'output "y" is never computed'],
    ['an initializer without content', ({ w }) => void (w.initializer = undefined), 'initializer "w" has no content'],
  ]
  for (const [what, harm, message] of faults) {
    it(`finds ${what}`, () => {
      const parts = small()
      verify(parts.graph)
      harm(parts)
      expect(() => verify(parts.graph)).toThrow(message)
    })
  }

  it('finds a subgraph that reads what is computed later', () => {
    const { graph } = withBranches()
    verify(graph)
    graph.initializers.pop()
    expect(() => verify(graph)).toThrow('a subgraph of node "z" reads "w" before it is computed')
  })
})

it('values in turns: as many as fit, a larger one alone, free axes as told', () => {
  const graph = new Graph('turns')
  const values = ([[4], [2], [3], [20], [1], ['N', 5]] as const).map((shape, i) => addInput(graph, `v${i}`, 'float32', [...shape]))
  const names = (most: number, free?: number): string[][] => inTurns(values, most, free).map((part) => part.map((v) => v.name))
  expect(names(9)).toEqual([['v0', 'v1', 'v2'], ['v3'], ['v4', 'v5']])
  expect(names(8)).toEqual([['v0', 'v1'], ['v2'], ['v3'], ['v4', 'v5']])
  expect(names(9, 2)).toEqual([['v0', 'v1', 'v2'], ['v3'], ['v4'], ['v5']])
})
