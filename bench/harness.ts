/** @file What a benchmark is, and how its subjects are run: each in processes of its own, in turns, medians over the processes. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median } from '../src/runtime/latency.ts'
import type { Peer } from './peers.ts'

/** A file bench/<name>.ts exports one of these and bench/index.ts lists it. */
export interface Benchmark {
  readonly name: string
  /** One line, as the table's headline. */
  readonly title: string
  /** What is measured and what is left out, in a sentence or two. */
  readonly measures: string
  run(context: BenchContext): Promise<Row[]>
  /**
   * The measured work of one process of ours, which `ours` starts; its numbers by name. Here and nowhere else are src/ and
   * its engines loaded, so that the processes are like a user's.
   */
  child?(args: readonly string[]): Promise<Sample> | Sample
}

export interface BenchContext {
  /** Fewer processes and smaller cases: to see that it works, not to quote. */
  readonly quick: boolean
  /** Empty folder for this run's files; removed at the end. */
  readonly folder: string
  /** Progress, on standard error. */
  log(text: string): void
  /** A remark below the table. */
  note(text: string): void
  /** The first Python that has all these modules; undefined where none has, which the table then says, with `install`. */
  peer(modules: readonly string[], install: string): Promise<Peer | undefined>
}

/** Numbers of one process; every process also has `peakMB`, its largest resident size in 10^6 bytes. */
export type Sample = Readonly<Record<string, number>>

/** Over the processes of a subject. */
export interface Stats {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly processes: number
}

/** One line of the table. Ratios are ours by the peer's. */
export interface Row {
  readonly what: string
  readonly unit: string
  readonly ours?: Stats | undefined
  readonly peer?: (Stats & { readonly name: string; readonly version: string }) | undefined
  readonly goal?: { readonly of: 'ours' | 'ratio'; readonly atMost?: number; readonly atLeast?: number } | undefined
}

export interface Subject {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** A process that runs `child` of the benchmark of this name. */
export function ours(benchmark: string, args: readonly (string | number)[], env?: Record<string, string>): Subject {
  const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
  return { name: 'ours', command: process.execPath, args: ['--import', import.meta.resolve('tsx'), at('./index.ts'), '--child', benchmark, '--', ...args.map(String)], env }
}

/** A process of a peer: bench/peers/<script>, whose last line of output is a JSON object of numbers. */
export function theirs(peer: Peer, name: string, script: string, args: readonly (string | number)[], env?: Record<string, string>): Subject {
  return { name, command: peer.python, args: [fileURLToPath(new URL(`./peers/${script}`, import.meta.url)), ...args.map(String)], env }
}

/**
 * Runs the subjects in turns, `processes` times each, the order reversed every round, so that what the machine does besides falls on
 * all of them alike. The samples by subject, in the order given.
 */
export async function interleaved(subjects: readonly Subject[], processes: number, log: (text: string) => void): Promise<Sample[][]> {
  const samples: Sample[][] = subjects.map(() => [])
  const order = subjects.map((_, i) => i)
  for (let round = 0; round < processes; round++) {
    for (const i of order) {
      log(`${subjects[i]!.name} (${round + 1} of ${processes})`)
      samples[i]!.push(await runProcess(subjects[i]!))
    }
    order.reverse()
  }
  return samples
}

/** Median, smallest and largest of one number over the samples; throws where a sample lacks it. */
export function statsOf(samples: readonly Sample[], key: string): Stats {
  const values = samples.map((sample) => {
    const value = sample[key]
    if (value === undefined || !Number.isFinite(value)) throw new Error(`a process reported no number "${key}", but ${JSON.stringify(sample)}`)
    return value
  }).sort((a, b) => a - b)
  if (values.length === 0) throw new Error(`no process reported "${key}"`)
  return { median: median(values), min: values[0]!, max: values.at(-1)!, processes: values.length }
}

/** Seconds on the clock and of the processor (all threads, user and system) that the work took. */
export async function timed<T>(work: () => Promise<T> | T): Promise<{ value: T; seconds: number; cpuSeconds: number }> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const value = await work()
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  return { value, seconds, cpuSeconds: (used.user + used.system) / 1e6 }
}

function runProcess({ name, command, args, env }: Subject): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const fail = (why: string): void => reject(new Error(`${name}: ${why}\n${command} ${args.join(' ')}\n${err.trim().split('\n').slice(-12).join('\n')}`))
      if (code !== 0) return fail(`ended with ${signal ?? `code ${code}`}`)
      try {
        resolve(JSON.parse(out.trim().split('\n').at(-1) ?? '') as Sample)
      } catch {
        fail(`its last line of output is no JSON: ${out.trim().split('\n').at(-1)}`)
      }
    })
  })
}
