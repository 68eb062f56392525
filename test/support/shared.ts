/** @file Where the real data, models and oracles lie; tests that need them are skipped by name where they are missing. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { it } from 'vitest'

const root = process.env.ESPALIER_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url))

/** Absolute path of something in the shared folder, or undefined where it is not there. */
export function shared(path: string): string | undefined {
  const full = `${root}/${path}`
  return existsSync(full) ? full : undefined
}

/** `it` for a test that needs `path` in the shared folder; `run` gets its absolute path. Skipped, with the reason in its name, where it is missing. */
export function sharedIt(path: string, name: string, run: (path: string) => Promise<void> | void, timeout?: number): void {
  const full = shared(path)
  if (full === undefined) it.skip(`${name} (needs shared/${path})`, () => {})
  else it(name, () => run(full), timeout)
}
