/** @file The experiments of the repository are what the commands understand. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { commandDefaults, optionRules } from '../../src/cli/experiment-commands.ts'
import { makeGrid } from '../../src/experiment/grid.ts'
import { parseSpec } from '../../src/experiment/spec.ts'

const folder = fileURLToPath(new URL('../../experiments', import.meta.url))

describe('the experiments of the repository', () => {
  it.each(readdirSync(folder))('%s', (name) => {
    const spec = parseSpec(readFileSync(`${folder}/${name}`, 'utf8'), name, optionRules)
    const runs = makeGrid(spec, new Map([...spec.data.keys()].map((data) => [data, 200])), commandDefaults)
    expect(runs.filter((run) => run.kind === 'prune')).toHaveLength(spec.models.size * spec.data.size * spec.budgets.size * spec.methods.size * spec.seeds.length)
  })
})
