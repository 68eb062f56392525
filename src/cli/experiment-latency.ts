/** @file Latency of an experiment's models: one of each row, in turns, once all are there. */
import { join } from 'node:path'
import { z } from 'zod'
import type { RunOutcome } from '../experiment/results.ts'
import { modelFile } from '../experiment/grid.ts'
import { nodeStore } from '../storage/node.ts'
import { benchModels, machine } from './commands/bench.ts'
import type { CommonOptions } from './command.ts'
import type { Context } from './context.ts'
import type { Experiment } from './experiment-run.ts'
import { fileIdentity, openModel } from './open-model.ts'
import { sessionOptions } from './session.ts'

const fileName = 'latency.json'
const warmup = 5

const schema = z.object({ runs: z.number(), threads: z.number(), models: z.record(z.string(), z.object({ sha256: z.string(), medianMs: z.number() })) })

/**
 * The outcomes with latencies where the experiment asks for them: of the first finished run of each row, since seeds change no shape. Kept in
 * latency.json, and measured anew only where a model, the number of runs or that of threads is another.
 */
export async function withLatency(experiment: Experiment, outcomes: readonly RunOutcome[], options: CommonOptions, context: Context): Promise<RunOutcome[]> {
  const { spec, out } = experiment
  if (spec.latencyRuns === undefined || outcomes.some((o) => !o.record && o.failure === undefined)) return [...outcomes]
  const firsts = new Map<string, RunOutcome>()
  for (const outcome of outcomes) {
    const { model, data, budget, row } = outcome.run
    const key = JSON.stringify([model, data, budget, row])
    if (outcome.record && !firsts.has(key)) firsts.set(key, outcome)
  }
  const models = await Promise.all([...firsts.values()].map(async ({ run }) => {
    const file = join(out, run.name, modelFile(run.kind))
    return { run, file, sha256: (await fileIdentity(file)).sha256 }
  }))
  const { threads } = await machine(options)
  const kept = await read(join(out, fileName))
  if (kept?.runs !== spec.latencyRuns || kept.threads !== threads || models.some(({ run, sha256 }) => kept.models[run.name]?.sha256 !== sha256)) {
    context.note(`measuring the latency of ${models.length} models in turns`)
    const opened = []
    for (const { file } of models) opened.push({ file, model: (await openModel(file)).model })
    const rows = await benchModels(opened, { runs: spec.latencyRuns, warmup, seed: options.seed, session: sessionOptions(options) }, context)
    const record = { runs: spec.latencyRuns, threads, machine: await machine(options), models: Object.fromEntries(models.map(({ run, sha256 }, i) => [run.name, { sha256, ...rows[i]!, file: modelFile(run.kind) }])) }
    await nodeStore().writeAtomic(join(out, fileName), `${JSON.stringify(record, null, 2)}\n`)
  }
  const measured = await read(join(out, fileName))
  return outcomes.map((outcome) => ({ ...outcome, latencyMs: measured?.models[outcome.run.name]?.medianMs }))
}

async function read(path: string): Promise<z.infer<typeof schema> | undefined> {
  try {
    return schema.parse(JSON.parse(await nodeStore().readText(path)))
  } catch {
    // Not there yet, or half of an older form: measured anew.
    return undefined
  }
}
