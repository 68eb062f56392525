/** @file The source files of the repository, as the checks read them. */
import { readFileSync, readdirSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'

/** `path` is relative to the repository, with forward slashes. */
export interface SourceFile {
  path: string
  text: string
}

const extensions = /\.(ts|tsx|js|mjs)$/

/** All source files below the given folders (missing ones are skipped), sorted by path. */
export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  const files: SourceFile[] = []
  const visit = (dir: string): void => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const full = join(dir, entry.name)
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules' && entry.name !== 'dist') visit(full)
      } else if (extensions.test(entry.name)) {
        files.push({ path: relative(root, full).split(sep).join('/'), text: readFileSync(full, 'utf8') })
      }
    }
  }
  const present = new Set(readdirSync(root))
  for (const folder of folders) if (present.has(folder)) visit(join(root, folder))
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

export interface Import {
  /** Importing and imported file, repository paths. */
  from: string
  to: string
  line: number
}

// A statement starts its line, which keeps comments out; no quote lies between the keyword and the specifier.
const statement = /^[ \t]*(?:import|export)\s(?:[^'"`]*?\bfrom\s*)?(['"])(\.[^'"]+)\1/gm
// Also type queries: `import('./x.ts').Y`.
const dynamic = /^(?![ \t]*(?:\/?\*|\/\/)).*?\bimport\(\s*(['"])(\.[^'"]+)\1/gm

/** The relative imports of a file: static, re-exports, dynamic; type-only ones too. */
export function relativeImports(file: SourceFile): Import[] {
  const found: Import[] = []
  for (const pattern of [statement, dynamic]) {
    for (const match of file.text.matchAll(pattern)) {
      const to = posix.normalize(posix.join(posix.dirname(file.path), match[2] ?? ''))
      const line = file.text.slice(0, match.index + match[0].length).split('\n').length
      found.push({ from: file.path, to, line })
    }
  }
  return found
}
