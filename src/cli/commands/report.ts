/** @file espalier report: runs as one page of HTML. */
import { parseHTML } from 'linkedom'
import { readRuns, type ReportRun } from '../../report/record.ts'
import { pageLimit, reportOf } from '../../report/report.ts'
import { fitSamples, type SampleSet } from '../../report/samples.ts'
import { assertWritable, nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import { flag, number, required, text } from '../fields.ts'
import { withLatency } from '../report-latency.ts'
import { reportSamples } from '../report-samples.ts'

/** What pictures may take of a page; plots and tables take the rest. */
const pictureBytes = 0.7 * pageLimit

const fields = {
  out: required('FILE', 'the page, such as report.html'),
  force: flag('replace a file that is there already and is no report'),
  title: text('TEXT', 'title of the page (default: from the runs)'),
  samples: number('N', 'sample images of each method, the worst first; 0 for none', 6, { whole: true, min: 0, max: 50 }),
  sampleImages: number('N', 'images of the split that the samples are chosen from: the first N', 200, { whole: true, min: 1 }),
  threshold: number('SCORE', 'least score of a box that is drawn', 0.3, { min: 0, max: 1 }),
  bench: number('N', 'timed runs of each model, in turns, for AP against latency; 0: only what the runs measured', 0, { whole: true, min: 0 }),
  data: text('DIR', 'folder of the images, where it is not where the run had it'),
}

export default defineCommand({
  arguments: [['<runs...>', 'folders of runs (of train, finetune, prune or demo), or a folder that holds several']],
  fields,
  examples: ['report runs/lcp --out report.html', 'report runs/lcp-s0 runs/lcp-s1 runs/l1-s0 runs/l1-s1 --out compared.html', 'report runs/experiment --samples 0 --out experiment.html'],
  details: 'One page that needs no network: numbers, plots, sample images, options and versions, from what the runs wrote. Runs that differ by their seed alone are one method, with error bars.',
  async run(options, folders, context) {
    const store = nodeStore()
    const recorded = await readRuns(store, folders)
    await assertReplaceable(options.out, options.force)
    await assertWritable(options.out.includes('/') ? options.out.replace(/\/[^/]*$/, '') || '/' : '.')
    const runs = options.bench > 0 ? await withLatency(recorded, options, context) : recorded
    const drawn = options.samples === 0 ? [] : await reportSamples(runs, options, context)
    const samples = fitSamples(drawn, pictureBytes)
    if (countOf(samples) < countOf(drawn)) context.note(`${countOf(samples)} of ${countOf(drawn)} sample images are in the page: more would make it larger than ${pageLimit / 1e6} MB`)
    for (const set of samples) if ('why' in set) context.note(`${set.run}: no sample images: ${set.why}`)
    const { document } = parseHTML('<!DOCTYPE html><html><body></body></html>')
    const page = reportOf(runs, { document, samples, ...(options.title !== undefined && { title: options.title }) })
    await store.writeAtomic(options.out, page)
    const bytes = Buffer.byteLength(page)
    context.result({ file: options.out, bytes, runs: runs.map(briefly), samples: samples.map((set) => ('why' in set ? { run: set.run, images: 0, why: set.why } : { run: set.run, images: set.samples.length })) }, `${runs.length === 1 ? 'one run' : `${runs.length} runs`} in ${options.out}, ${(bytes / 1e6).toFixed(2)} MB`)
  },
})

function countOf(sets: readonly SampleSet[]): number {
  return sets.reduce((n, set) => n + ('why' in set ? 0 : set.samples.length), 0)
}

function briefly({ name, path, record }: ReportRun) {
  return { name, path, method: record.method, seed: record.seed ?? null }
}

/** A report may replace a report; anything else may have been named by mistake. */
async function assertReplaceable(path: string, force: boolean): Promise<void> {
  const store = nodeStore()
  const there = await store.stat(path)
  if (!there) return
  if (there.isDirectory) throw new UserError(`${path}: is a folder, --out wants a file; name one, such as ${path.replace(/\/+$/, '')}/report.html`)
  const start = new TextDecoder().decode(await store.readRange(path, 0, Math.min(there.size, 400)))
  if (!force && !start.includes('<meta name="generator" content="espalier">')) throw new UserError(`${path}: is there already and is no report; choose another --out, or give --force to replace it`)
}
