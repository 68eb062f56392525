/** @file The table of an experiment, from records written by hand. */
import { describe, expect, it } from 'vitest'
import { commandDefaults, optionRules } from '../../src/cli/experiment-commands.ts'
import type { RunRecord } from '../../src/experiment/finished.ts'
import { makeGrid, type Run } from '../../src/experiment/grid.ts'
import { resultsOf, type RunOutcome } from '../../src/experiment/results.ts'
import { resultsCsv, resultsMarkdown, runsCsv } from '../../src/experiment/results-text.ts'
import { parseSpec } from '../../src/experiment/spec.ts'
import { randomImages } from '../metrics/random-images.ts'

const spec = parseSpec(`
title: By hand
models: {s: {arch: ssd-small}}
data: {d: shapes}
budgets: {p50: {remove-params: 0.5}}
methods: {l1: , random: , own: {method: random, round: 4}}
seeds: [0, 1, 2]
passes: 600
resamples: 100
reference: l1
`, 'e.yaml', optionRules)
const runs = makeGrid(spec, new Map([['d', 100]]), commandDefaults)

const recordOf = (AP: number, over: Partial<RunRecord> = {}): RunRecord => ({ params: 2e6, macs: 3e9, AP, AP50: AP + 0.1, AP75: AP - 0.1, APs: -1, APm: 0.2, APl: 0.3, passes: 672, seconds: 60, bytes: 5e6, ...over })
const outcomeOf = (run: Run): RunOutcome => {
  if (run.row === 'random' && run.seed === 2) return { run, failure: 'no memory, "none" at all' }
  if (run.row === 'scratch' && run.seed > 0) return { run }
  if (run.kind !== 'prune') return { run, record: recordOf(0.5) }
  return { run, record: recordOf(0.4 + 0.1 * run.seed, { cutAP: 0.1, widths: { a: run.row === 'own' ? 12 : 8 }, passes: run.row === 'own' ? 900 : 672 }) }
}
const outcomes = runs.map(outcomeOf)
// Every run found the same, but those of "random", which found nothing.
const images = randomImages('results', 12, 20).map(({ truth, detections }, i) => ({ sample: { id: `${i}`, path: '', width: 1, height: 1, truth }, detections }))
const nothing = { boxes: new Float32Array(0), scores: new Float32Array(0), labels: new Int32Array(0) }
const found = async (run: Run) => ({ split: 'test', classes: ['a', 'b', 'c', 'd'], images: run.row === 'random' ? images.map((image) => ({ ...image, detections: nothing })) : images })

describe('the results', () => {
  it('have a row for each method, beside the honest ones, with means and standard deviations over the seeds that finished', async () => {
    const results = await resultsOf(spec, outcomes, found, 0)
    expect(results.rows.map((r) => r.row)).toEqual(['unpruned', 'tuned', 'l1', 'random', 'own', 'scratch'])
    const byRow = new Map(results.rows.map((r) => [r.row, r]))
    expect(byRow.get('l1')!.measures.AP).toMatchObject({ n: 3, mean: expect.closeTo(0.5, 12), sd: expect.closeTo(0.1, 12) })
    expect(byRow.get('l1')!.measures.APs).toBeNull()
    expect(byRow.get('random')).toMatchObject({ seeds: [0, 1], failed: [2], missing: [] })
    expect(byRow.get('random')!.measures.AP!.sd).toBeCloseTo(Math.sqrt(0.005), 12)
    expect(byRow.get('scratch')).toMatchObject({ seeds: [0], missing: [1, 2] })
    const compared = new Map(results.comparisons.map((c) => [c.row, c.comparison!]))
    expect([...compared.keys()]).toEqual(['unpruned', 'tuned', 'random', 'own', 'scratch'])
    expect(compared.get('own')!.AP).toEqual({ difference: 0, low: 0, high: 0 })
    expect(compared.get('random')!.AP.high).toBeLessThan(0)
    expect(compared.get('random')!.seeds).toEqual([0, 1])
    expect(results).toMatchObject({ finished: 15, total: 18 })
    expect(results.notes).toEqual([
      's_d_p50_random_s2 failed: no memory, "none" at all',
      ...[0, 1, 2].map((s) => `s_d_p50_own_s${s} took 900 passes, more than the 600 of the experiment: choosing its channels alone took so many`),
      'other widths than those of l1, at the same budget: own (s, d, p50)',
      '2 of 18 runs are still to be done',
    ])
  })

  it('read well, and as tables', async () => {
    const results = await resultsOf(spec, outcomes, found, 0)
    const markdown = resultsMarkdown(results)
    expect(markdown).toContain('# By hand\n')
    expect(markdown).toContain('## s on d, p50\n')
    const line = (row: string) => markdown.split('\n').find((text) => text.startsWith(`| ${row}`))!
    expect(line('l1 ')).toBe('| l1 | 3 | 0.100 ± 0.000 | 0.500 ± 0.100 | 0.600 ± 0.100 | 0.400 ± 0.100 | - | 0.200 ± 0.000 | 0.300 ± 0.000 |  |  | 2.00 M | 3.00 G | 5.00 MB | 672 | 60 s |')
    expect(line('random ')).toMatch(/^\| random \| 2 \(1 failed\) \| .* \| -0\.\d{3} \[-0\.\d{3}, -0\.\d{3}\] \| behind \|/)
    expect(line('own ')).toContain('| 0.000 [0.000, 0.000] | undecided |')
    expect(line('scratch ')).toContain('| 1 (2 to be done) | - | 0.500 |')
    const [header, ...lines] = resultsCsv(results).trimEnd().split('\n').map((text) => text.split(','))
    expect(lines).toHaveLength(6)
    expect(lines.every((l) => l.length === header!.length)).toBe(true)
    expect(Number(lines[2]![header!.indexOf('AP_mean')])).toBeCloseTo(0.5, 12)
    expect(runsCsv(results)).toContain('s_d_p50_random_s2,prune,s,d,p50,random,2,failed,"no memory, ""none"" at all"')
  })

  it('refuse to compare what was measured on other images', async () => {
    const other = async (run: Run) => (run.row === 'own' ? { split: 'test', classes: ['a', 'b', 'c', 'd'], images: images.slice(1) } : found(run))
    await expect(resultsOf(spec, outcomes, other, 0)).rejects.toThrow('s_d_p50_own_s0: was measured on other images or classes than s_d_train_s0')
  })
})
