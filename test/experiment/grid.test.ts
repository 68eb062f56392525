/** @file The runs of an experiment: which there are, in what order, and the same passes for all. */
import { describe, expect, it } from 'vitest'
import { commandDefaults, optionRules } from '../../src/cli/experiment-commands.ts'
import { makeGrid } from '../../src/experiment/grid.ts'
import { parseSpec } from '../../src/experiment/spec.ts'

const spec = (more = '') => parseSpec(`
models: {s: {arch: ssd-small, train: {epochs: 2, lr: 0.03}}}
data: {d: shapes}
budgets: {p50: {remove-params: 0.5}, m30: {remove-macs: 0.3}}
methods: {l1: , own: {method: random, finetune-batch: 4}}
seeds: [3, 4]
passes: 40
prune: {finetune-lr: 0.01, finetune-warmup: 5}
${more}`, 'e.yaml', optionRules)

describe('the grid', () => {
  it('has a run for every cell, each behind those it starts from, seed by seed', () => {
    const runs = makeGrid(spec(), new Map([['d', 20]]), commandDefaults)
    expect(runs.map((r) => r.name)).toEqual(['s3', 's4'].flatMap((s) => ['train', 'tuned', 'p50_l1', 'p50_own', 'p50_scratch', 'm30_l1', 'm30_own', 'm30_scratch'].map((cell) => `s_d_${cell}_${s}`)))
    for (const [i, run] of runs.entries()) if (run.from !== undefined) expect(runs.findIndex((r) => r.name === run.from), run.name).toBeLessThan(i)
    expect(runs.filter((r) => r.kind === 'prune').map((r) => r.from)).toEqual(['s3', 's4'].flatMap((s) => Array.from({ length: 4 }, () => `s_d_train_${s}`)))
    // The pruned shape is that of the reference.
    expect(runs.find((r) => r.name === 's_d_m30_scratch_s4')!.from).toBe('s_d_m30_l1_s4')
  })

  it('gives all the same passes: whole epochs of 16 of 20 images, 40 passes or the first number above', () => {
    const byName = new Map(makeGrid(spec(), new Map([['d', 20]]), commandDefaults).map((r) => [r.name, r]))
    const of = (cell: string) => byName.get(`s_d_${cell}_s3`)!
    expect(of('train')).toMatchObject({ command: 'train', passes: 32, epoch: 16, options: { arch: 'ssd-small', epochs: 2, lr: 0.03, seed: 3 } })
    expect(of('p50_l1')).toMatchObject({ command: 'prune', passes: 40, epoch: 16, options: { method: 'l1', removeParams: 0.5, finetuneLr: 0.01, totalPasses: 40, seed: 3 } })
    expect(of('m30_own')).toMatchObject({ epoch: 20, options: { method: 'random', removeMacs: 0.3, finetuneBatch: 4 } })
    // Trained as prune trains after its cut.
    expect(of('tuned')).toMatchObject({ command: 'finetune', passes: 48, options: { epochs: 3, lr: 0.01, warmup: 5, clip: 10, batch: 8, optimizer: 'sgd', momentum: 0.9, weightDecay: 5e-4, augment: 'light', keep: 'best' } })
    // As the unpruned detector was trained, for its epochs and as many as a pruned one's passes make.
    expect(of('p50_scratch')).toMatchObject({ command: 'train', passes: 80, options: { epochs: 5, lr: 0.03, seed: 3 } })
    expect(of('p50_scratch').options).not.toHaveProperty('arch')
  })

  it('measures a detector that is given, and starts from it', () => {
    const given = parseSpec(`
models: {s: {file: detector.onnx}}
data: {d: shapes}
budgets: {p50: {remove-params: 0.5}}
methods: {l1: }
seeds: [0]
passes: 40
`, 'e.yaml', optionRules)
    expect(makeGrid(given, new Map([['d', 20]]), commandDefaults).map(({ name, command, from, passes }) => ({ name, command, from, passes }))).toEqual([
      { name: 's_d_given_s0', command: 'measure', from: undefined, passes: 0 },
      { name: 's_d_tuned_s0', command: 'finetune', from: 's_d_given_s0', passes: 48 },
      { name: 's_d_p50_l1_s0', command: 'prune', from: 's_d_given_s0', passes: 40 },
    ])
  })

  it('leaves rows out that are not asked for, and needs a batch of images', () => {
    expect(makeGrid(spec('rows: [unpruned]'), new Map([['d', 20]]), commandDefaults).map((r) => r.kind)).not.toContain('scratch')
    expect(() => makeGrid(spec(), new Map([['d', 7]]), commandDefaults)).toThrow('e.yaml: data "d" has 7 images to train on, less than a batch of 8; choose a smaller batch')
  })
})
