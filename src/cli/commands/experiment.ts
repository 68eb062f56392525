/** @file espalier experiment: a grid of runs from a file, resumed run by run, and one table of their results. */
import { join } from 'node:path'
import { z } from 'zod'
import type { RunState } from '../../experiment/finished.ts'
import { makeGrid } from '../../experiment/grid.ts'
import { type Results, resultsOf, type RunOutcome } from '../../experiment/results.ts'
import { resultsCsv, resultsMarkdown, resultsTables, runsCsv } from '../../experiment/results-text.ts'
import { parseSpec } from '../../experiment/spec.ts'
import { detectionsName, unpackDetections } from '../../metrics/detections-file.ts'
import { makeFolder, nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { type CommonOptions, defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { assertPossible } from '../experiment-check.ts'
import { commandDefaults, commandText, optionRules } from '../experiment-commands.ts'
import { openExperimentData, parsePlaces } from '../experiment-data.ts'
import { withLatency } from '../experiment-latency.ts'
import { type Experiment, lookAt, refuseOthers, runAll } from '../experiment-run.ts'
import { flag, optionalNumber, type OptionsOf, required, text, texts } from '../fields.ts'
import { lockFolder } from '../folder-lock.ts'
import { table } from '../table.ts'

const fields = {
  out: required('DIR', 'folder of the run folders and of the results'),
  data: texts('NAME=DIR', 'where a data set of the file lies, in place of the path in the file; may be given again'),
  dryRun: flag('print the runs, their passes and what is done already; run nothing'),
  limitHours: optionalNumber('H', 'begin no run after so many hours; run again to go on (0: only gather the results of what is there)', { min: 0 }),
  results: text('NAME', 'first part of the names of the files of results, where several experiments share a folder with their trained detectors (default: results)'),
  force: flag('do finished runs again whose options are no longer those of the file'),
}

type Options = OptionsOf<typeof fields> & CommonOptions

export default defineCommand({
  arguments: [['<file>', 'YAML file of the experiment, see docs/experiments.md']],
  fields,
  examples: [
    'experiment experiments/shapes.yaml --out runs/shapes',
    'experiment experiments/bccd-resnet18-70.yaml --data bccd=data/bccd --out runs/bccd --dry-run',
    'experiment experiments/bccd-resnet18-70.yaml --out runs/bccd --limit-hours 3',
  ],
  details: 'Trains each detector once, prunes it by every method with the same number of passes, and compares. Every run is a folder as train, finetune or prune write it; '
    + 'after an interruption the same command goes on where it stopped. Writes DIR/results.json, results.csv, results-runs.csv and results.md.',
  async run(options, [file = ''], context) {
    const experiment = await openExperiment(file, options, context)
    if (options.dryRun) return tellGrid(experiment, await lookAt(experiment), context)
    await makeFolder(options.out)
    const release = lockFolder(options.out)
    try {
      await runAndTell(experiment, options, context)
    } finally {
      release()
    }
  },
})

async function openExperiment(file: string, options: Options, context: Context): Promise<Experiment> {
  const read = parseSpec(await nodeStore().readText(file), file, optionRules)
  const spec = { ...read, threads: options.threads ?? read.threads, ep: options.ep ?? read.ep }
  const data = await openExperimentData(spec, parsePlaces(options.data ?? [], spec), context)
  const runs = makeGrid(spec, new Map([...data].map(([name, { images }]) => [name, images])), commandDefaults)
  const experiment = { spec, runs, data, out: options.out }
  await assertPossible(experiment)
  return experiment
}

async function runAndTell(experiment: Experiment, options: Options, context: Context): Promise<void> {
  const { out, spec, runs } = experiment
  const deadline = options.limitHours === undefined ? Infinity : performance.now() + options.limitHours * 3_600_000
  await keepData(experiment)
  if (!options.force) refuseOthers(experiment, await lookAt(experiment))
  const outcomes = await withLatency(experiment, await runAll(experiment, { force: options.force, deadline }, context), { ...options, threads: spec.threads }, context)
  context.note('comparing')
  const store = nodeStore()
  const results = await resultsOf(spec, outcomes, async (run) => {
    const path = join(out, run.name, detectionsName)
    return unpackDetections(new Uint8Array(await store.read(path)), path)
  }, options.seed)
  const markdown = resultsMarkdown(results)
  const files = { '.json': `${JSON.stringify(results, null, 2)}\n`, '.csv': resultsCsv(results), '-runs.csv': runsCsv(results), '.md': markdown }
  for (const [end, content] of Object.entries(files)) await store.writeAtomic(join(out, `${options.results ?? 'results'}${end}`), content)
  context.result(results, resultsText(results, out))
  refuseFailed(outcomes, runs.length)
}

/** Columns that a terminal has no room for; results.md has them. */
const filedColumns = new Set(['AP75', 'AP S', 'AP M', 'AP L', 'size'])

function resultsText(results: Results, out: string): string {
  const tables = resultsTables(results).map(({ heading, header, rows }) => {
    const shown = [...header.keys()].filter((i) => !filedColumns.has(header[i]!))
    return `${heading}\n\n${table(shown.map((i) => header[i]!), rows.map((row) => shown.map((i) => row[i]!)))}`
  })
  return [results.title, ...tables, ...(results.notes.length > 0 ? [results.notes.join('\n')] : []), `${results.finished} of ${results.total} runs are finished; tables with all columns are in ${out}`].join('\n\n')
}

function refuseFailed(outcomes: readonly RunOutcome[], total: number): void {
  const failed = outcomes.filter((o) => o.failure !== undefined)
  if (failed.length > 0) throw new UserError(`${failed.length} of ${total} runs failed, the first is ${failed[0]!.run.name}: ${failed[0]!.failure}\nMend the cause and run the same command again; finished runs are kept.`, { exitCode: 1 })
}

const keptSchema = z.object({ data: z.record(z.string(), z.string()) })

/** Throws UserError where the runs of the folder were made with other data; keeps the checksums of these. */
async function keepData({ out, data, spec }: Experiment): Promise<void> {
  const path = join(out, 'experiment.json')
  const store = nodeStore()
  const kept = (await store.stat(path)) ? keptSchema.safeParse(await store.readText(path).then(JSON.parse).catch(() => undefined)).data?.data : undefined
  for (const [name, { path: place, sha256 }] of data) {
    if (kept?.[name] !== undefined && kept[name] !== sha256) throw new UserError(`${place}: is not the data "${name}" that the runs in ${out} were made with (names, sizes or objects of its images differ); give that data by --data ${name}=DIR, or choose another --out`)
  }
  const all = { ...kept, ...Object.fromEntries([...data].map(([name, { sha256 }]) => [name, sha256])) }
  await store.writeAtomic(path, `${JSON.stringify({ experiment: spec.title, data: all }, null, 2)}\n`)
}

const words: Readonly<Record<RunState['type'], string>> = { absent: 'to do', unfinished: 'again', differs: 'differs', finished: 'done' }

function tellGrid({ runs, out }: Experiment, states: ReadonlyMap<string, RunState>, context: Context): void {
  const json = runs.map((run) => {
    const state = states.get(run.name)!
    const why = state.type === 'unfinished' ? state.why : state.type === 'differs' ? state.what : null
    return { name: run.name, kind: run.kind, command: commandText(run), from: run.from ?? null, passes: run.passes, state: state.type, why, seconds: 'record' in state ? state.record.seconds : null }
  })
  const left = json.filter((r) => r.state !== 'finished')
  const sum = (of: typeof json): number => of.reduce((total, r) => total + r.passes, 0)
  const rows = json.map((r) => [r.name, words[r.state], String(r.passes), r.seconds === null ? '' : `${(r.seconds / 60).toFixed(1)} min`, r.command, r.why ?? ''])
  context.result({ runs: json, passes: sum(json), passesLeft: sum(left) }, `${table(['run', 'state', 'passes', 'time', 'command', 'why'], rows, [true, true, false, false, true, true])}\n\n${json.length} runs in ${out}, ${json.length - left.length} of them done; ${sum(left)} of ${sum(json)} passes over images are left`)
}
