/** @file Latency budgets on the command line: the profile they rest on, and what they came to, measured. */
import type { Model } from '../ir/graph.ts'
import type { Budget } from '../pruning/budget.ts'
import type { ChannelGroup } from '../pruning/groups.ts'
import { type LatencyProfile, profileLatency } from '../pruning/latency/profile.ts'
import type { LatencyLimit } from '../pruning/widths.ts'
import { cpuClock } from '../runtime/clock-node.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { type FileTimesCache, openTimesCache } from '../runtime/times-cache-node.ts'
import { UserError } from '../tensor/error.ts'
import type { Listener } from '../train/events.ts'
import { benchModels, machine } from './commands/bench.ts'
import type { CommonOptions } from './command.ts'
import type { Context } from './context.ts'
import { flag, optionalNumber, type OptionsOf, text } from './fields.ts'
import { sessionOptions } from './session.ts'
import { table } from './table.ts'

export const cacheField = { cache: flag('time all layers anew, and keep the new times in place of the old ones', true) }

export const latencyFields = {
  latency: text('TIME', 'what a run may take on this machine, with --threads and --ep: 12ms, 0.012s'),
  speedup: optionalNumber('X', 'how many times faster a run must be on this machine: 2', { above: 1 }),
}

type LatencyOptions = OptionsOf<typeof latencyFields> & OptionsOf<typeof cacheField> & Pick<CommonOptions, 'threads' | 'ep' | 'seed'>

/** "12ms", "12", "0.012s" -> milliseconds. Throws UserError. */
export function parseTime(given: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?|\.\d+) ?(ms|s)?$/.exec(given.trim()) ?? []
  const ms = Number(digits) * (unit === 's' ? 1000 : 1)
  if (digits === undefined || !(ms > 0)) throw new UserError(`--latency must be a time above 0 such as 12ms or 0.012s, not "${given}"`)
  return ms
}

/** Whether the options ask for a latency. */
export function asksLatency({ latency, speedup }: OptionsOf<typeof latencyFields>): boolean {
  return latency !== undefined || speedup !== undefined
}

export interface ProfileRequest {
  readonly model: Model
  readonly path: string
  readonly groups: readonly ChannelGroup[]
  readonly options: Omit<LatencyOptions, 'latency' | 'speedup'>
  readonly context: Context
  readonly listener?: Listener
}

/** The profile of a model on this machine; times that are known are not taken again. */
export async function openProfile({ model, path, groups, options, context, listener }: ProfileRequest): Promise<{ profile: LatencyProfile; cache: FileTimesCache }> {
  const session = sessionOptions(options, path)
  const { cpu, threads, runtime } = await machine(options)
  const cache = await openTimesCache({ cpu, threads, runtime, provider: options.ep ?? 'cpu' }, { anew: !options.cache, note: context.note })
  const profile = await profileLatency(model, groups, { runtime: nodeRuntime, session, clock: cpuClock(session), cache, file: path, listener: listener ?? context.listener }).finally(() => cache.save())
  return { profile, cache }
}

/** A latency budget that is asked for, with what it takes to meet it. */
export interface LatencyPlan extends LatencyLimit {
  readonly cache: FileTimesCache
}

/** Throws UserError where the time is none. */
export async function openLatency(request: ProfileRequest & { readonly options: LatencyOptions }): Promise<LatencyPlan | undefined> {
  const { latency, speedup } = request.options
  if (!asksLatency(request.options)) return undefined
  const asked = latency === undefined ? undefined : parseTime(latency)
  const { profile, cache } = await openProfile(request)
  const wholeMs = profile.whole[0]!.measuredMs
  if (asked !== undefined && asked >= wholeMs) request.context.note(`${request.path}: a run takes ${wholeMs.toFixed(2)} ms as it is; for --latency ${latency} nothing has to go`)
  return { profile, cache, limitMs: asked ?? wholeMs / speedup! }
}

/** Predicted and measured milliseconds of a run, before and after. */
export interface LatencyOutcome {
  readonly asked: { readonly latency: string } | { readonly speedup: number }
  readonly limitMs: number
  /** Time of the processor, where one thread does all the work, or on the wall. */
  readonly clock: 'processor' | 'wall'
  readonly predicted: BeforeAfter
  readonly measured: BeforeAfter
}

interface BeforeAfter {
  readonly beforeMs: number
  readonly afterMs: number
}

const bench = { runs: 30, warmup: 5 }

/** Runs both models in turns, as `bench` does; keeps the times of layers that the solution took. */
export async function measureBudget(models: { readonly before: Model; readonly after: Model; readonly path: string }, budget: Budget, plan: LatencyPlan, options: LatencyOptions, context: Context): Promise<LatencyOutcome> {
  await plan.cache.save()
  const session = sessionOptions(options, models.path)
  const clock = cpuClock(session)
  const [before, after] = await benchModels([{ file: models.path, model: models.before }, { file: models.path, model: models.after }], { ...bench, seed: options.seed, session, clock }, context)
  const { limitMs, beforeMs, afterMs } = budget.latency!
  return {
    asked: options.latency !== undefined ? { latency: options.latency } : { speedup: options.speedup! },
    limitMs,
    clock: clock ? 'processor' : 'wall',
    predicted: { beforeMs, afterMs },
    measured: { beforeMs: before!.medianMs, afterMs: after!.medianMs },
  }
}

export function latencyText({ limitMs, clock, predicted, measured }: LatencyOutcome): string {
  const row = (name: string, { beforeMs, afterMs }: BeforeAfter): string[] => [name, beforeMs.toFixed(2), afterMs.toFixed(2), `${(beforeMs / afterMs).toFixed(2)}x`]
  const off = (predicted.afterMs / measured.afterMs - 1) * 100
  return [
    table(['latency, ms', 'before', 'after', 'speed-up'], [row('predicted', predicted), row('measured', measured)]),
    `budget ${limitMs.toFixed(2)} ms; the prediction is ${Math.abs(off).toFixed(1)}% ${off < 0 ? 'below' : 'above'} the measurement${clock === 'processor' ? ' (time of the processor: one thread)' : ''}`,
  ].join('\n\n')
}
