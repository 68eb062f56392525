/** @file Plans: round trip, and refusal of those that do not fit. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { composePlans, makePlan, parsePlan, type PrunePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
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
    expect(plan).toMatchInlineSnapshot()
  })

  it('are refused by name and place where their text is wrong', () => {
    expect(refusal('{')).toMatchInlineSnapshot()
    expect(refusal('{"version":2,"groups":[]}')).toMatchInlineSnapshot()
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.push(9)))).toMatchInlineSnapshot()
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.reverse()))).toMatchInlineSnapshot()
    expect(refusal(changed((p) => p.groups[0]!.initializers[0]!.keep.splice(0)))).toMatchInlineSnapshot()
  })

  it('are refused where they do not fit the model', () => {
    const cut = (change: (c: { name: string; axis: number; length: number; keep: number[] }) => void): string => refusal(changed((p) => change(p.groups[0]!.initializers[0]!)))
    expect(cut((c) => (c.name = 'none'))).toMatchInlineSnapshot()
    expect(cut((c) => (c.axis = 7))).toMatchInlineSnapshot()
    expect(cut((c) => (c.length = 5))).toMatchInlineSnapshot()
    expect(cut((c) => (c.keep = [0, 1]))).toMatchInlineSnapshot()
    expect(cut((c) => Object.assign(c, { name: 'head.w', axis: 0, length: 2, keep: [1] }))).toMatchInlineSnapshot()
    expect(cut((c) => Object.assign(c, { axis: 1, length: 3, keep: [1] }))).toMatchInlineSnapshot()
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

  it('compose only in order', () => {
    const plan = planOf(chain())
    expect(() => composePlans(plan, plan)).toThrow('has 2 channels after the first plan, the second starts from 4')
  })
})
