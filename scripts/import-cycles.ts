/** @file Check: no cycle among the imports of files (type imports count: a cycle of ideas is one too). */
import { relativeImports } from './source-files.ts'
import type { SourceFile } from './source-files.ts'

/** Every cycle that a depth-first walk closes, as "a.ts -> b.ts -> a.ts". */
export function importCycles(files: readonly SourceFile[]): string[] {
  const imports = new Map(files.map((file) => [file.path, relativeImports(file).map(({ to }) => to)]))
  const done = new Set<string>()
  const path: string[] = []
  const cycles = new Set<string>()
  const visit = (file: string): void => {
    const start = path.indexOf(file)
    if (start >= 0) cycles.add([...path.slice(start), file].join(' -> '))
    if (start >= 0 || done.has(file)) return
    path.push(file)
    for (const next of imports.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of files) visit(file.path)
  return [...cycles]
}
