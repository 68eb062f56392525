/** @file Runs what an experiment still lacks, one run after the other, each in a folder of its own. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { failedPrefix, type RunState, stateOf } from '../experiment/finished.ts'
import { modelFile, type Run } from '../experiment/grid.ts'
import type { RunOutcome } from '../experiment/results.ts'
import type { ExperimentSpec } from '../experiment/spec.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Context } from './context.ts'
import { commandDefaults, invoke } from './experiment-commands.ts'
import { besideFile, type ExperimentData } from './experiment-data.ts'
import { measureGiven } from './experiment-given.ts'
import { fileIdentity } from './open-model.ts'

export interface Experiment {
  readonly spec: ExperimentSpec
  readonly runs: readonly Run[]
  readonly data: ReadonlyMap<string, ExperimentData>
  /** Folder of the run folders. */
  readonly out: string
}

/** What is in the folders, before anything runs; a run whose model is not made yet is looked at by its options alone. */
export async function lookAt(experiment: Experiment): Promise<Map<string, RunState>> {
  const states = new Map<string, RunState>()
  for (const run of experiment.runs) states.set(run.name, await look(experiment, run, states))
  return states
}

async function look(experiment: Experiment, run: Run, states: ReadonlyMap<string, RunState>): Promise<RunState> {
  const options = optionsOf(experiment, run)
  const complete = run.command === 'measure' ? options : commandDefaults.complete(run.command, options)
  const parent = run.from === undefined ? undefined : states.get(run.from)
  const model = run.kind === 'given' ? givenFile(experiment, run) : parent?.type === 'finished' ? modelOf(experiment, run.from!) : undefined
  const sha256 = model === undefined ? undefined : (await fileIdentity(model)).sha256
  return stateOf(nodeStore(), join(experiment.out, run.name), run, { options: complete, sha256 })
}

/** Throws UserError naming the first finished run that was made otherwise. */
export function refuseOthers({ out, spec }: Experiment, states: ReadonlyMap<string, RunState>): void {
  const others = [...states].flatMap(([name, state]) => (state.type === 'differs' ? [{ name, what: state.what }] : []))
  if (others.length === 0) return
  const [{ name, what }] = others as [typeof others[number]]
  const more = others.length > 1 ? ` (and ${others.length - 1} more of its runs differ)` : ''
  throw new UserError(`${join(out, name)}: is finished, but ${what}${more}; mend ${spec.file}, choose another --out, or give --force to do what differs again`)
}

export interface RunningOptions {
  /** Finished runs that differ from the file are done again. */
  readonly force: boolean
  /** No run begins after this moment, by performance.now(). */
  readonly deadline: number
}

/** Runs what is not finished; a run that fails is told and does not stop the others. */
export async function runAll(experiment: Experiment, options: RunningOptions, context: Context): Promise<RunOutcome[]> {
  const states = new Map<string, RunState>()
  const failures = new Map<string, string>()
  for (const [i, run] of experiment.runs.entries()) {
    let state = await look(experiment, run, states)
    const failure = state.type === 'finished' ? undefined : obstacleOf(run, state, states, failures, options)
    if (failure !== undefined) failures.set(run.name, failure)
    else if (state.type !== 'finished' && isDue(run, states, options)) {
      context.note(`run ${i + 1} of ${experiment.runs.length}: ${run.name}${state.type === 'unfinished' ? ` (again: ${state.why})` : ''}`)
      const fault = await runOne(experiment, run, state.type !== 'absent', context)
      if (fault === undefined) state = await look(experiment, run, states)
      else {
        failures.set(run.name, fault)
        context.note(`${run.name} failed: ${fault}`)
      }
    }
    states.set(run.name, state)
  }
  return experiment.runs.map((run) => {
    const state = states.get(run.name)!
    return state.type === 'finished' ? { run, record: state.record } : { run, failure: failures.get(run.name) ?? formerFailure(state) }
  })
}

/** Why a run fails before it begins. */
function obstacleOf(run: Run, state: RunState, states: ReadonlyMap<string, RunState>, failures: ReadonlyMap<string, string>, { force }: RunningOptions): string | undefined {
  if (state.type === 'differs' && !force) return `is finished, but ${state.what}; give --force to do it again`
  if (run.from !== undefined && states.get(run.from)!.type !== 'finished' && failures.has(run.from)) return `${run.from}, which it starts from, failed`
  return undefined
}

/** Whether a run may begin: in time, and with a model to start from. */
function isDue(run: Run, states: ReadonlyMap<string, RunState>, { deadline }: RunningOptions): boolean {
  return performance.now() < deadline && (run.from === undefined || states.get(run.from)!.type === 'finished')
}

/** How a run failed in an earlier sitting and was not tried again. */
function formerFailure(state: RunState): string | undefined {
  return state.type === 'unfinished' && state.why.startsWith(failedPrefix) ? state.why.slice(failedPrefix.length) : undefined
}

/** Runs the command; what it throws, in words. */
async function runOne(experiment: Experiment, run: Run, again: boolean, context: Context): Promise<string | undefined> {
  const folder = join(experiment.out, run.name)
  // The result of a run is a row of the table, not a table of its own.
  const inner: Context = { ...context, result: () => {}, close: () => {} }
  const args = run.from === undefined || run.command === 'train' ? [] : [modelOf(experiment, run.from!)]
  try {
    if (again) await sweep(folder)
    const data = experiment.data.get(run.data)!.path
    if (run.command === 'measure') await measureGiven(givenFile(experiment, run), { ...run.options, data, out: folder, force: again }, inner)
    else await invoke(run.command, { ...optionsOf(experiment, run), data, out: folder, force: again }, args, inner)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The options of a run with what depends on where things lie. */
function optionsOf(experiment: Experiment, run: Run): Run['options'] {
  const { weights } = run.options
  return {
    ...run.options,
    ...(typeof weights === 'string' && { weights: besideFile(experiment.spec, weights) }),
    ...(run.kind === 'scratch' && { like: modelOf(experiment, run.from!) }),
  }
}

function givenFile({ spec }: Experiment, run: Run): string {
  return besideFile(spec, spec.models.get(run.model)!.file!)
}

/** File of the model that a run makes. */
function modelOf({ out, runs }: Experiment, name: string): string {
  return join(out, name, modelFile(runs.find((run) => run.name === name)!.kind))
}

/** Takes away what a killed process was in the middle of writing. */
async function sweep(folder: string): Promise<void> {
  for (const name of await nodeStore().list(folder)) if (/\.\d+\.tmp$/.test(name)) await rm(join(folder, name), { force: true })
}
