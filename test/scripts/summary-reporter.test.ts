import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { summaryLine } from '../../scripts/summary-reporter.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const reporter = join(root, 'scripts/summary-reporter.ts')
let dir = ''

// Inside node_modules, so that the samples find vitest and no run of this suite collects them.
beforeAll(() => void (dir = mkdtempSync(join(root, 'node_modules/.summary-'))))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function run(files: Record<string, string>): { line: string | undefined; status: number | null } {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  const config = "export default { test: { include: ['*.sample.ts'], exclude: [] } }"
  writeFileSync(join(dir, 'vitest.config.mjs'), config)
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const { stdout, status } = spawnSync(process.execPath, [vitest, 'run', '--reporter', reporter], { cwd: dir, encoding: 'utf8' })
  return { line: stdout.trim().split('\n').at(-1), status }
}

it('leaves skipped tests out of the line where there are none', () => {
  expect(summaryLine({ passed: 3, failed: 0, skipped: 0 })).toBe('3 passed, 0 failed')
  expect(summaryLine({ passed: 3, failed: 1, skipped: 2 })).toBe('3 passed, 1 failed, 2 skipped')
})

it('counts tests, files that do not load and errors outside tests', () => {
  const good = "import { it } from 'vitest'\nit('a', () => {})\nit.skip('b', () => {})\n"
  expect(run({ 'good.sample.ts': good })).toEqual({ line: '1 passed, 0 failed, 1 skipped', status: 0 })
  const bad = "import { it } from 'vitest'\nit('c', () => { throw new Error('c') })\n"
  const broken = "throw new Error('cannot load')\n"
  const stray = "import { it } from 'vitest'\nit('d', () => { void Promise.reject(new Error('stray')) })\n"
  const files = { 'bad.sample.ts': bad, 'broken.sample.ts': broken, 'stray.sample.ts': stray }
  expect(run(files)).toEqual({ line: '2 passed, 3 failed, 1 skipped', status: 1 })
})
