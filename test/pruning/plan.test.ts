/** @file Plans: round trip, and refusal of those that do not fit. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { composePlans, makePlan, parsePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { chooseGroups } from '../../src/pruning/request.ts'
import { tensor } from '../../src/tensor/tensor.ts'
import { UserError } from '../../src/tensor/error.ts'
import { Net } from './nets.ts'

function chain(): Model {
  const net = new Net(1)
  return net.model(net.conv('head', net.act('Relu', net.norm('n', net.conv('c1', net.x, 4, 1))), 2, 1))
}

function planOf(model: Model, kept: number[] = [0, 2]): PrunePlan {
  return makePlan(findGroups(model), new Map([['c1.w', kept]]), { method: 'hand', seed: 3, model: { file: 'net.onnx' } })
}

/** The plan with `change` made to its JSON. */
function changed(change: (plan: { groups: { initializers: { name: string; axis: number; length: number; keep: number[] }[] }[] }) => void): string {
  const plan = structuredClone(planOf(chain()))
  change(plan)
  return JSON.stringify(plan)
}

function refusal(text: string): string {
  try {
    applyPlan(chain(), parsePlan(text, 'plan.json'), 'plan.json')
  } catch (error) {
    if (error instanceof UserError) return error.message
    throw error
  }
  return 'accepted'
}

describe('plans', () => {
  it('survive JSON', () => {
    const plan = planOf(chain())
    expect(parsePlan(JSON.stringify(plan), 'plan.json')).toEqual(plan)
    expect(plan).toMatchInlineSnapshot(`
      {
        "groups": [
          {
            "channelsAfter": 2,
            "channelsBefore": 4,
            "id": "c1.w",
            "initializers": [
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "c1.w",
              },
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "c1.b",
              },
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "n.scale",
              },
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "n.bias",
              },
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "n.mean",
              },
              {
                "axis": 0,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "n.var",
              },
              {
                "axis": 1,
                "keep": [
                  0,
                  2,
                ],
                "length": 4,
                "name": "head.w",
              },
            ],
          },
        ],
        "method": "hand",
        "model": {
          "file": "net.onnx",
        },
        "seed": 3,
        "version": 1,
      }
    `)
  })

  it('are refused by name and place where their text is wrong', () => {
    expect(refusal('{')).toMatchInlineSnapshot(`"plan.json: is no JSON; a plan written by espalier was wanted"`)
    expect(refusal('{"version":2,"groups":[]}')).toMatchInlineSnapshot(`
      "plan.json: is no valid prune plan:
      ✖ Invalid input: expected 1
        → at version
      ✖ Invalid input: expected string, received undefined
        → at method"
    `)
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.push(9)))).toMatchInlineSnapshot(`
      "plan.json: is no valid prune plan:
      ✖ index 9 of "c1.w" is beyond its axis of length 4
        → at groups[0].initializers[0].keep[2]"
    `)
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.reverse()))).toMatchInlineSnapshot(`
      "plan.json: is no valid prune plan:
      ✖ index 0 of "c1.w" is out of order or there twice
        → at groups[0].initializers[0].keep[1]"
    `)
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.splice(0)))).toMatchInlineSnapshot(`
      "plan.json: is no valid prune plan:
      ✖ keeps nothing; at least one index must stay
        → at groups[0].initializers[0].keep"
    `)
  })

  it('are refused where they do not fit the model', () => {
    const cut = (change: (c: { name: string; axis: number; length: number; keep: number[] }) => void): string => refusal(changed((p) => change(p.groups[0]!.initializers[0]!)))
    expect(cut((c) => (c.name = 'none'))).toMatchInlineSnapshot(`"plan.json: names the initializer "none", which the model lacks; it was made for net.onnx"`)
    expect(cut((c) => (c.axis = 7))).toMatchInlineSnapshot(`"plan.json: cuts axis 7 of "c1.w", which has only 4 axes; it was made for net.onnx"`)
    expect(cut((c) => (c.length = 5))).toMatchInlineSnapshot(`"plan.json: axis 0 of "c1.w" should be 5 long, in this model it is 4; it was made for net.onnx"`)
    expect(cut((c) => (c.keep = [0, 1]))).toMatchInlineSnapshot(`"plan.json: cuts 1 on axis 0 of "c1.b" but not all of 1 on axis 0 of "c1.w", which is tied to it; cut both or neither"`)
  })

  it('are refused where they cut what must stay, or what belongs to no group', () => {
    const only = (...cuts: { name: string; axis: number; length: number; keep: number[] }[]): string => refusal(changed((p) => (p.groups[0]!.initializers = cuts)))
    expect(only({ name: 'head.w', axis: 0, length: 2, keep: [1] }, { name: 'head.b', axis: 0, length: 2, keep: [1] })).toMatchInlineSnapshot(`"plan.json: cuts channels of "head.w", which must stay whole: "head", which Conv "head" makes, is an output of the model"`)
    expect(only({ name: 'c1.w', axis: 1, length: 3, keep: [1] })).toMatchInlineSnapshot(`"plan.json: index 0 on axis 1 of "c1.w" belongs to no channel group of this model; was the plan made for another one?"`)
    expect(only({ name: 'head.w', axis: 0, length: 2, keep: [1] })).toMatchInlineSnapshot(`"plan.json: cuts 0 on axis 0 of "head.w" but not all of 0 on axis 0 of "head.b", which is tied to it; cut both or neither"`)
  })

  it('are not made for unknown, whole, empty or wrong units', () => {
    const groups = findGroups(chain())
    const make = (id: string, units: number[]): (() => PrunePlan) => () => makePlan(groups, new Map([[id, units]]), { method: 'hand' })
    expect(make('x', [0])).toThrow('has no channel group "x"; its groups are: c1.w, head.w')
    expect(make('c1.w', [])).toThrow('keep at least one')
    expect(make('c1.w', [4])).toThrow('no channel 4: it has 4')
    expect(make('c1.w', [1, 1])).toThrow('listed twice')
    expect(make('head.w', [0])).toThrow('cannot be cut')
    expect(make('head.w', [0, 1])().groups).toEqual([])
  })

  it('are refused on a quantized model, with the remedy', () => {
    const net = new Net(1)
    const scale = [net.b.scalar(0.1), net.b.constant(tensor('uint8', [], Uint8Array.of(128)))]
    const y = net.b.op('DequantizeLinear', [net.b.op('QuantizeLinear', [net.conv('c1', net.x, 4, 1), ...scale], {}, 'q'), ...scale])
    const model = net.model(net.conv('head', net.act('Relu', y), 2, 1))
    const remedy = 'the model cannot be pruned: QuantizeLinear "q": the model is quantized; prune the float model, then quantize the pruned one'
    expect(() => applyPlan(model, planOf(chain()))).toThrow(new UserError(remedy))
    expect(() => chooseGroups({ model }, { groups: 'all' })).toThrow(new UserError(remedy))
  })

  it('compose only in order', () => {
    const plan = planOf(chain())
    expect(() => composePlans(plan, plan)).toThrow('has 2 channels after the first plan, the second starts from 4')
  })

  it('compose only where the first cut leaves the groups as they were', () => {
    const net = new Net(2)
    const model = net.model(net.conv('head', net.grouped('grouped', net.conv('c1', net.x, 4, 1), 4, 2), 2, 1))
    const cut = (m: Model, units: Record<string, number[]>): PrunePlan => makePlan(findGroups(m), new Map(Object.entries(units)), { method: 'hand' })
    // Of each group's two inputs and two outputs one is left: a depthwise convolution.
    const first = cut(model, { 'c1.w': [0], 'grouped.w': [0] })
    const second = cut(applyPlan(model, first), { 'c1.w': [1] })
    expect(() => composePlans(first, second)).toThrow('group "c1.w" has 1 channels after the first plan, the second starts from 2; no one plan can say both')
  })
})
