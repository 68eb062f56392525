/** @file `npm run bench`: runs the benchmarks that are named (default: all), prints one table and writes it as JSON. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { peakMB } from '../src/cli/peak-memory.ts'
import { nodeStore } from '../src/storage/node.ts'
import { UserError } from '../src/tensor/error.ts'
import { type BenchContext, type Benchmark, type Row } from './harness.ts'
import { describe, load, machine } from './machine.ts'
import { findPeer } from './peers.ts'
import { goalMet, ratioOf, tableOf } from './table.ts'

/** All benchmarks, in the table's order. Loaded when they are run: a process holds the code of its own alone. */
const benchmarks: Readonly<Record<string, () => Promise<Benchmark>>> = {
  evaluation: async () => (await import('./evaluation.ts')).evaluation,
  'evaluation-growth': async () => (await import('./evaluation-growth.ts')).evaluationGrowth,
  latency: async () => (await import('./latency.ts')).latency,
  limits: async () => (await import('./limits.ts')).limits,
  loading: async () => (await import('./loading.ts')).loading,
  selection: async () => (await import('./selection.ts')).selection,
  start: async () => (await import('./start.ts')).start,
  'train-step': async () => (await import('./train-step.ts')).trainStep,
}

const usage = `npm run bench [-- NAMES] [--json FILE] [--quick]

  NAMES        ${Object.keys(benchmarks).join(', ')}; default all
  --json FILE  where the JSON goes; default bench/results/<date>.json
  --quick      smaller cases, fewer processes: to see that it works

Peers in Python are looked for in ESPALIER_BENCH_PYTHON (one or several, separated as in PATH), python3 and /usr/bin/python3.`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false }, child: { type: 'string' } },
})

function open(name: string): Promise<Benchmark> {
  const found = benchmarks[name]
  if (!found) throw new UserError(`no benchmark "${name}"; there are ${Object.keys(benchmarks).join(', ')}`)
  return found()
}

/** One process of a benchmark: its numbers as the last line. */
async function runChild(name: string, args: readonly string[]): Promise<void> {
  const { child } = await open(name)
  if (!child) throw new Error(`benchmark "${name}" has no child`)
  const sample = await child(args)
  console.log(JSON.stringify({ ...sample, peakMB: peakMB() }))
}

interface Part {
  name: string
  title: string
  measures: string
  rows: Row[]
  /** Why there are no rows. */
  error?: string
}

async function runAll(names: readonly string[]): Promise<void> {
  const chosen = await Promise.all(names.map(open))
  const about = machine()
  const started = { date: new Date().toISOString(), load: load() }
  const folder = mkdtempSync(join(tmpdir(), 'espalier-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const notes = new Set<string>()
  const parts: Part[] = []
  const path = resolve(options.json ?? join(fileURLToPath(new URL('./results', import.meta.url)), `${started.date.slice(0, 19).replaceAll(':', '')}.json`))
  const rows = (part: Part): object => ({ ...part, rows: part.rows.map((row) => ({ ...row, ratio: ratioOf(row), goalMet: goalMet(row) })) })
  // After each benchmark: all of them take an hour, and one that is stopped keeps what is measured. Only a whole one has `ended`.
  const save = (ended?: typeof started): Promise<void> =>
    nodeStore().writeAtomic(path, `${JSON.stringify({ machine: about, quick: options.quick, started, ended, benchmarks: parts.map(rows), notes: [...notes] }, null, 2)}\n`)
  for (const { name, title, measures, run } of chosen) {
    const log = (text: string): void => void process.stderr.write(`${name}: ${text}\n`)
    const context: BenchContext = {
      quick: options.quick, folder, log, note: (text) => notes.add(text),
      async peer(modules, install) {
        const peer = await findPeer(modules)
        if (!peer) notes.add(`missing: ${modules.join(', ')}; ${install}, and name its python in ESPALIER_BENCH_PYTHON`)
        return peer
      },
    }
    const part: Part = { name, title, measures, rows: [] }
    try {
      part.rows.push(...await run(context))
    } catch (error) {
      part.error = error instanceof Error ? error.message : String(error)
      process.exitCode = 1
    }
    parts.push(part)
    await save()
  }
  const ended = { date: new Date().toISOString(), load: load() }
  console.log([...describe(about), `load average ${started.load} before, ${ended.load} after${options.quick ? '; --quick: not to be quoted' : ''}`, ''].join('\n'))
  console.log(tableOf(parts))
  for (const { name, error } of parts) if (error) notes.add(`${name} failed: ${error}`)
  for (const note of notes) console.log(`\n${note}`)

  await save(ended)
  console.log(`\n${path}`)
}

try {
  if (options.help) console.log(usage)
  else if (options.child) await runChild(options.child, positionals)
  else await runAll(positionals.length ? positionals : Object.keys(benchmarks))
} catch (error) {
  if (!(error instanceof UserError)) throw error
  console.error(error.message)
  process.exitCode = 2
}
