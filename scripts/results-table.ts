/** @file Prints the tables of docs/results from the files of runs and experiments there: no figure is copied by hand. With --write, docs/results.md from the experiments. */
import { readdirSync, readFileSync, existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readExperiments, resultsPage } from './results-page.ts'

const root = fileURLToPath(new URL('../docs/results', import.meta.url))

interface Numbers {
  params: number
  macs: number
  AP: number
  AP50: number
  AP75: number
}

interface Run extends Numbers {
  method: string
  arch: string
  seed: number
  seconds: number
  passes: number | { selection: number; stage: number; update: number; finetune: number; total: number }
  before?: Numbers
  cut?: Numbers
  after?: Numbers
  bestEpoch: number
  epochs: { AP?: number }[]
  /** Rates that were not given are in `finetune` and `lcp` alone. */
  options: { finetuneLr?: number; stageEpochs: number; stageLr?: number }
  finetune?: { rate: number }
  lcp?: { stageRate: number }
  certificate?: { maxRelError: number }
}

const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length
const spread = (xs: readonly number[]): number => (xs.length < 2 ? 0 : Math.sqrt(xs.reduce((t, x) => t + (x - mean(xs)) ** 2, 0) / (xs.length - 1)))
const points = (xs: readonly number[]): string => `${mean(xs).toFixed(3)}${xs.length > 1 ? ` ± ${spread(xs).toFixed(3)}` : ''}`
const minutes = (xs: readonly number[]): string => `${(mean(xs) / 60).toFixed(1)} min`
const million = (v: number): string => `${(v / 1e6).toFixed(2)} M`
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

/** Runs of one experiment folder by name. */
function runsOf(folder: string): Map<string, Run> {
  const names = readdirSync(`${root}/${folder}`).filter((name) => existsSync(`${root}/${folder}/${name}/run.json`)).sort()
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(`${root}/${folder}/${name}/run.json`, 'utf8')) as Run]))
}

function trainingTable(runs: readonly Run[]): string[] {
  return [
    row(['seed', 'params', 'test AP', 'AP50', 'AP75', 'best epoch', 'time']),
    row(['---', '---', '---', '---', '---', '---', '---']),
    ...runs.map((r) => row([String(r.seed), million(r.params), points([r.AP]), points([r.AP50]), points([r.AP75]), String(r.bestEpoch), minutes([r.seconds])])),
    row(['mean', '', points(runs.map((r) => r.AP)), points(runs.map((r) => r.AP50)), points(runs.map((r) => r.AP75)), '', minutes(runs.map((r) => r.seconds))]),
  ]
}

function pruningTable(runs: readonly Run[]): string[] {
  const methods = [...new Set(runs.map((r) => r.method))]
  const lines = methods.map((method) => {
    const own = runs.filter((r) => r.method === method)
    const of = (at: 'before' | 'cut' | 'after', key: keyof Numbers): number[] => own.map((r) => r[at]![key])
    const lost = (key: 'AP' | 'AP50'): string => (100 * mean(own.map((r) => r.before![key] - r.after![key]))).toFixed(1)
    const removed = (key: 'params' | 'macs'): string => `${(100 * mean(own.map((r) => 1 - r.after![key] / r.before![key]))).toFixed(1)}%`
    const passes = own.map((r) => (typeof r.passes === 'number' ? r.passes : r.passes.total))
    return row([
      method, String(own.length), removed('params'), removed('macs'), points(of('before', 'AP')), points(of('cut', 'AP')), points(of('after', 'AP')), lost('AP'),
      points(of('after', 'AP50')), lost('AP50'), points(of('after', 'AP75')), passes.map(String).join(', '), minutes(own.map((r) => r.seconds)),
    ])
  })
  const header = ['method', 'seeds', 'params removed', 'MACs removed', 'AP before', 'AP just cut', 'AP after', 'AP points lost', 'AP50 after', 'AP50 points lost', 'AP75 after', 'passes', 'time']
  return [row(header), row(header.map(() => '---')), ...lines]
}

/** Runs that options were chosen by: on the validation split. */
function optionsTable(runs: readonly Run[]): string[] {
  const best = (r: Run): number => Math.max(...r.epochs.map((e) => e.AP ?? -1))
  const rows = [...runs].sort((a, b) => best(a) - best(b)).map((r) => row([String(r.finetune?.rate ?? r.options.finetuneLr), String(r.options.stageEpochs), String(r.lcp?.stageRate ?? r.options.stageLr), best(r).toFixed(3)]))
  return [row(['fine-tuning rate', 'stage epochs', 'stage rate', 'best val AP']), row(['---', '---', '---', '---']), ...rows]
}

const experiments = readExperiments(root)
if (process.argv.includes('--write')) {
  const page = fileURLToPath(new URL('../docs/results.md', import.meta.url))
  writeFileSync(page, resultsPage(experiments))
  console.log(`${page}: ${experiments.length} experiments`)
  process.exit()
}
if (experiments.length > 0) console.log(resultsPage(experiments))
for (const folder of readdirSync(root, { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name).sort()) {
  const runs = [...runsOf(folder).values()]
  const training = runs.filter((r) => r.method === 'train')
  const pruning = runs.filter((r) => r.method !== 'train')
  if (runs.length === 0) continue
  console.log(`## ${folder}\n`)
  if (folder.endsWith('-options')) {
    console.log([...optionsTable(pruning), ''].join('\n'))
    continue
  }
  if (training.length) console.log([...trainingTable(training), ''].join('\n'))
  if (pruning.length) console.log([...pruningTable(pruning), ''].join('\n'))
}
