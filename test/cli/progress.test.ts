/** @file Progress in plain lines and in the log of a run. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createProgress } from '../../src/cli/progress.ts'
import { openRunFolder } from '../../src/cli/run-folder.ts'
import { filesIn, put, temporaryFolder } from './support.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

describe('lines on a stream that is no terminal', () => {
  it('come every few seconds, with rate, time left and loss', () => {
    const lines: string[] = []
    const { listener } = createProgress({ write: (text) => lines.push(text) }, false)
    listener({ type: 'phase', name: 'epoch 1/2', total: 100, unit: 'steps' })
    for (let done = 1; done <= 12; done++) {
      vi.advanceTimersByTime(1000)
      listener({ type: 'progress', done, values: { loss: 2.5, images: done * 8 } })
    }
    listener({ type: 'end', summary: 'all well' })
    listener({ type: 'note', text: 'a note' })
    expect(lines).toEqual([
      'epoch 1/2: 5/100 steps, 8.0 images/s, ETA 1:35, loss 2.500\n',
      'epoch 1/2: 10/100 steps, 8.0 images/s, ETA 1:30, loss 2.500\n',
      'epoch 1/2: all well\n',
      'a note\n',
    ])
  })

  it('quiet says nothing', () => {
    const lines: string[] = []
    createProgress({ write: (text) => lines.push(text) }, true).listener({ type: 'note', text: 'a note' })
    expect(lines).toEqual([])
  })
})

describe('the folder of a run', () => {
  const folder = temporaryFolder()

  it('logs phases, ends and notes, and steps now and then; writes nothing before the work starts', async () => {
    const run = await openRunFolder(join(folder, 'a'), { force: false, files: ['plan.json'], command: 'test' })
    run.log('first')
    expect(filesIn(run.path)).toEqual([])
    await run.during(async () => {
      run.listener({ type: 'phase', name: 'train', total: 30, unit: 'images' })
      for (let done = 1; done <= 11; done++) {
        vi.advanceTimersByTime(1000)
        run.listener({ type: 'progress', done, values: {} })
      }
      run.listener({ type: 'end', summary: 'over' })
      await run.finish({ 'plan.json': '{}' }, { seed: 1 })
    })
    const lines = readFileSync(join(run.path, 'log.txt'), 'utf8').trimEnd().split('\n').map((line) => line.replace(/^\S+ /, ''))
    expect(lines).toEqual(['test', 'first', 'train: 30 images', 'train: 10/30 images, 1.0 images/s, ETA 0:20', 'train: over', 'done'])
    expect(filesIn(run.path)).toEqual(['log.txt', 'plan.json', 'run.json'])
  })

  it('says how the work failed, and leaves no record', async () => {
    const run = await openRunFolder(join(folder, 'b'), { force: false, files: ['plan.json'], command: 'test' })
    await expect(run.during(async () => Promise.reject(new Error('the disk is full')))).rejects.toThrow('the disk is full')
    expect(filesIn(run.path)).toEqual(['log.txt'])
    expect(readFileSync(join(run.path, 'log.txt'), 'utf8')).toContain('failed: Error: the disk is full')
    await openRunFolder(run.path, { force: false, files: ['plan.json'], command: 'again' })
  })

  it('refuses a finished run unless forced, and then replaces its record', async () => {
    await put(folder, 'c/run.json', '{"old":true}')
    await expect(openRunFolder(join(folder, 'c'), { force: false, files: ['plan.json'], command: 'test' })).rejects.toThrow('holds a run already; give --force to replace it')
    const run = await openRunFolder(join(folder, 'c'), { force: true, files: ['plan.json'], command: 'test' })
    await run.during(() => run.finish({}, { new: true }))
    expect(readFileSync(join(folder, 'c/run.json'), 'utf8')).toMatch(/^\{\n  "new": true,\n  "peakMB": \d+\n\}\n$/)
  })
})
