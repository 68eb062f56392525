/** @file Numbers as the page writes them. */
import { measured } from './record.ts'
import type { Spread } from './variants.ts'

/** "12.39 M" */
export function amount(n: number | null | undefined): string {
  if (n === null || n === undefined) return '-'
  if (n >= 1e9) return `${(n / 1e9).toFixed(2)} G`
  if (n >= 1e6) return `${(n / 1e6).toFixed(2)} M`
  return n >= 1e3 ? `${(n / 1e3).toFixed(1)} k` : String(n)
}

/** AP: three digits. */
export function score(value: number | null | undefined): string {
  return measured(value)?.toFixed(3) ?? '-'
}

export function spread(s: Spread | undefined, digits = 3): string {
  if (!s) return '-'
  return `${s.mean.toFixed(digits)}${s.count > 1 ? ` ± ${s.deviation.toFixed(digits)}` : ''}`
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`
}

/** "3 h 12 min", "14.2 min", "8.1 s" */
export function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`
  const minutes = seconds / 60
  return minutes < 120 ? `${minutes.toFixed(1)} min` : `${Math.floor(minutes / 60)} h ${Math.round(minutes % 60)} min`
}

/** The end of a name tells more than its start. */
export function shortened(name: string, width: number): string {
  return name.length <= width ? name : `…${name.slice(1 - width)}`
}
