/** @file The property that everything rests on: removing channels equals a 0/1 factor on them at every consumer, whatever the graph. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolvePlan } from '../../src/pruning/resolve-plan.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { checkCut, randomPlan, tolerance } from './cut-case.ts'
import { inputsFor } from './nets.ts'
import { cuttable } from './pieces.ts'
import { buildNet, netSpecs, opsets } from './random-net.ts'

/** ESPALIER_CASES and ESPALIER_SEED run another number of cases, or others. */
const cases = Number(process.env.ESPALIER_CASES ?? 2000)
const seed = Number(process.env.ESPALIER_SEED ?? 1)

describe('cutting equals zeroing at the consumers', () => {
  it(`on ${cases} random graphs with random plans`, { timeout: 120_000 + 60 * cases }, async () => {
    const through = new Map([...cuttable, ...opsets.map((o) => `opset ${o}`), 'a free batch', 'several outputs'].map((feature) => [feature, 0]))
    const count = (feature: string): void => void (through.has(feature) && through.set(feature, through.get(feature)! + 1))
    let worst = 0
    await fc.assert(
      fc.asyncProperty(netSpecs, async (spec) => {
        const { model, ends } = buildNet(spec)
        const rng = createRng(`${spec.seed}/plan`)
        const plan = randomPlan(model, rng)
        worst = Math.max(worst, await checkCut(model, plan, inputsFor(model, rng)))
        const cut = new Set([...resolvePlan(model, plan).axes.keys()].map((v) => v.name))
        for (const feature of new Set(ends.filter((end) => cut.has(end.value)).map((end) => end.feature))) count(feature)
        if (cut.size === 0) return
        count(`opset ${spec.opset}`)
        if (spec.batch === 0) count('a free batch')
        if (model.graph.outputs.length > 1) count('several outputs')
      }),
      { numRuns: cases, seed, endOnFailure: false },
    )
    const shares = [...through].map(([feature, n]) => `${feature} ${((100 * n) / cases).toFixed(1)}%`)
    process.stdout.write(`${cases} cases, seed ${seed}, worst difference ${worst.toExponential(1)} of ${tolerance}; cut through: ${shares.join(', ')}\n`)
    // A few cases alone say nothing of shares.
    if (cases >= 2000) for (const [feature, n] of through) expect(n / cases, feature).toBeGreaterThan(0.03)
  })
})
