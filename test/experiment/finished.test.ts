/** @file Whether a run is finished: by its record, its files, its options and the model it came from. */
import { describe, expect, it } from 'vitest'
import { stateOf } from '../../src/experiment/finished.ts'
import type { Run } from '../../src/experiment/grid.ts'
import { memoryStore } from '../../src/storage/memory.ts'

const numbers = { params: 10, macs: 20, AP: 0.4, AP50: 0.5, AP75: 0.3, APs: -1, APm: 0.2, APl: 0.6 }
const record = { after: numbers, cut: { ...numbers, AP: 0.1 }, passes: { total: 48 }, seconds: 9, options: { method: 'l1', seed: 1, lr: 0.1, out: 'there', data: '/a', round: 8 }, widths: { a: { before: 8, after: 4 } } }
const run: Run = { name: 'r', kind: 'prune', model: 'm', data: 'd', budget: 'b', row: 'l1', seed: 1, command: 'prune', options: { method: 'l1', seed: 1, lr: 0.1 }, from: 'm_d_train_s1', passes: 40, epoch: 16 }
const expected = { options: { method: 'l1', seed: 1, lr: 0.1, out: 'here', data: '/b', round: 8 }, sha256: 'abc' }
const files = (over: Record<string, string | undefined> = {}): Record<string, string> => {
  const all: Record<string, string | undefined> = { 'run.json': JSON.stringify(record), 'plan.json': '{"model":{"file":"m.onnx","sha256":"abc"}}', 'pruned.onnx': '12345', 'detections.json.gz': 'x', 'log.txt': 't done\n', ...over }
  return Object.fromEntries(Object.entries(all).flatMap(([name, text]) => (text === undefined ? [] : [[`r/${name}`, text]])))
}
const state = (over?: Record<string, string | undefined>, asked = expected, of = run) => stateOf(memoryStore(files(over)), 'r', of, asked)

describe('the state of a run', () => {
  it('is finished, wherever it and its data lie', async () => {
    expect(await state()).toEqual({ type: 'finished', record: { ...numbers, cutAP: 0.1, passes: 48, seconds: 9, bytes: 5, widths: { a: 4 } } })
    expect(await state({ 'pruned.onnx.data': '123' })).toMatchObject({ record: { bytes: 8 } })
  })

  it('is unfinished without a whole record and its files; the log says how it failed', async () => {
    expect(await stateOf(memoryStore(), 'r', run, expected)).toEqual({ type: 'absent' })
    expect(await state({ 'run.json': undefined })).toEqual({ type: 'unfinished', why: 'was interrupted' })
    expect(await state({ 'run.json': undefined, 'log.txt': '2026-01-01 start\n2026-01-01 failed: UserError: no memory; buy some\n    at x\n' })).toEqual({ type: 'unfinished', why: 'failed: no memory; buy some' })
    expect(await state({ 'run.json': JSON.stringify(record).slice(0, 40) })).toEqual({ type: 'unfinished', why: 'its run.json is broken' })
    expect(await state({ 'run.json': '{"after":{}}' })).toEqual({ type: 'unfinished', why: 'its run.json is broken' })
    expect(await state({ 'pruned.onnx': undefined })).toEqual({ type: 'unfinished', why: 'its pruned.onnx is missing' })
    expect(await state({ 'detections.json.gz': undefined })).toEqual({ type: 'unfinished', why: 'its detections.json.gz is missing' })
  })

  it('differs where an option or the model is another', async () => {
    expect(await state({}, { ...expected, options: { ...expected.options, lr: 0.2 } })).toMatchObject({ type: 'differs', what: 'its option lr is 0.1, the experiment\'s is 0.2' })
    expect(await state({}, { ...expected, sha256: 'abd' })).toMatchObject({ type: 'differs', what: 'it was made from another model than that of m_d_train_s1' })
    expect(await state({ 'plan.json': '{}' })).toMatchObject({ type: 'differs' })
    // An option of the record that the experiment does not give.
    expect(await state({ 'run.json': JSON.stringify({ ...record, options: { ...record.options, alpha: 3 } }) })).toMatchObject({ type: 'differs', what: 'its option alpha is 3, the experiment\'s is not given' })
    // A default of an option that the run did not know yet; but not one that the experiment gives.
    const newer = { ...expected, options: { ...expected.options, ranking: 'uniform' } }
    expect(await state({}, newer)).toMatchObject({ type: 'finished' })
    expect(await state({}, newer, { ...run, options: { ...run.options, ranking: 'uniform' } })).toMatchObject({ type: 'differs' })
  })
})
