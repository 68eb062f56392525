/** @file espalier experiment on a tiny grid: run, interrupted, resumed, refused. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { detectionsName, unpackDetections } from '../../src/metrics/detections-file.ts'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { cli, cliJson, drawing, filesIn, put, readJson, shapesClasses, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const out = join(folder, 'out')
const text = `title: Tiny
models: {small: {arch: ssd-small, train: {epochs: 1}}}
data: {drawings: {path: shapes, limit: 8}}
budgets: {p50: {remove-params: 0.5}}
methods: {l1: , random: }
seeds: [0, 1]
passes: 8
threads: 1
resamples: 100
`
let file = ''
const run = (...more: string[]) => cli('experiment', file, '--out', out, ...more)
/** Names of the runs that were run, in their order. */
const done = (err: string): string[] => [...err.matchAll(/^run \d+ of \d+: (\S+)/gm)].map(([, name]) => name!)
const names = ['s0', 's1'].flatMap((s) => ['train', 'tuned', 'p50_l1', 'p50_random', 'p50_scratch'].map((cell) => `small_drawings_${cell}_${s}`))

interface Shown { rows: { row: string; seeds: number[]; measures: Record<string, { mean: number } | null> }[]; runs: { name: string; state: string; failure: string | null; measures: Record<string, number> }[]; comparisons: { row: string; comparison: { AP: { low: number; high: number } } }[]; notes: string[]; finished: number; total: number }
const results = () => readJson(join(out, 'results.json')) as unknown as Shown
const timeless = ({ rows, runs, comparisons, notes }: Shown) => ({ notes, comparisons, rows: rows.map(({ measures: { seconds: _, ...measures }, ...row }) => ({ ...row, measures })), runs: runs.map(({ measures: { seconds: _, ...measures }, ...row }) => ({ ...row, measures })) })

beforeAll(async () => {
  file = await put(folder, 'tiny.yaml', text)
})

describe('experiment', () => {
  let first: Shown

  it('--dry-run tells the runs and touches nothing', async () => {
    const json = await cliJson('experiment', file, '--out', out, '--dry-run') as { runs: { name: string; state: string; command: string; passes: number }[]; passesLeft: number }
    expect(json.runs.map((r) => r.name)).toEqual(names)
    expect(json.runs[2]).toMatchObject({ state: 'absent', passes: 8, command: 'prune small_drawings_train_s0 --method l1 --remove-params 0.5 --total-passes 8' })
    expect(json.runs[4]).toMatchObject({ command: 'train --like small_drawings_p50_l1_s0 --epochs 2', passes: 16 })
    expect(json.passesLeft).toBe(2 * (8 + 8 + 8 + 8 + 16))
    expect(filesIn(folder)).toEqual(['tiny.yaml'])
  })

  it('stops beginning runs when the time is over', async () => {
    const { code, err, out: shown } = await run('--limit-hours', '0')
    expect(code, err).toBe(0)
    expect(done(err)).toEqual([])
    expect(shown).toContain('10 of 10 runs are still to be done')
  })

  it('trains, prunes and compares, each run a folder as its command writes it', async () => {
    const { code, err, out: shown } = await run()
    expect(code, err).toBe(0)
    expect(done(err)).toEqual(names)
    first = results()
    expect(first).toMatchObject({ finished: 10, total: 10, notes: [] })
    expect(shown).toMatch(/^unpruned, fine-tuned as long +2 /m)
    expect(filesIn(join(out, 'small_drawings_p50_l1_s0'))).toEqual(['detections.json.gz', 'log.txt', 'plan.json', 'pruned.onnx', 'run.json'])
    expect(filesIn(out).filter((name) => !names.includes(name))).toEqual(['experiment.json', 'results-runs.csv', 'results.csv', 'results.json', 'results.md'])
    // One trained detector for both methods; from scratch in the pruned shape.
    const plans = ['l1', 'random'].map((m) => readJson(join(out, `small_drawings_p50_${m}_s0/plan.json`)) as { model: { sha256: string } })
    expect(plans[0]!.model.sha256).toBe(plans[1]!.model.sha256)
    const params = (row: string) => first.rows.find((r) => r.row === row)!.measures.params!.mean
    expect(params('scratch')).toBe(params('l1'))
    expect(params('random')).toBe(params('l1'))
    expect(params('tuned')).toBe(params('unpruned'))
    // What was measured can be measured again from what the run keeps.
    const path = join(out, 'small_drawings_p50_l1_s1', detectionsName)
    const kept = await unpackDetections(new Uint8Array(readFileSync(path)), path)
    const { AP } = evaluateCoco(kept.images.map(({ sample, detections }) => ({ truth: sample.truth, detections })), kept.classes.length)
    expect(AP).toBe(first.runs.find((r) => r.name === 'small_drawings_p50_l1_s1')!.measures.AP)
  }, 180_000)

  it('does again what was interrupted, and that alone; the results are the same', async () => {
    const at = (name: string, ...rest: string[]) => join(out, `small_drawings_${name}`, ...rest)
    rmSync(at('p50_random_s0'), { recursive: true })
    writeFileSync(at('tuned_s1', 'run.json'), '{"AP": 0.')
    // Killed in the middle of writing.
    rmSync(at('p50_l1_s1', 'run.json'))
    writeFileSync(at('p50_l1_s1', 'run.json.99.tmp'), '{')
    // A killed process of this machine left its lock.
    writeFileSync(join(out, 'lock.json'), JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), since: 'then' }))
    const { code, err } = await run()
    expect(code, err).toBe(0)
    expect(done(err)).toEqual(['small_drawings_p50_random_s0', 'small_drawings_tuned_s1', 'small_drawings_p50_l1_s1'])
    expect(err).toContain('small_drawings_tuned_s1 (again: its run.json is broken)')
    expect(timeless(results())).toEqual(timeless(first))
    expect(filesIn(at('p50_l1_s1'))).not.toContain('run.json.99.tmp')
    expect(filesIn(out)).not.toContain('lock.json')
  }, 120_000)

  it('the trained detector made again is the same to the bit, so what came from it stays', async () => {
    rmSync(join(out, 'small_drawings_train_s0'), { recursive: true })
    const { code, err } = await run()
    expect(code, err).toBe(0)
    expect(done(err)).toEqual(['small_drawings_train_s0'])
  }, 60_000)

  it('refuses runs that were made otherwise, other data, a second process', async () => {
    const was = file
    file = await put(folder, 'other.yaml', text.replace('passes: 8', 'passes: 16'))
    const { code, err } = await run()
    expect([code, err]).toEqual([2, expect.stringContaining(`${join(out, 'small_drawings_tuned_s0')}: is finished, but its option epochs is 1, the experiment's is 2 (and 7 more of its runs differ); mend ${file}, choose another --out, or give --force to do what differs again`)])
    file = await put(folder, 'much.yaml', text.replace('remove-params: 0.5', 'remove-params: 0.9'))
    expect((await run()).err).toContain(`${file}: small_drawings_p50_l1_s0: 90% of the parameters cannot be removed: `)
    file = await put(folder, 'none.yaml', text.replace('remove-params: 0.5', ''))
    expect((await run()).err).toContain(`${file}: small_drawings_p50_l1_s0: no budget: give --remove-params`)
    file = was
    const images = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((i) => drawing(i, 'jpeg')))
    const data = await yoloFolder(join(folder, 'yolo'), shapesClasses, { train: images })
    expect((await run('--data', `drawings=${data}`)).err).toContain(`${data}: is not the data "drawings" that the runs in ${out} were made with`)
    expect((await run('--data', 'x=y')).err).toContain(`--data x=y: ${file} has no data "x", but "drawings"`)
    expect((await run('--data', `drawings=${join(folder, 'absent')}`)).err).toContain(`data "drawings" of ${file}: ${join(folder, 'absent')}: no such folder`)
    writeFileSync(join(out, 'lock.json'), JSON.stringify({ pid: process.pid, host: hostname(), since: 'now' }))
    expect((await run()).err).toContain(`${out}: another run of the experiment is at work there since now (process ${process.pid} on ${hostname()}); wait for its end`)
    rmSync(join(out, 'lock.json'))
  }, 60_000)

  it('starts from a detector that is given by its file', async () => {
    const was = file
    const model = join(out, 'small_drawings_train_s1/model.onnx')
    file = await put(folder, 'given.yaml', text.replace('{arch: ssd-small, train: {epochs: 1}}', `{file: ${model}}`).replace('seeds: [0, 1]', 'seeds: [0]').replace(', random: ', ''))
    const apart = join(folder, 'given')
    const { code, err } = await cli('experiment', file, '--out', apart)
    expect(code, err).toBe(0)
    expect(done(err)).toEqual(['small_drawings_given_s0', 'small_drawings_tuned_s0', 'small_drawings_p50_l1_s0'])
    const shown = readJson(join(apart, 'results.json')) as unknown as Shown
    const AP = results().runs.find((r) => r.name === 'small_drawings_train_s1')!.measures.AP
    expect(shown.runs[0]).toMatchObject({ measures: { AP, passes: 0 } })
    expect(shown.rows.map((r) => r.row)).toEqual(['unpruned', 'tuned', 'l1'])
    expect(done((await cli('experiment', file, '--out', apart)).err)).toEqual([])
    file = was
  }, 60_000)

  it('a run that fails is told with its reason, the others go on, and the exit code is 1', async () => {
    const was = file
    // prune itself finds out that the detector has no such value.
    file = await put(folder, 'failing.yaml', text.replace('methods: {l1: , random: }', 'methods: {l1: , none: {method: lcp, stages: nowhere}}').replace('seeds: [0, 1]', 'seeds: [0]'))
    const { code, err, out: shown } = await run()
    expect(code).toBe(1)
    expect(done(err)).toEqual(['small_drawings_p50_none_s0'])
    expect(err).toContain('1 of 5 runs failed, the first is small_drawings_p50_none_s0: ')
    expect(shown).toMatch(/^none +0 \(1 failed\) /m)
    expect(results().runs.find((r) => r.name === 'small_drawings_p50_none_s0')).toMatchObject({ state: 'failed', failure: expect.stringMatching(/nowhere/) as string })
    file = was
  }, 60_000)
})
