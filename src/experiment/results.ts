/** @file The results of an experiment, from what its finished runs say: a row a method, each beside the reference. */
import type { DetectionsFile } from '../metrics/detections-file.ts'
import { resampler } from '../metrics/coco-resample.ts'
import { UserError } from '../tensor/error.ts'
import { type BySeed, compareRows, type Comparison } from './bootstrap.ts'
import type { RunRecord } from './finished.ts'
import type { Run, RunKind } from './grid.ts'
import type { ExperimentSpec } from './spec.ts'
import { type Spread, spreadOf } from './statistics.ts'

/** A run as the results know it. */
export interface RunOutcome {
  readonly run: Run
  /** Of a finished run. */
  readonly record?: RunRecord
  /** Why there is none: how it failed; undefined: it is still to be done. */
  readonly failure?: string
  /** Milliseconds for one image, where measured. */
  readonly latencyMs?: number
}

export const measureNames = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'params', 'macs', 'bytes', 'passes', 'seconds', 'cutAP', 'latencyMs'] as const
export type MeasureName = (typeof measureNames)[number]

export interface ResultRow {
  readonly model: string
  readonly data: string
  /** Null for the rows that no budget changes. */
  readonly budget: string | null
  readonly row: string
  readonly kind: RunKind
  /** Of the finished runs. */
  readonly seeds: readonly number[]
  /** Of the failed ones. */
  readonly failed: readonly number[]
  /** Of those still to be done. */
  readonly missing: readonly number[]
  /** Null where no run has the measure. Sizes at which there is nothing to find are left out (-1 in run.json). */
  readonly measures: Readonly<Record<MeasureName, Spread | null>>
}

/** A row beside the reference of one budget. */
export interface ResultComparison {
  readonly model: string
  readonly data: string
  readonly budget: string
  readonly row: string
  readonly comparison: Comparison | null
}

export interface Results {
  readonly version: 1
  readonly title: string
  readonly reference: string
  readonly split: string | null
  readonly resamples: number
  readonly passes: number
  readonly finished: number
  readonly total: number
  readonly rows: readonly ResultRow[]
  readonly comparisons: readonly ResultComparison[]
  readonly runs: readonly RunResult[]
  /** What a reader should know, a sentence each. */
  readonly notes: readonly string[]
}

export interface RunResult extends Pick<Run, 'name' | 'kind' | 'model' | 'data' | 'row' | 'seed'> {
  readonly budget: string | null
  readonly state: 'finished' | 'failed' | 'missing'
  readonly failure: string | null
  readonly measures: Readonly<Partial<Record<MeasureName, number>>>
}

/** `detections`: those of a finished run, asked for once each. */
export async function resultsOf(spec: ExperimentSpec, outcomes: readonly RunOutcome[], detections: (run: Run) => Promise<DetectionsFile>, seed: number): Promise<Results> {
  const groups = groupBy(outcomes, ({ run }) => JSON.stringify([run.model, run.data, run.budget ?? null, run.row]))
  // The unpruned rows lead, in each budget the methods follow in the order of the file.
  const rows = [...groups.values()].filter(([first]) => first!.run.row !== 'unpruned' || spec.rows.includes('unpruned')).map(rowOf)
  const comparisons: ResultComparison[] = []
  for (const model of spec.models.keys()) for (const data of spec.data.keys()) comparisons.push(...await comparisonsOf(spec, outcomes.filter(({ run }) => run.model === model && run.data === data), detections, seed))
  return {
    version: 1,
    title: spec.title,
    reference: spec.reference,
    split: spec.split ?? null,
    resamples: spec.resamples,
    passes: spec.passes,
    finished: outcomes.filter((o) => o.record).length,
    total: outcomes.length,
    rows: ordered(rows, spec),
    comparisons,
    runs: outcomes.map(runResult),
    notes: notesOf(spec, outcomes),
  }
}

function rowOf(outcomes: readonly RunOutcome[]): ResultRow {
  const { run } = outcomes[0]!
  const seedsOf = (state: RunResult['state']): number[] => outcomes.filter((o) => stateOfOutcome(o) === state).map((o) => o.run.seed)
  const measured = outcomes.map(measuresOf)
  const measures = Object.fromEntries(measureNames.map((name) => {
    const values = measured.flatMap((m) => m[name] ?? [])
    return [name, values.length > 0 ? spreadOf(values) : null]
  })) as Record<MeasureName, Spread | null>
  return { model: run.model, data: run.data, budget: run.budget ?? null, row: run.row, kind: run.kind, seeds: seedsOf('finished'), failed: seedsOf('failed'), missing: seedsOf('missing'), measures }
}

function measuresOf({ record, latencyMs }: RunOutcome): Partial<Record<MeasureName, number>> {
  if (!record) return {}
  const all: Partial<Record<MeasureName, number>> = { ...record, latencyMs }
  return Object.fromEntries(measureNames.flatMap((name) => (all[name] === undefined || all[name] === -1 ? [] : [[name, all[name]]])))
}

function runResult(outcome: RunOutcome): RunResult {
  const { name, kind, model, data, budget = null, row, seed } = outcome.run
  return { name, kind, model, data, budget, row, seed, state: stateOfOutcome(outcome), failure: outcome.failure ?? null, measures: measuresOf(outcome) }
}

function stateOfOutcome({ record, failure }: RunOutcome): RunResult['state'] {
  return record ? 'finished' : failure === undefined ? 'missing' : 'failed'
}

function ordered(rows: readonly ResultRow[], spec: ExperimentSpec): ResultRow[] {
  const place = (r: ResultRow): number[] => [[...spec.models.keys()].indexOf(r.model), [...spec.data.keys()].indexOf(r.data), r.budget === null ? -1 : [...spec.budgets.keys()].indexOf(r.budget), ['unpruned', 'tuned', ...spec.methods.keys(), 'scratch'].indexOf(r.row)]
  return [...rows].sort((a, b) => {
    const [x, y] = [place(a), place(b)]
    const i = x.findIndex((v, k) => v !== y[k])
    return i < 0 ? 0 : x[i]! - y[i]!
  })
}

/** One model on one data set: in each budget, every row but the reference beside the reference. */
async function comparisonsOf(spec: ExperimentSpec, outcomes: readonly RunOutcome[], detections: (run: Run) => Promise<DetectionsFile>, seed: number): Promise<ResultComparison[]> {
  const finished = outcomes.filter((o) => o.record && (o.run.row !== 'unpruned' || spec.rows.includes('unpruned')))
  let ids: string | undefined
  let images = 0
  const found = new Map<Run, BySeed extends ReadonlyMap<number, infer R> ? R : never>()
  for (const { run } of finished) {
    const file = await detections(run)
    const own = JSON.stringify([file.split, file.classes, file.images.map(({ sample }) => sample.id)])
    if (ids !== undefined && own !== ids) throw new UserError(`${run.name}: was measured on other images or classes than ${finished[0]!.run.name}, so the two cannot be compared; delete the folders of runs that were made with other data, and run again`)
    ids = own
    images = file.images.length
    found.set(run, resampler(file.images.map(({ sample, detections: d }) => ({ truth: sample.truth, detections: d })), file.classes.length))
  }
  const { model, data } = outcomes[0]!.run
  return [...spec.budgets.keys()].flatMap((budget) => {
    const bySeed = groupBy([...found.keys()].filter((run) => run.budget === undefined || run.budget === budget), (run) => run.row)
    const rows = new Map([...bySeed].map(([row, runs]) => [row, new Map(runs.map((run) => [run.seed, found.get(run)!]))]))
    const reference = rows.get(spec.reference)
    rows.delete(spec.reference)
    if (!reference) return []
    return [...compareRows(rows, reference, { images, resamples: spec.resamples, seed })].map(([row, comparison]) => ({ model, data, budget, row, comparison: comparison ?? null }))
  })
}

function notesOf(spec: ExperimentSpec, outcomes: readonly RunOutcome[]): string[] {
  const notes: string[] = []
  for (const { run, failure } of outcomes) if (failure !== undefined) notes.push(`${run.name} failed: ${failure}`)
  for (const { run, record } of outcomes) {
    // The last epoch is whole, so a total is passed by less than one; more than that means that pruning itself took more.
    if (record && run.kind === 'prune' && record.passes >= spec.passes + run.epoch) notes.push(`${run.name} took ${record.passes} passes, more than the ${spec.passes} of the experiment: choosing its channels alone took so many`)
  }
  const cells = groupBy(outcomes.filter((o) => o.run.kind === 'prune' && o.record), ({ run }) => JSON.stringify([run.model, run.data, run.budget, run.seed]))
  const others = new Set<string>()
  for (const cell of cells.values()) {
    const reference = cell.find((o) => o.run.row === spec.reference)
    if (!reference) continue
    for (const o of cell) if (JSON.stringify(sorted(o.record!.widths)) !== JSON.stringify(sorted(reference.record!.widths))) others.add(`${o.run.row} (${[o.run.model, o.run.data, o.run.budget].join(', ')})`)
  }
  if (others.size > 0) notes.push(`other widths than those of ${spec.reference}, at the same budget: ${[...others].join('; ')}`)
  const left = outcomes.filter((o) => !o.record && o.failure === undefined).length
  if (left > 0) notes.push(`${left} of ${outcomes.length} runs are still to be done`)
  if (spec.seeds.length === 1) notes.push('one seed: the intervals are over images alone, and say nothing of how another training would end')
  return notes
}

function sorted(record: Readonly<Record<string, number>> = {}): [string, number][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item])
  return groups
}
