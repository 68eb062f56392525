/** @file espalier bench: latency of one or two models, interleaved. */
import { availableParallelism, cpus } from 'node:os'
import { replaceableWeights } from '../../passes/constant-weights.ts'
import { modelCost } from '../../passes/cost.ts'
import type { Model } from '../../ir/graph.ts'
import { type Clock, measureLatency, randomFeeds } from '../../runtime/latency.ts'
import { nodeRuntime, runtimeOf } from '../../runtime/node.ts'
import type { Session, SessionOptions } from '../../runtime/session.ts'
import { createRng } from '../../tensor/rng.ts'
import { type CommonOptions, defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { flag, number, optionalNumber } from '../fields.ts'
import { assertComparable, lossTable, measureLosses } from '../layer-losses.ts'
import { openModel } from '../open-model.ts'
import { sessionOptions } from '../session.ts'
import { amount, table } from '../table.ts'

export default defineCommand({
  arguments: [['<model>', 'any ONNX model'], ['[model2]', 'a second one, for instance the first pruned']],
  fields: {
    runs: number('N', 'timed runs of each model', 30, { whole: true, min: 1 }),
    warmup: number('N', 'runs before the clock starts', 5, { whole: true, min: 0 }),
    layers: flag('with two models: where the second one loses speed, node by node'),
    batch: optionalNumber('N', 'images a run, where the model leaves its batch free (default: 1)', { whole: true, min: 1 }),
  },
  examples: ['bench model.onnx', 'bench runs/base/model.onnx runs/pruned/pruned.onnx --threads 2 --json', 'bench runs/base/model.onnx runs/pruned/pruned.onnx --layers'],
  details: 'Two models are run in turns on random input; efficiency is the speed-up divided by the ratio of MACs.',
  async run(options, paths, context) {
    if (options.layers) assertComparable(paths, sessionOptions(options))
    const opened = await Promise.all(paths.map(openModel))
    const models = opened.map(({ path, model }) => ({ file: path, model }))
    const how = { ...options, session: sessionOptions(options) }
    tellReplaceable(models, context)
    const rows = await benchModels(models, how, context)
    const losses = options.layers ? await measureLosses(models, how) : undefined
    const json = { models: rows, ...compare(rows), ...(losses && { losses }), machine: await machine(options) }
    const lines = [table(['model', 'median ms', 'min', 'max', 'MACs'], rows.map((r) => [r.file, r.medianMs.toFixed(2), r.minMs.toFixed(2), r.maxMs.toFixed(2), r.macs === null ? '?' : amount(r.macs)]))]
    if ('ratio' in json) lines.push('', `speed-up ${json.ratio.toFixed(2)}, MACs ratio ${json.macsRatio?.toFixed(2) ?? '?'}, efficiency ${json.efficiency?.toFixed(2) ?? '?'}`)
    if (losses) lines.push('', lossTable(losses, [rows[0]!.medianMs, rows[1]!.medianMs]))
    lines.push('', `${json.machine.cpu}, ${json.machine.threads} threads, ${json.machine.runtime}`)
    context.result(json, lines.join('\n'))
  },
})

export interface BenchRow {
  readonly file: string
  readonly medianMs: number
  readonly minMs: number
  readonly maxMs: number
  readonly runs: number
  /** Of one image; null where they cannot be counted. */
  readonly macs: number | null
}

export interface BenchOptions {
  readonly runs: number
  readonly warmup: number
  readonly batch?: number
  readonly seed: number
  readonly session: SessionOptions
  /** Default: the clock on the wall. */
  readonly clock?: Clock
}

/** Measures models in turns. */
export async function benchModels(models: readonly { readonly file: string; readonly model: Model }[], options: BenchOptions, context: Context): Promise<BenchRow[]> {
  const sessions: Session[] = []
  try {
    const subjects = []
    for (const { file, model } of models) {
      const feeds = randomFeeds(model, file, createRng(`${options.seed}/bench`), options.batch)
      const session = await nodeRuntime.load(model, { ...options.session, file })
      sessions.push(session)
      subjects.push({ session, feeds })
    }
    const times = await measureLatency(subjects, options)
    return models.map(({ file, model }, i) => ({ file, ...times[i]!, macs: macsOf(model, file, context) }))
  } finally {
    for (const session of sessions) await session.release()
  }
}

/** A model whose weights may be replaced at every run is slower for that alone: nobody shall take the difference for the work of pruning. */
export function tellReplaceable(models: readonly { readonly file: string; readonly model: Model }[], context: Context): void {
  const counts = models.map(({ model }) => replaceableWeights(model))
  if (counts.every((n) => n > 0)) return
  for (const [i, { file }] of models.entries()) {
    if (models.length > 1 && counts[i]! > 0) context.note(`${file}: ${counts[i]} of its weights are inputs too, so the runtime cannot fold or rearrange them; in ${models.length > 2 ? 'another' : 'the other'} model they are constants, and part of the difference comes from that alone`)
  }
}

/** Speed-up of the second model over the first, beside what its MACs promise. */
export function compare([a, b]: readonly BenchRow[]): { ratio: number; macsRatio: number | null; efficiency: number | null } | Record<string, never> {
  if (!a || !b) return {}
  const ratio = a.medianMs / b.medianMs
  const macsRatio = a.macs && b.macs ? a.macs / b.macs : null
  return { ratio, macsRatio, efficiency: macsRatio === null ? null : ratio / macsRatio }
}

function macsOf(model: Model, file: string, context: Context): number | null {
  try {
    return modelCost(model).macs
  } catch (error) {
    context.note(`${file}: its MACs cannot be counted: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

/** What times were measured on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly threads: number
  readonly runtime: string
  readonly platform: string
}

export async function machine({ threads, ep }: Pick<CommonOptions, 'threads' | 'ep'>): Promise<Machine> {
  const cores = availableParallelism()
  return { cpu: cpus()[0]?.model.trim() ?? 'unknown CPU', cores, threads: threads ?? cores, runtime: await runtimeOf(ep), platform: `${process.platform} ${process.arch}` }
}
