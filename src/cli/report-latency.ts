/** @file Latency for a report: the models of all runs, timed in turns on this machine. */
import type { Model } from '../ir/graph.ts'
import type { ReportRun } from '../report/record.ts'
import { benchModels } from './commands/bench.ts'
import type { CommonOptions } from './command.ts'
import type { Context } from './context.ts'
import { openModel } from './open-model.ts'
import { sessionOptions } from './session.ts'
import { modelFile } from './report-samples.ts'

const warmup = 5

/** The runs with medians of `runs` timed runs of each model; throws UserError where one is gone. */
export async function withLatency(list: readonly ReportRun[], options: CommonOptions & { readonly bench: number }, context: Context): Promise<ReportRun[]> {
  const models = new Map<string, Model>()
  const open = async (path: string): Promise<string> => {
    if (!models.has(path)) models.set(path, (await openModel(path)).model)
    return path
  }
  const places: { readonly run: ReportRun; readonly before?: string; readonly after: string }[] = []
  for (const run of list) {
    const after = await open(await modelFile(run))
    places.push({ run, after, ...(run.record.model && { before: await open(run.record.model) }) })
  }
  const rows = await benchModels([...models].map(([file, model]) => ({ file, model })), { runs: options.bench, warmup, seed: options.seed, session: sessionOptions(options) }, context)
  const median = new Map(rows.map((row) => [row.file, row.medianMs]))
  return places.map(({ run, before, after }) => ({ ...run, latency: { ...(before !== undefined && { beforeMs: median.get(before)! }), afterMs: median.get(after)! } }))
}
