/** @file Certificates: they hold for cuts, and say what is wrong with anything else. */
import { describe, expect, it } from 'vitest'
import { addNode, cloneModel, setInitializer } from '../../src/ir/edit.ts'
import { Graph, type Model, type Value } from '../../src/ir/graph.ts'
import { valueNamed } from '../../src/ir/walk.ts'
import { type Certificate, certify, faultOf } from '../../src/pruning/certify.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats, i64, type Tensor } from '../../src/tensor/tensor.ts'
import { cancelling, cancellingLayers, pairs } from './cancelling.ts'
import { randomPlan } from './cut-case.ts'
import { reduce, slice } from './forms.ts'
import { inputsFor, Net, run } from './nets.ts'
import { randomNet } from './random-net.ts'

/** Keeps the given units of the group of `id`, or of "c1.w". */
function keep(model: Model, units: number[], id = 'c1.w'): PrunePlan {
  return makePlan(findGroups(model), new Map([[id, units]]), { method: 'hand' })
}

function certificate(original: Model, plan: PrunePlan, more: { pruned?: Model; file?: Model; inputs?: Record<string, Tensor>[] } = {}): Promise<Certificate> {
  return certify({ original, plan, pruned: applyPlan(original, plan), inputs: [1, 2].map((seed) => inputsFor(original, createRng(seed))), run, ...more })
}

describe('certify', () => {
  it('holds for random cuts of random nets', async () => {
    let cuts = 0
    for (let seed = 0; seed < 20; seed++) {
      const model = randomNet(seed)
      const plan = randomPlan(model, createRng(seed))
      cuts += plan.groups.length
      const found = await certificate(model, plan, { file: model })
      expect(faultOf(found)).toBeUndefined()
      expect(found).toMatchObject({ differences: [], sameWeights: true, strict: true, folding: 0 })
      expect(found.worst).toBeLessThan(2e-5)
      expect(found.shapes).toBe(applyPlan(model, plan).graph.nodes.flatMap((n) => n.outputs.filter((v) => v)).length)
    }
    expect(cuts).toBeGreaterThan(20)
  })

  const chain = (): Model => {
    const net = new Net(13)
    return net.model(net.conv('head', net.act('Sigmoid', net.conv('c1', net.x, 4, 1)), 2, 1))
  }

  it('sees weights that were trained further, and another width', async () => {
    const model = chain()
    const plan = keep(model, [0, 3])
    expect(await certificate(model, plan, { pruned: applyPlan(model, keep(model, [0, 1])) })).toMatchObject({ sameWeights: false, differences: [] })
    const wider = await certificate(model, plan, { pruned: applyPlan(model, keep(model, [0, 1, 2])) })
    expect(wider.differences.slice(0, 2)).toEqual(['initializer "c1.w" is float32 [3,3,1,1], expected float32 [2,3,1,1]', 'initializer "c1.b" is float32 [3], expected float32 [2]'])
    expect(faultOf(wider)).toMatch(/^initializer "c1\.w" is .*; initializer "head\.w" is float32 \[2,3,1,1\], expected float32 \[2,2,1,1\]$/)
  })

  it('sees a node, an attribute, an output that is not the cut\'s', async () => {
    const model = chain()
    const plan = keep(model, [0, 3])
    const changed = async (change: (pruned: Model) => void): Promise<readonly string[]> => {
      const pruned = applyPlan(model, plan)
      change(pruned)
      return (await certificate(model, plan, { pruned })).differences
    }
    expect(await changed(({ graph }) => Object.assign(graph.nodes[1]!, { opType: 'Tanh' }))).toEqual(['node 1 is .Tanh(c1) -> sigmoid, expected .Sigmoid(c1) -> sigmoid'])
    expect(await changed(({ graph }) => graph.nodes[2]!.attributes.set('strides', { kind: 'ints', value: [1n, 1n] }))).toEqual([expect.stringMatching(/^the attributes of Conv "head" are .* strides=1,1, expected/)])
    expect(await changed(({ graph }) => graph.outputs.push(graph.nodes[1]!.outputs[0]!))).toEqual(['the outputs are "head" [2,2,6,6], "sigmoid" [2,2,6,6], expected "head" [2,2,6,6]'])
  })

  it('sees a shape that is stated and not run; the runtime does too', async () => {
    const model = chain()
    const plan = keep(model, [0, 3])
    const pruned = applyPlan(model, plan)
    valueNamed(pruned.graph, 'sigmoid').shape = [2, 2, 6, 5]
    const { differences, strict } = await certificate(model, plan, { pruned })
    expect(strict).toBe(true)
    expect(differences[0]).toBe('"sigmoid" is [2,2,6,6] when run, [2,2,6,5] by inference')
    expect(differences[1]).toMatch(/^the runtime refuses node "sigmoid" .*Inferred=6 Declared=5/)
  })

  it('compares the file with its folded form', async () => {
    const model = chain()
    const file = cloneModel(model).model
    const bias = file.graph.initializers.find((v) => v.name === 'head.b')!
    setInitializer(bias, f32(floats(bias.initializer!).map((x) => x + 1)))
    expect(faultOf(await certificate(model, keep(model, [1]), { file }))).toMatch(/^with its constants folded the original is off by a share of 0\.\d+ already/)
  })

  it('says which output is off and how far, where float32 cannot carry the sums', async () => {
    const model = cancelling()
    const found = await certificate(model, keep(model, pairs((k) => k % 3 !== 1), 'big.w'))
    expect(found.worst).toBeGreaterThan(1e-4)
    expect(faultOf(found)).toMatch(/^output "head" is off by \S+ where its largest value is \S+: a share of \S+, 0\.0001 is allowed$/)
  })

  it('takes infinities and NaN only where both have them, and does not measure by them', async () => {
    const net = new Net(14)
    const c1 = net.act('Sigmoid', net.conv('c1', net.x, 3, 1))
    // log of negative numbers, and a division by zero.
    const model = net.model(net.b.op('Log', [net.conv('head', c1, 2, 1)]), net.b.div(net.conv('other', c1, 1, 1), net.b.scalar(0)))
    const found = await certificate(model, keep(model, [0, 2]))
    expect(found.outputs.map((o) => [o.name, Number.isFinite(o.maxReference)])).toEqual([['log', true], ['div', true]])
    expect(found.outputs[1]).toMatchObject({ maxReference: 0, relative: 0 })
    expect(faultOf({ ...found, outputs: found.outputs.slice(1) })).toMatch(/^all outputs are zero or no numbers/)
  })

  it('fails where an output is dead', async () => {
    const net = new Net(15)
    const model = net.model(net.b.mul(net.conv('head', net.conv('c1', net.x, 3, 1), 2, 1), net.b.scalar(0)))
    expect(faultOf(await certificate(model, keep(model, [1])))).toMatch(/^all outputs are zero/)
  })
})

describe('behind a choice', () => {
  /** Scores of places, the best of them, and what stands there; `tail` works on the chosen rows [1,k,c]. */
  function detector(tail: (net: Net, rows: Value) => Value, ties = false): Model {
    const net = new Net(16, [1, 3, 4, 4])
    const features = net.act('Sigmoid', net.conv('c1', net.x, 6, 1))
    const row = (x: Value, c: number): Value => net.b.transpose(net.b.reshape(x, [1, c, 16]), [0, 2, 1])
    const scores = net.b.reshape(net.conv('score', features, 1, 1), [16])
    // Whole numbers of steps: many places are equal but for rounding.
    const ranked = ties ? net.b.op('Floor', [net.b.mul(scores, net.b.scalar(2))]) : scores
    const [best, at] = net.b.ops('TopK', [ranked, net.b.ints([5])], 2, { axis: 0 }, 'best')
    const chosen = net.b.op('Gather', [row(net.conv('box', features, 4, 1), 4), at!], { axis: 1 })
    return net.model(best!, at!, tail(net, chosen))
  }

  it('is compared on the same choice; what enters it is listed', async () => {
    const model = detector((net, rows) => net.act('Tanh', rows))
    const found = await certificate(model, keep(model, [0, 2, 3]))
    expect(faultOf(found)).toBeUndefined()
    const topK = model.graph.nodes.find((n) => n.opType === 'TopK')!
    expect(found.outputs.map((o) => [o.name, o.before])).toEqual([
      ['best_0', undefined], ['best_1', undefined], ['tanh', undefined],
      [topK.inputs[0]!.name, 'TopK "best_0"'], ['transpose', 'Gather "gather"'],
    ])
    // The places found are the very same.
    expect(found.outputs[1]).toMatchObject({ maxDifference: 0 })
    expect(found.outputs[3]!.maxReference).toBeGreaterThan(0)
  })

  it('ties and steps make no false alarm', async () => {
    const model = detector((_, rows) => rows, true)
    const found = await certificate(model, keep(model, [1, 4]))
    expect(faultOf(found)).toBeUndefined()
    expect(found.outputs.map((o) => o.before)).toEqual([undefined, undefined, undefined, expect.stringContaining('Floor'), expect.stringContaining('TopK'), expect.stringContaining('Gather')])
  })

  it('suppressed boxes are the same ones', async () => {
    const net = new Net(21, [1, 3, 4, 4])
    const { b } = net
    const features = net.act('Sigmoid', net.conv('c1', net.x, 6, 1))
    const boxes = b.transpose(b.reshape(net.conv('box', features, 4, 1), [1, 4, 16]), [0, 2, 1])
    const scores = net.act('Sigmoid', b.reshape(net.conv('score', features, 2, 1), [1, 2, 16]))
    const chosen = b.op('NonMaxSuppression', [boxes, scores, b.ints([20]), b.scalar(0.3), b.scalar(0.2)], {}, 'nms')
    const places = b.op('Gather', [chosen, b.constant(i64([2], []))], { axis: 1 })
    const model = net.model(chosen, b.op('Gather', [boxes, places], { axis: 1 }, 'kept'))
    const found = await certificate(model, keep(model, [0, 2, 5]))
    expect(faultOf(found)).toBeUndefined()
    expect(found.outputs.map((o) => [o.name, o.before])).toEqual([['nms', undefined], ['kept', undefined], ['transpose', 'NonMaxSuppression "nms"'], [scores.name, 'NonMaxSuppression "nms"']])
    expect(found.outputs[0]).toMatchObject({ maxDifference: 0 })
    expect(found.outputs[0]!.maxReference).toBeGreaterThan(0)
  })

  it('layers are proven, too, cut channels of chosen rows as well', async () => {
    const model = detector((net, rows) => {
      const hidden = net.act('Sigmoid', net.b.add(net.b.op('MatMul', [rows, net.weight('h.w', [4, 6], 4)]), net.weight('h.b', [6], 4)))
      return net.b.op('MatMul', [hidden, net.weight('o.w', [6, 2], 6)])
    })
    const plan = makePlan(findGroups(model), new Map([['c1.w', [0, 5]], ['box.w', [1, 2]], ['h.w', [0, 1, 5]]]), { method: 'hand' })
    const found = await certificate(model, plan)
    expect(faultOf(found)).toBeUndefined()
    expect(plan.groups.map((g) => g.id)).toEqual(['c1.w', 'box.w', 'h.w'])
  })

  it('a difference is found', async () => {
    const model = detector((net, rows) => {
      const wide = net.b.reshape(net.b.transpose(rows, [0, 2, 1]), [1, 4, 5, 1])
      return net.b.add(wide, cancellingLayers(net, wide))
    })
    const found = await certificate(model, keep(model, pairs((k) => k % 3 !== 1), 'big.w'))
    const off = found.outputs.filter((o) => o.relative > 1e-4)
    expect(off.map((o) => o.name)).toEqual([model.graph.outputs[2]!.name])
  })

  it('every kind of choice is found', async () => {
    const net = new Net(18, [1, 3, 2, 2])
    const c1 = net.act('Sigmoid', net.conv('c1', net.x, 4, 1))
    const rows = net.b.op('NonZero', [net.b.op('Greater', [net.conv('a', c1, 1, 1), net.b.scalar(0)])])
    const model = net.model(rows, net.b.op('Where', [net.b.op('Less', [net.conv('b', c1, 1, 1), net.b.scalar(0.2)]), net.conv('d', c1, 1, 1), net.b.scalar(1)]), slice(net, net.b.op('Cast', [net.b.op('ArgMax', [net.conv('e', c1, 3, 1)], { axis: 1 })], { to: 1 }), [0], [1], [0]))
    const found = await certificate(model, keep(model, [0, 3]))
    expect(faultOf(found)).toBeUndefined()
    expect(found.outputs.slice(3).map((o) => o.before?.split(' ')[0]).sort()).toEqual(['ArgMax', 'Greater', 'Less', 'NonZero', 'Where'])
  })

  it('branches read what was handed over', async () => {
    const net = new Net(20, [1, 3, 2, 2])
    const c1 = net.act('Sigmoid', net.conv('c1', net.x, 4, 1))
    const shown = net.conv('a', c1, 2, 1)
    const branch = (name: string, op: string): Graph => {
      const graph = new Graph(name)
      graph.outputs.push(addNode(graph, op, [shown], [`${name}_out`]).outputs[0]!)
      return graph
    }
    const condition = net.b.op('Greater', [reduce(net, 'ReduceMax', net.conv('b', c1, 1, 1), [0, 1, 2, 3], 0), net.b.scalar(0)])
    const chosen = addNode(net.b.graph, 'If', [condition], ['chosen'], { then_branch: branch('yes', 'Tanh'), else_branch: branch('no', 'Neg') }, { name: 'choice' }).outputs[0]!
    Object.assign(chosen, { dtype: 'float32', shape: shown.shape })
    const model = net.model(chosen)
    const found = await certificate(model, keep(model, [2]))
    expect(faultOf(found)).toBeUndefined()
    expect(found.outputs.map((o) => [o.name, o.before])).toEqual([['chosen', undefined], ['reducemax', 'Greater "greater"'], ['greater', 'If "choice"'], ['a', 'If "choice"']])
  })
})
