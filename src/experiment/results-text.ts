/** @file The results of an experiment for people (Markdown) and for tables (CSV). */
import { apNames, type Difference, verdictOf } from './bootstrap.ts'
import { measureNames, type ResultComparison, type ResultRow, type Results } from './results.ts'
import type { Spread } from './statistics.ts'

/** What stands in one table: one model on one data set at one budget. */
interface Section {
  readonly model: string
  readonly data: string
  readonly budget: string
  readonly rows: readonly { readonly row: ResultRow; readonly comparison: ResultComparison['comparison'] }[]
}

function sectionsOf({ rows, comparisons }: Results): Section[] {
  const budgets = new Map(rows.filter((r) => r.budget !== null).map((r) => [JSON.stringify([r.model, r.data, r.budget]), { model: r.model, data: r.data, budget: r.budget! }]))
  return [...budgets.values()].map((at) => ({
    ...at,
    rows: rows.filter((r) => r.model === at.model && r.data === at.data && (r.budget ?? at.budget) === at.budget).map((row) => ({
      row,
      comparison: comparisons.find((c) => c.model === at.model && c.data === at.data && c.budget === at.budget && c.row === row.row)?.comparison ?? null,
    })),
  }))
}

/** Words for the rows that no method makes. */
const rowWords: Readonly<Record<string, string>> = { unpruned: 'unpruned', tuned: 'unpruned, fine-tuned as long', scratch: 'scratch (pruned shape, fresh weights)' }

/** One table of the results as text. */
export interface ResultsTable {
  /** "resnet18 on bccd, p70" */
  readonly heading: string
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function resultsTables(results: Results): ResultsTable[] {
  return sectionsOf(results).map((section) => {
    const columns = columnsOf(section, results.reference)
    return { heading: `${section.model} on ${section.data}, ${section.budget}`, header: columns.map(([header]) => header), rows: section.rows.map((r) => columns.map(([, cell]) => cell(r))) }
  })
}

/** `level`: of the headings of the tables; the title is one above. */
export function resultsMarkdown(results: Results, level = 2): string {
  const { title, finished, total, reference, resamples } = results
  const lines = [
    `${'#'.repeat(level - 1)} ${title}`, '',
    `${finished} of ${total} runs are finished. Pruned runs, and the unpruned detector fine-tuned as long, start from the unpruned one and take ${results.passes} forward-backward passes over images in all (rounded up to whole epochs); "passes" are a row's own. AP is COCO's, mean ± standard deviation over seeds. `
    + `The difference is the row's AP minus that of ${reference}, with the 95% interval of a paired bootstrap over images and seeds (${resamples} resamples); a row is ahead of ${reference} or behind it where the interval excludes 0.`, '',
  ]
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  for (const { heading, header, rows } of resultsTables(results)) lines.push(`${'#'.repeat(level)} ${heading}`, '', line(header), line(header.map(() => '---')), ...rows.map(line), '')
  if (results.notes.length > 0) lines.push(...results.notes.map((note) => `- ${note}`), '')
  return lines.join('\n')
}

type Column = [header: string, cell: (r: Section['rows'][number]) => string]

function columnsOf({ rows }: Section, reference: string): Column[] {
  const some = (name: 'cutAP' | 'latencyMs'): boolean => rows.some(({ row }) => row.measures[name] !== null)
  return [
    ['row', ({ row }) => rowWords[row.row] ?? row.row],
    ['seeds', ({ row }) => `${row.seeds.length}${row.failed.length > 0 ? ` (${row.failed.length} failed)` : ''}${row.missing.length > 0 ? ` (${row.missing.length} to be done)` : ''}`],
    ...(some('cutAP') ? [['AP just cut', ({ row }) => points(row.measures.cutAP)] satisfies Column] : []),
    ['AP', ({ row }) => points(row.measures.AP)],
    ['AP50', ({ row }) => points(row.measures.AP50)],
    ['AP75', ({ row }) => points(row.measures.AP75)],
    ['AP S', ({ row }) => points(row.measures.APs)],
    ['AP M', ({ row }) => points(row.measures.APm)],
    ['AP L', ({ row }) => points(row.measures.APl)],
    [`AP minus ${reference}'s`, ({ comparison }) => (comparison ? interval(comparison.AP) : '')],
    [`against ${reference}`, ({ comparison }) => (comparison ? verdictOf(comparison.AP) : '')],
    ['params', ({ row }) => amount(row.measures.params)],
    ['MACs', ({ row }) => amount(row.measures.macs)],
    ['size', ({ row }) => unit(row.measures.bytes, 1e6, 'MB', 2)],
    ...(some('latencyMs') ? [['latency', ({ row }) => unit(row.measures.latencyMs, 1, 'ms', 1)] satisfies Column] : []),
    ['passes', ({ row }) => unit(row.measures.passes, 1, '', 0)],
    ['time', ({ row }) => time(row.measures.seconds)],
  ]
}

function points(spread: Spread | null): string {
  return spread ? `${spread.mean.toFixed(3)}${spread.sd === null ? '' : ` ± ${spread.sd.toFixed(3)}`}` : '-'
}

function amount(spread: Spread | null): string {
  const [size, name] = (spread?.mean ?? 0) >= 1e9 ? [1e9, 'G'] as const : [1e6, 'M'] as const
  return unit(spread, size, name, 2)
}

function unit(spread: Spread | null, size: number, name: string, digits: number): string {
  return spread ? `${(spread.mean / size).toFixed(digits)} ${name}`.trimEnd() : '-'
}

function time(spread: Spread | null): string {
  return (spread?.mean ?? 0) < 120 ? unit(spread, 1, 's', 0) : unit(spread, 60, 'min', 1)
}

function interval({ difference, low, high }: Difference): string {
  return `${signed(difference)} [${signed(low)}, ${signed(high)}]`
}

function signed(value: number): string {
  const digits = Math.abs(value).toFixed(3)
  return Number(digits) === 0 ? digits : `${value < 0 ? '-' : '+'}${digits}`
}

/** A line for every line of the tables, with all digits. */
export function resultsCsv(results: Results): string {
  const header = [
    'model', 'data', 'budget', 'row', 'seeds', 'failed', 'missing',
    ...measureNames.flatMap((name) => [`${name}_mean`, `${name}_sd`]),
    ...apNames.flatMap((name) => [`${name}_difference`, `${name}_low`, `${name}_high`]),
  ]
  const lines = sectionsOf(results).flatMap(({ model, data, budget, rows }) => rows.map(({ row, comparison }) => [
    model, data, budget, row.row, row.seeds.length, row.failed.length, row.missing.length,
    ...measureNames.flatMap((name) => [row.measures[name]?.mean, row.measures[name]?.sd]),
    ...apNames.flatMap((name) => (comparison ? [comparison[name].difference, comparison[name].low, comparison[name].high] : [undefined, undefined, undefined])),
  ]))
  return csv([header, ...lines])
}

/** A line for every run. */
export function runsCsv({ runs }: Results): string {
  return csv([
    ['run', 'kind', 'model', 'data', 'budget', 'row', 'seed', 'state', 'failure', ...measureNames],
    ...runs.map((r) => [r.name, r.kind, r.model, r.data, r.budget, r.row, r.seed, r.state, r.failure, ...measureNames.map((name) => r.measures[name])]),
  ])
}

function csv(lines: readonly (readonly (string | number | null | undefined)[])[]): string {
  const cell = (v: string | number | null | undefined): string => {
    const text = v === null || v === undefined ? '' : String(v)
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return `${lines.map((line) => line.map(cell).join(',')).join('\n')}\n`
}
