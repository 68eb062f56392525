/** @file Check: files stay small; totals by top folder. */
import type { SourceFile } from './source-files.ts'

const warnLines = 400
const maxLines = 600

export interface SizeReport {
  problems: string[]
  warnings: string[]
  /** Lines by top folder: src, test, ... */
  totals: Record<string, number>
}

export function fileSizes(files: readonly SourceFile[]): SizeReport {
  const report: SizeReport = { problems: [], warnings: [], totals: {} }
  for (const { path, text } of files) {
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
    const folder = path.split('/')[0] ?? path
    report.totals[folder] = (report.totals[folder] ?? 0) + lines
    if (lines > maxLines) report.problems.push(`${path}: ${lines} lines, over ${maxLines}: split it`)
    else if (lines > warnLines) report.warnings.push(`${path}: ${lines} lines, over ${warnLines}: look at it again`)
  }
  return report
}
