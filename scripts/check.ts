/** @file All checks but the tests: prints each step's result and the line totals, fails if any step does. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fileSizes } from './file-sizes.ts'
import { importCycles } from './import-cycles.ts'
import { rankViolations } from './import-ranks.ts'
import { opNameComparisons } from './op-names.ts'
import { readSources } from './source-files.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Result {
  problems: string[]
  warnings?: string[]
}

/** Runs a tool of node_modules; its output is the problem if it fails. */
function tool(name: string, ...args: string[]): Result {
  const windows = process.platform === 'win32'
  const path = join(root, 'node_modules', '.bin', windows ? `${name}.cmd` : name)
  const run = spawnSync(windows ? `"${path}"` : path, args, { cwd: root, encoding: 'utf8', shell: windows })
  if (run.status === 0) return { problems: [] }
  return { problems: [run.error?.message ?? `${run.stdout}${run.stderr}`.trim()] }
}

const all = readSources(root, ['src', 'web', 'test', 'scripts', 'bench', 'bin', 'examples', 'experiments'])
const layered = all.filter(({ path }) => /^(src|web)\//.test(path))
const sizes = fileSizes(all)

const steps: Record<string, () => Result> = {
  'file sizes': () => sizes,
  'import ranks': () => ({ problems: rankViolations(layered) }),
  'import cycles': () => ({ problems: importCycles(layered) }),
  'op names': () => ({ problems: opNameComparisons(layered) }),
  lint: () => tool('oxlint', '--deny-warnings'),
  types: () => tool('tsc', '-p', 'tsconfig.json'),
  'unused code': () => tool('knip', '--no-progress', '--no-config-hints'),
}

let failed = 0
for (const [name, step] of Object.entries(steps)) {
  const start = performance.now()
  const { problems, warnings = [] } = step()
  if (problems.length > 0) failed++
  console.log(`${problems.length > 0 ? 'FAIL' : 'ok  '} ${name.padEnd(14)} ${((performance.now() - start) / 1000).toFixed(1)} s`)
  for (const text of warnings) console.log(`  warning: ${text}`)
  for (const text of problems) console.log(text.replace(/^/gm, '  '))
}
const total = Object.values(sizes.totals).reduce((sum, lines) => sum + lines, 0)
console.log(`lines: ${Object.entries(sizes.totals).map(([folder, lines]) => `${folder} ${lines}`).join(', ')}; total ${total}`)
console.log(failed === 0 ? 'all checks passed' : `${failed} of ${Object.keys(steps).length} checks failed`)
process.exitCode = failed === 0 ? 0 : 1
