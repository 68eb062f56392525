/** @file Node times from a runtime's profile: a hand-made one, and one that the runtime wrote. */
import { describe, expect, it } from 'vitest'
import { createModel, Graph } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { readNodeTimes } from '../../src/runtime/node-times.ts'
import { measureNodeTimes } from '../../src/runtime/node-times-node.ts'
import { f32 } from '../../src/tensor/tensor.ts'

const node = (name: string, op: string, ts: number, dur: number): object => ({ cat: 'Node', name: `${name}_kernel_time`, ts, dur, args: { op_name: op } })
const run = (ts: number, dur: number): object => ({ cat: 'Session', name: 'model_run', ts, dur })

describe('readNodeTimes', () => {
  it('takes medians over the runs after the warm-up; names of what was put in a node\'s place are the node\'s', () => {
    const profile = JSON.stringify([
      { cat: 'Session', name: 'session_initialization', ts: 0, dur: 5 },
      node('conv', 'Conv', 11, 9000), run(10, 9990),
      node('conv_nchwc', 'Conv', 20_001, 2000), node('mul/QuickGeluFusion/', 'QuickGelu', 22_001, 500), run(20_000, 3000),
      node('conv_nchwc', 'Conv', 30_001, 4000), node('mul/QuickGeluFusion/', 'QuickGelu', 34_001, 700), run(30_000, 5000),
      node('conv_nchwc', 'Conv', 40_001, 3000), node('mul/QuickGeluFusion/', 'QuickGelu', 44_001, 900), run(40_000, 5000),
    ])
    expect(readNodeTimes(profile, 1)).toEqual([{ name: 'conv', type: 'Conv', ms: 3 }, { name: 'mul', type: 'QuickGelu', ms: 0.7 }])
  })

  it('adds up what one run does several times', () => {
    const profile = JSON.stringify([node('body', 'Add', 1, 100), node('body', 'Add', 200, 300), run(0, 1000)])
    expect(readNodeTimes(profile, 0)).toEqual([{ name: 'body', type: 'Add', ms: 0.4 }])
  })

  it('a profile without runs to count is an error', () => {
    expect(() => readNodeTimes(JSON.stringify([run(0, 1)]), 1)).toThrow('no run beyond the first 1')
  })
})

describe('measureNodeTimes', () => {
  it('finds the nodes by their outputs, though the file names them alike', async () => {
    const b = new Builder(new Graph('two'))
    const x = b.input('x', 'float32', [1, 16, 8, 8])
    const weight = (): ReturnType<typeof b.constant> => b.constant(f32(new Float32Array(16 * 16).fill(0.1), [16, 16, 1, 1]), 'w')
    const first = b.op('Conv', [x, weight()], { kernel_shape: [1, 1] }, 'first')
    b.output(b.op('Conv', [b.op('Softmax', [first], { axis: 1 }, 'middle'), weight()], { kernel_shape: [1, 1] }, 'second'))
    const model = createModel(b.graph, b.opset)
    for (const n of model.graph.nodes) n.name = 'same'
    const feeds = { x: f32(new Float32Array(16 * 64).fill(1), [1, 16, 8, 8]) }
    const [times, again] = await measureNodeTimes([{ model, feeds }, { model, feeds }], { runs: 3, warmup: 1, session: { threads: 1 } })
    const names = model.graph.nodes.map((n) => n.outputs[0]!.name)
    expect(times!.filter((t) => names.includes(t.name)).map((t) => t.type)).toEqual(['Conv', 'Softmax', 'Conv'])
    expect(times!.every((t) => t.ms >= 0)).toBe(true)
    expect(again!.map((t) => t.name)).toEqual(times!.map((t) => t.name))
  })
})
