/** @file Check: a folder of src/ imports only itself and folders of lower rank. */
import { relativeImports } from './source-files.ts'
import type { SourceFile } from './source-files.ts'

/**
 * Folders of src/ by rank. `tensor` lies below `storage`, which throws its UserError. The entry file src/index.ts
 * is above all; it and web/ must run in a browser, so neither may import cli/.
 */
const ranks: Record<string, number> = {
  tensor: 0,
  storage: 0.5,
  ir: 1,
  onnx: 2,
  ops: 2,
  passes: 3,
  runtime: 3,
  detection: 4,
  autodiff: 4,
  data: 5,
  metrics: 5,
  train: 6,
  pruning: 7,
  experiment: 8,
  report: 8,
  cluster: 8,
  server: 8,
  cli: 9,
}

interface Place {
  folder: string
  rank: number
}

/** Undefined for files outside src/ and web/, and for folders that the table lacks. */
function placeOf(path: string): Place | undefined {
  const [top, folder = '', rest] = path.split('/')
  if (top === 'web') return { folder: 'web', rank: 9 }
  if (top !== 'src') return undefined
  if (rest === undefined) return { folder: 'src', rank: 9 }
  const rank = ranks[folder]
  return rank === undefined ? undefined : { folder, rank }
}

/** One message for every import that goes up or sideways, or that leaves the table. */
export function rankViolations(files: readonly SourceFile[]): string[] {
  const problems: string[] = []
  for (const file of files) {
    const from = placeOf(file.path)
    if (!from) {
      problems.push(`${file.path}: its folder has no rank (scripts/import-ranks.ts)`)
      continue
    }
    for (const { to: target, line } of relativeImports(file)) {
      const to = placeOf(target)
      if (!to) problems.push(`${file.path}:${line}: imports ${target}, which has no rank`)
      else if (to.folder !== from.folder && to.rank >= from.rank) {
        problems.push(`${file.path}:${line}: ${from.folder} (rank ${from.rank}) imports ${target} (rank ${to.rank})`)
      }
    }
  }
  return problems
}
