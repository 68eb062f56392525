/** @file bench --layers: what of a pruned model's speed is lost, and where. */
import type { Model } from '../ir/graph.ts'
import { lossOf, type SpeedLoss, type SpeedLosses, speedLosses } from '../pruning/speed-losses.ts'
import { type LatencyOptions, randomFeeds } from '../runtime/latency.ts'
import { measureNodeTimes } from '../runtime/node-times-node.ts'
import type { SessionOptions } from '../runtime/session.ts'
import { createRng } from '../tensor/rng.ts'
import { UserError } from '../tensor/error.ts'
import { percent, shortened, table } from './table.ts'

/** Rows of the printed table; the JSON has all. */
const shown = 12

export interface Opened {
  readonly file: string
  readonly model: Model
}

export interface LossesOptions extends LatencyOptions {
  readonly batch?: number
  readonly seed: number
  readonly session: SessionOptions
}

/** Throws UserError where there are not two models, or another engine than the native one on the CPU is asked for. */
export function assertComparable(models: readonly unknown[], { provider = 'cpu' }: SessionOptions): void {
  if (models.length !== 2) throw new UserError('--layers compares two models layer by layer; give the unpruned one, then the pruned one')
  if (provider !== 'cpu') throw new UserError(`--layers reads the profile of the native runtime on the CPU, not of "${provider}"; leave --ep out`)
}

/** Profiles both models in turns. */
export async function measureLosses(models: readonly Opened[], { runs, warmup, batch, seed, session }: LossesOptions): Promise<SpeedLosses> {
  const [a, b] = models as [Opened, Opened]
  const subjects = models.map(({ file, model }) => ({ model, feeds: randomFeeds(model, file, createRng(`${seed}/bench`), batch) }))
  const [before, after] = await measureNodeTimes(subjects, { runs, warmup, session })
  return speedLosses({ model: a.model, times: before! }, { model: b.model, times: after! })
}

/** `wall`: median milliseconds of whole runs, before and after, measured without a profile. */
export function lossTable(losses: SpeedLosses, [wallBefore, wallAfter]: readonly [number, number]): string {
  const { left, before, after, nodes } = losses
  const ms = (n: number): string => n.toFixed(3)
  const sum = (of: (n: SpeedLoss) => number, work?: SpeedLoss['work']): number => nodes.filter((n) => !work || n.work === work).reduce((s, n) => s + of(n), 0)
  const between = wallAfter - after - left * (wallBefore - before)
  const rows = nodes.slice(0, shown).map((n) => [shortened(n.name, 40), n.type, ms(n.before), ms(n.after), n.workBefore > 0 ? percent(n.workAfter / n.workBefore) : '-', ms(lossOf(n)), reasonOf(n, left)])
  return [
    `${percent(left)} of the multiply-accumulates are left, so ${ms(left * wallBefore)} ms of ${ms(wallBefore)} would be an efficiency of 1; it takes ${ms(wallAfter)}:`,
    table(['loss', 'ms'], [
      ['layers that multiply, slower at their work', ms(sum((n) => n.slower, 'macs'))],
      ['layers that multiply, cut less (-: more) than the whole', ms(sum((n) => n.cutLess, 'macs'))],
      ['nodes that do not multiply', ms(sum(lossOf, 'elements'))],
      ['nodes that one of the models has alone', ms(sum(lossOf, 'alone'))],
      ['nodes that the runtime put in', ms(sum(lossOf, 'runtime'))],
      ['between nodes', ms(between)],
    ]),
    '',
    table(['node', 'ran as', 'ms before', 'after', 'work left', 'lost ms', 'why'], rows, [true, true, false, false, false, false, true]),
  ].join('\n')
}

function reasonOf(n: SpeedLoss, left: number): string {
  if (n.work === 'runtime') return 'changes the layout for its neighbours'
  if (n.work === 'alone') return 'is in one of the models alone'
  if (n.before === 0 || n.after === 0) return 'runs within its neighbours in one of the models'
  if (n.cutLess > n.slower) return `was cut less than the whole model (${percent(left)} left)`
  const rate = (work: number, ms: number): string => (work / ms / 1e6).toFixed(1)
  return `${rate(n.workBefore, n.before)} to ${rate(n.workAfter, n.after)} G ${n.work === 'macs' ? 'multiply-accumulates' : 'elements'} a second`
}
