/** @file docs/results.md from the results that `espalier experiment` wrote into folders of docs/results. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Results, resultsMarkdown } from '../src/experiment/index.ts'

interface ExperimentResults {
  /** Below docs/results. */
  readonly file: string
  readonly results: Results
  /** What the table says and does not say, in Markdown: the file of the same name with -notes.md. */
  readonly notes?: string
}

/** Every NAME.json in a folder of `root` that an experiment wrote as its results. */
export function readExperiments(root: string): ExperimentResults[] {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()
  return folders.flatMap((folder) => readdirSync(join(root, folder)).filter((name) => /^results.*\.json$/.test(name)).sort().map((name) => {
    const notes = join(root, folder, name.replace(/\.json$/, '-notes.md'))
    return { file: `${folder}/${name}`, results: JSON.parse(readFileSync(join(root, folder, name), 'utf8')) as Results, ...(existsSync(notes) && { notes: readFileSync(notes, 'utf8').trim() }) }
  }))
}

export function resultsPage(experiments: readonly ExperimentResults[]): string {
  return [
    '# Results of the experiments', '',
    'Written by `npm run results -- --write` from the files that `espalier experiment` left in `docs/results`: no figure is copied by hand. The files of the',
    'experiments are in `experiments/`; [experiments.md](experiments.md) says how to run them and how the intervals are made.', '',
    ...experiments.flatMap(({ file, results, notes }) => [resultsMarkdown(results, 3).trimEnd(), ...(notes === undefined ? [] : ['', notes]), '', `From [results/${file}](results/${file}).`, '']),
  ].join('\n')
}
