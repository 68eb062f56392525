/** @file The tables at the end: options, certificate, versions. */
import { type Html, absent, section, tableOf } from '../html.ts'
import type { ReportRun } from '../record.ts'
import { differingOptions, shown, type Variant } from '../variants.ts'

export function optionsSection(runs: readonly ReportRun[], variants: readonly Variant[]): Html {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(run.record.options)))]
  const first = runs[0]!.record.options
  if (runs.length === 1) return section('options', 'Options', tableOf('Every option of the run, given or by default', ['option', 'value'], keys.map((key) => [key, shown(first[key])]), true))
  const differing = new Set(differingOptions(runs))
  const alike = keys.filter((key) => !differing.has(key) && new Set(runs.map((run) => shown(run.record.options[key]))).size === 1)
  const values = (own: readonly ReportRun[], key: string): string => [...new Set(own.map((run) => shown(run.record.options[key])))].join(', ')
  return section('options', 'Options',
    differing.size > 0 && tableOf('Options that differ', ['option', ...variants.map((v) => v.label)], [...differing].map((key) => [key, ...variants.map((v) => values(v.runs, key))]), true),
    tableOf('Options that all runs share', ['option', 'value'], alike.map((key) => [key, shown(first[key])]), true),
    tableOf('The runs', ['run', 'method', 'seed', 'model', 'data'], runs.map(({ name, record }) => [name, record.method, shown(record.seed), shown(record.model), shown(record.data)]), true))
}

export function certificateSection(runs: readonly ReportRun[]): Html {
  const certified = runs.filter((run) => run.record.certificate)
  if (certified.length === 0) return section('certificate', 'Certificate', absent('Nothing was cut in these runs, so there is no cut to prove.'))
  const about = 'Proof that the cut does to the network what zeroing the channels does: greatest difference of the outputs, relative to the greatest output'
  if (runs.length > 1) {
    const rows = certified.map(({ name, record: { certificate: c } }) => [name, c!.ok ? 'holds' : 'FAILED', small(c!.maxRelError), small(c!.tolerance), inputsOf(c!), String(c!.outputs.length)])
    return section('certificate', 'Certificate', tableOf(about, ['run', 'proof', 'greatest difference', 'allowed', 'inputs', 'outputs'], rows))
  }
  const c = certified[0]!.record.certificate!
  const rows = c.outputs.map((o) => [o.name, small(o.maxDifference), small(o.maxReference), small(o.relative)])
  return section('certificate', 'Certificate', tableOf(`${about}. The proof ${c.ok ? 'holds' : 'FAILED'}: ${small(c.maxRelError)}${c.tolerance === undefined ? '' : `, allowed is ${small(c.tolerance)}`}, on ${inputsOf(c)}`, ['output', 'greatest difference', 'greatest value', 'relative'], rows))
}

type Certificate = NonNullable<ReportRun['record']['certificate']>

function inputsOf({ inputs, images }: Certificate): string {
  return `${inputs === 1 ? 'one input' : `${inputs} inputs`}${images ? `, ${images} of them images` : ''}`
}

function small(value: number | null | undefined): string {
  if (value === undefined) return '-'
  return value === null ? 'not finite' : value === 0 ? '0' : value.toPrecision(3)
}

export function versionsSection(runs: readonly ReportRun[]): Html {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.record.versions)))]
  const rows = names.map((name) => [name, [...new Set(runs.map((run) => run.record.versions[name] ?? '-'))].join(', ')])
  return section('versions', 'Versions', tableOf('What the runs were made with', ['part', 'version'], rows, true))
}
