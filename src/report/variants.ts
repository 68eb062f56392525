/** @file Runs that differ by nothing but seed and place, as one variant: what error bars are over. */
import type { ReportRun } from './record.ts'

export interface Variant {
  /** Method, and the options by which it differs from others of that method. */
  readonly label: string
  readonly runs: readonly ReportRun[]
}

/** What tells runs apart without being a choice of method. */
const circumstance = new Set(['out', 'seed', 'force', 'json', 'quiet', 'debug', 'threads', 'ep', 'cache'])

/** Runs by method and options, in the order in which they come. */
export function variantsOf(runs: readonly ReportRun[]): Variant[] {
  const architectures = new Set(runs.map((r) => `${r.record.arch ?? ''} ${r.record.data ?? ''}`))
  const byLabel = new Map<string, ReportRun[]>()
  for (const run of runs) {
    const alike = runs.filter((r) => r.record.method === run.record.method)
    const differing = differingOptions(alike).filter((key) => run.record.options[key] !== undefined).map((key) => `${key} ${shown(run.record.options[key])}`)
    const where = architectures.size > 1 ? [[run.record.arch, run.record.data].filter(Boolean).join(' on ')] : []
    const label = [run.record.method, ...where, ...differing].filter((part) => part !== '').join(', ')
    byLabel.set(label, [...(byLabel.get(label) ?? []), run])
  }
  return [...byLabel].map(([label, list]) => ({ label, runs: list }))
}

/** One run for each detector that the runs started from: several methods cut the same one. */
export function startsOf(runs: readonly ReportRun[]): ReportRun[] {
  return [...new Map(runs.map((run) => [run.record.model ?? run.path, run])).values()]
}

/** Options that are not the same in all runs. */
export function differingOptions(runs: readonly ReportRun[]): string[] {
  const keys = new Set(runs.flatMap((r) => Object.keys(r.record.options)))
  return [...keys].filter((key) => !circumstance.has(key) && new Set(runs.map((r) => shown(r.record.options[key]))).size > 1)
}

/** An option's value as text. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return typeof value === 'object' ? (Array.isArray(value) ? value.map(shown).join(', ') : JSON.stringify(value)) : String(value)
}

export interface Spread {
  readonly mean: number
  /** Standard deviation of the sample; 0 of a single value. */
  readonly deviation: number
  readonly low: number
  readonly high: number
  readonly count: number
}

/** Mean and standard deviation of what is there; undefined of nothing. */
export function spreadOf(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((v) => v !== undefined)
  if (known.length === 0) return undefined
  // Rounding would give equal values a deviation.
  const equal = known.every((v) => v === known[0])
  const mean = equal ? known[0]! : known.reduce((sum, v) => sum + v, 0) / known.length
  const deviation = equal ? 0 : Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (known.length - 1))
  return { mean, deviation, low: mean - deviation, high: mean + deviation, count: known.length }
}
