/** @file The page of results: every experiment of docs/results, its table and what is said of it. */
import { describe, expect, it } from 'vitest'
import { readExperiments, resultsPage } from '../../scripts/results-page.ts'
import type { Results } from '../../src/experiment/index.ts'
import { put, temporaryFolder } from '../cli/support.ts'

const results: Results = { version: 1, title: 'Cells', reference: 'lcp', split: null, resamples: 100, passes: 40, finished: 1, total: 2, rows: [], comparisons: [], runs: [], notes: ['1 of 2 runs are still to be done'] }

describe('the page of results', () => {
  it('has the tables of all experiments, and the notes beside them', async () => {
    const root = temporaryFolder()
    await put(root, 'b/results.json', JSON.stringify(results))
    await put(root, 'b/results-notes.md', 'What this says: little.\n')
    await put(root, 'a/results-50.json', JSON.stringify({ ...results, title: 'Half' }))
    await put(root, 'a/run.json', '{}')
    const experiments = readExperiments(root)
    expect(experiments.map(({ file }) => file)).toEqual(['a/results-50.json', 'b/results.json'])
    const page = resultsPage(experiments)
    expect(page).toMatch(/## Half\n[^]*From \[results\/a\/results-50\.json\]\(results\/a\/results-50\.json\)\.\n\n## Cells\n[^]*- 1 of 2 runs are still to be done\n\nWhat this says: little\.\n\nFrom \[results\/b/)
  })
})
