/** @file The table of `npm run bench`. */
import type { Row, Stats } from './harness.ts'

const head = ['what', 'ours', 'peer', 'ours / peer', 'goal']

/** The rows of all benchmarks under one head; a benchmark's title stands above its rows. */
export function tableOf(parts: readonly { title: string; rows: readonly Row[] }[]): string {
  const lines = parts.map(({ title, rows }) => ({ title, cells: rows.map(cellsOf) }))
  const widths = head.map((name, i) => Math.max(name.length, ...lines.flatMap(({ cells }) => cells.map((row) => row[i]!.length))))
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ').trimEnd()
  return [
    line(head), line(widths.map((width) => '-'.repeat(width))),
    ...lines.flatMap(({ title, cells }) => [title, ...cells.map(line)]),
  ].join('\n')
}

/** Ours by the peer's, of medians. */
export function ratioOf({ ours, peer }: Row): number | undefined {
  return ours && peer ? ours.median / peer.median : undefined
}

/** Undefined where there is no goal, or nothing to hold against it. */
export function goalMet(row: Row): boolean | undefined {
  const value = row.goal?.of === 'ratio' ? ratioOf(row) : row.ours?.median
  if (!row.goal || value === undefined) return undefined
  return value <= (row.goal.atMost ?? Infinity) && value >= (row.goal.atLeast ?? -Infinity)
}

function cellsOf(row: Row): string[] {
  const { what, unit, ours, peer } = row
  const ratio = ratioOf(row)
  return [
    `  ${what}`, ours ? statsText(ours, unit) : '',
    peer ? `${statsText(peer, unit)} ${peer.name} ${peer.version}` : '',
    ratio === undefined ? '' : ratio.toFixed(2), goalText(row),
  ]
}

function statsText({ median, min, max }: Stats, unit: string): string {
  const spread = min === max ? '' : ` (${digits(min)}..${digits(max)})`
  return `${digits(median)} ${unit}${spread}`
}

/** Three digits, or all before the point. */
function digits(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && size < 1e-3) return value.toExponential(1)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3)
}

function goalText(row: Row): string {
  const { goal, unit } = row
  if (!goal) return ''
  const of = goal.of === 'ratio' ? 'ratio ' : ''
  const bounds = [
    ...(goal.atMost === undefined ? [] : [`<= ${goal.atMost}`]),
    ...(goal.atLeast === undefined ? [] : [`>= ${goal.atLeast}`]),
  ].join(', ')
  const met = goalMet(row)
  return `${of}${bounds}${of ? '' : ` ${unit}`}: ${met === undefined ? 'not measured' : met ? 'met' : 'missed'}`
}
