/** @file The harness of the benchmarks: processes in turns, their numbers, the table's ratios and goals. */
import { describe, expect, it } from 'vitest'
import { interleaved, statsOf, type Row, type Subject } from '../../bench/harness.ts'
import { goalMet, ratioOf, tableOf } from '../../bench/table.ts'

function node(name: string, code: string): Subject {
  return { name, command: process.execPath, args: ['-e', code] }
}

describe('interleaved', () => {
  it('runs the subjects in turns, the order reversed every round, and takes the last line of each', async () => {
    const seen: string[] = []
    const [a, b] = await interleaved([node('a', 'console.log("talk"); console.log(JSON.stringify({ x: 1 }))'), node('b', 'console.log(JSON.stringify({ x: 2 }))')], 2, (text) => seen.push(text))
    expect(seen).toEqual(['a (1 of 2)', 'b (1 of 2)', 'b (2 of 2)', 'a (2 of 2)'])
    expect(a).toEqual([{ x: 1 }, { x: 1 }])
    expect(b).toEqual([{ x: 2 }, { x: 2 }])
  })

  it('a process that fails, or says no numbers, ends the benchmark with its last words', async () => {
    await expect(interleaved([node('peer', 'throw new Error("no such module")')], 1, () => {})).rejects.toThrow(/peer: ended with code 1[^]*no such module/)
    await expect(interleaved([node('peer', 'console.log("done")')], 1, () => {})).rejects.toThrow('peer: its last line of output is no JSON: done')
  })
})

describe('statsOf', () => {
  it('is the median of an odd and of an even number of processes, with the ends', () => {
    expect(statsOf([{ s: 3 }, { s: 1 }, { s: 2 }], 's')).toEqual({ median: 2, min: 1, max: 3, processes: 3 })
    expect(statsOf([{ s: 4 }, { s: 1 }], 's').median).toBe(2.5)
  })

  it('refuses what a process did not measure', () => {
    expect(() => statsOf([{ s: 1 }, {}], 's')).toThrow('reported no number "s"')
    expect(() => statsOf([], 's')).toThrow('no process')
  })
})

describe('the table', () => {
  const of = (median: number): { median: number; min: number; max: number; processes: number } => ({ median, min: median, max: median + 1, processes: 2 })
  const row: Row = { what: 'step', unit: 's', ours: of(2), peer: { ...of(4), name: 'torch', version: '1.13' } }

  it('holds goals against ours or against the ratio', () => {
    expect(ratioOf(row)).toBe(0.5)
    expect(goalMet(row)).toBeUndefined()
    expect(goalMet({ ...row, goal: { of: 'ours', atMost: 1 } })).toBe(false)
    expect(goalMet({ ...row, goal: { of: 'ratio', atMost: 1 } })).toBe(true)
    expect(goalMet({ ...row, goal: { of: 'ratio', atLeast: 0.9 } })).toBe(false)
    // Without the peer there is no ratio, and a goal of it is neither met nor missed.
    expect(goalMet({ ...row, peer: undefined, goal: { of: 'ratio', atMost: 1 } })).toBeUndefined()
  })

  it('prints a line a row, the peer with its version', () => {
    const text = tableOf([{ title: 'training', rows: [{ ...row, goal: { of: 'ratio', atMost: 1 } }, { what: 'alone', unit: 'MB', ours: of(512) }] }])
    expect(text.split('\n').slice(2).map((line) => line.replace(/ {2,}/g, ' | '))).toEqual([
      'training',
      ' | step | 2.00 s (2.00..3.00) | 4.00 s (4.00..5.00) torch 1.13 | 0.50 | ratio <= 1: met',
      ' | alone | 512 MB (512..513)',
    ])
  })
})
