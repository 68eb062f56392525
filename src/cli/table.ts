/** @file Plain tables for people. */

/** Columns padded to their widest cell; the first is left-aligned, the others right-aligned unless `left` says so of all or of each. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], left: boolean | readonly boolean[] = false): string {
  const all = [header, ...rows]
  const widths = header.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  const isLeft = (i: number): boolean => i === 0 || (typeof left === 'boolean' ? left : left[i] === true)
  const line = (row: readonly string[]): string => row.map((cell, i) => (isLeft(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ').trimEnd()
  return [line(header), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n')
}

/** "12.38 M", "1.2 k" */
export function amount(n: number): string {
  if (n >= 1e9) return `${(n / 1e9).toFixed(2)} G`
  if (n >= 1e6) return `${(n / 1e6).toFixed(2)} M`
  return n >= 1e3 ? `${(n / 1e3).toFixed(1)} k` : String(n)
}

/** AP and recall: three digits, "-" where there is nothing to measure with. */
export function score(value: number): string {
  return value < 0 ? '-' : value.toFixed(3)
}

export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)}%`
}

/** The end of a name tells more than its start. */
export function shortened(name: string, width: number): string {
  return name.length <= width ? name : `...${name.slice(3 - width)}`
}
