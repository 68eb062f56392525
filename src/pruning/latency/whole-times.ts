/** @file Times of the whole model, cut to several widths. */
import type { Model } from '../../ir/graph.ts'
import { measureLatency, randomFeeds } from '../../runtime/latency.ts'
import type { LayerTimesOptions, TimesCache } from '../../runtime/layer-times.ts'
import type { Session, Tensors } from '../../runtime/session.ts'
import { createRng } from '../../tensor/rng.ts'
import type { ChannelGroup } from '../groups.ts'
import { makePlan } from '../plan.ts'
import { applyPlan } from '../surgery.ts'

/** Runs in one go; there are several goes. */
const runs = 9
const warmup = 2

export interface TimingOptions extends LayerTimesOptions {
  readonly cache: TimesCache
  /** Names the model in errors: its file. */
  readonly file: string
}

/** A stopwatch on the cut models, which run in turns. */
export interface WholeTimes {
  /** Takes the medians of some more runs, unless all are known. */
  more(): Promise<void>
  /** Of each width the least median so far, milliseconds: at other times the machine was busy with something else. */
  readonly least: readonly number[]
  /** Keeps what was measured, frees the models. */
  release(): Promise<void>
}

export async function createWholeTimes(model: Model, groups: readonly ChannelGroup[], widths: readonly (readonly number[])[], options: TimingOptions): Promise<WholeTimes> {
  const { runtime, session, clock, file, cache } = options
  const digest = await digestOf(model, groups)
  const keys = widths.map((kept) => `model ${digest} ${kept.join(',')}`)
  const known = keys.map((key) => cache.get(key))
  if (known.every((ms) => ms !== undefined)) return { least: known, async more() {}, async release() {} }
  const subjects: { readonly session: Session; readonly feeds: Tensors }[] = []
  const least = widths.map(() => Infinity)
  const release = async (): Promise<void> => {
    for (const subject of subjects) await subject.session.release()
    for (const [i, ms] of least.entries()) if (Number.isFinite(ms)) await cache.set(keys[i]!, ms)
  }
  try {
    for (const kept of widths) {
      const cut = cutTo(model, groups, kept)
      subjects.push({ session: await runtime.load(cut, { ...session, file }), feeds: randomFeeds(cut, file, createRng('profile')) })
    }
  } catch (error) {
    await release()
    throw error
  }
  return {
    least,
    release,
    async more() {
      const times = await measureLatency(subjects, { runs, warmup, clock })
      times.forEach(({ medianMs }, i) => (least[i] = Math.min(least[i]!, medianMs)))
    },
  }
}

/** The model with the first units of each group: which ones stay does not matter for time. */
export function cutTo(model: Model, groups: readonly ChannelGroup[], kept: readonly number[]): Model {
  const units = new Map(groups.map((g, i) => [g.id, Array.from({ length: kept[i]! }, (_, k) => k)]))
  return applyPlan(model, makePlan(groups, units, { method: 'first' }))
}

/** Whether cutting brings nodes of operators that the model does not have, or takes some away. */
export function cutsChangeNodes(model: Model, groups: readonly ChannelGroup[], kept: readonly number[]): boolean {
  const types = ({ graph }: Model): string => graph.nodes.map((n) => n.opType).sort().join(' ')
  return types(cutTo(model, groups, kept)) !== types(model)
}

/** SHA-256 of what decides the time of a model and its cuts: nodes, dims and groups, not the weights' values. */
async function digestOf({ graph }: Model, groups: readonly ChannelGroup[]): Promise<string> {
  const shapes = (values: readonly ({ readonly name: string; readonly shape?: readonly unknown[] | undefined } | undefined)[]): string => values.map((v) => (v ? `${v.name}[${(v.shape ?? []).join()}]` : '-')).join()
  const attributes = graph.nodes.map((n) => [...n.attributes].map(([name, a]) => `${name}=${a.kind === 'int' || a.kind === 'ints' || a.kind === 'float' || a.kind === 'floats' ? String(a.value) : a.kind}`).join())
  const text = [
    ...graph.nodes.map((n, i) => `${n.domain}.${n.opType}(${shapes(n.inputs)}) -> ${shapes(n.outputs)} ${attributes[i]}`),
    ...groups.map((g) => `${g.id} ${g.channels}`),
  ].join('\n')
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')
}
