/** @file A latency profile: times of a model's layers at several widths and of the whole model at a few, and what follows for any widths. */
import type { Model } from '../../ir/graph.ts'
import { type Layer, layerKey, timeLayer } from '../../runtime/layer-times.ts'
import { createRng } from '../../tensor/rng.ts'
import type { Listener } from '../../train/events.ts'
import { leastWidths, widthAt } from '../group-widths.ts'
import type { ChannelGroup } from '../groups.ts'
import { type LayerView, viewLayers } from './layers.ts'
import { nonNegativeLeastSquares } from './nnls.ts'
import { fitSurface, type LayerPoint } from './surface.ts'
import { createWholeTimes, cutsChangeNodes, type TimingOptions } from './whole-times.ts'

/** Shares of the channels of all groups at which layers and the whole model are measured; 0: the least widths. */
const profileShares = [1, 0.9, 0.75, 0.5, 0.25, 0] as const
/** Further widths for the whole model, each group's drawn by itself: uneven widths cost changes of layout that even ones do not. */
const unevenWidths = 3
/** Share of one side's channels, the other side whole. */
const sideShare = 0.5

export interface ProfileOptions extends TimingOptions {
  readonly listener?: Listener
}

/** The whole model at widths that it was measured at. */
export interface WholePoint {
  /** Of the channels of all groups; undefined where each group has its own. */
  readonly share?: number
  readonly measuredMs: number
  readonly predictedMs: number
}

export interface LatencyProfile {
  readonly layers: LayerView
  /** What was measured of each layer, first at the widths of `whole`, in their order. */
  readonly points: readonly (readonly LayerPoint[])[]
  readonly whole: readonly WholePoint[]
  /** Milliseconds by the smooth fits to the layers' times; grows with every width. */
  estimate(kept: readonly number[]): number
  /** Milliseconds by the layers' times at just these widths, in all and of each layer; measures those that are not known. */
  predict(kept: readonly number[]): Promise<{ readonly ms: number; readonly layers: readonly number[] }>
}

/** Measures what the cache does not have. `groups` are prunable groups of `model`. */
export async function profileLatency(model: Model, groups: readonly ChannelGroup[], options: ProfileOptions): Promise<LatencyProfile> {
  const view = viewLayers(model, groups)
  const time = timer(options)
  const timesAt = async (kept: readonly number[]): Promise<number[]> => {
    const found: number[] = []
    for (const { layer } of view.at(kept)) found.push(await time(layer))
    return found
  }
  const widths = profileWidths(groups)
  const sides = view.names.flatMap((_, i) => sideWidths(view, i, groups).map((kept) => ({ i, kept })))
  const points: LayerPoint[][] = view.names.map(() => [])
  const sums: number[] = []
  const whole = await createWholeTimes(model, groups, widths.map((w) => w.kept), options)
  try {
    options.listener?.({ type: 'phase', name: 'time layers', total: widths.length + sides.length, unit: 'widths' })
    let done = 0
    const step = (): void => options.listener?.({ type: 'progress', done: ++done, values: {} })
    await whole.more()
    for (const { kept } of widths) {
      const times = await timesAt(kept)
      sums.push(sum(times))
      view.shares(kept).forEach((at, i) => points[i]!.push({ ...at, ms: times[i]! }))
      step()
    }
    await whole.more()
    for (const { i, kept } of sides) {
      const { layer, ...at } = view.at(kept)[i]!
      points[i]!.push({ ...at, ms: await time(layer) })
      step()
    }
    await whole.more()
    options.listener?.({ type: 'end', summary: `${view.names.length} layers` })
  } finally {
    await whole.release()
  }
  const surfaces = points.map(fitSurface)
  const columns = (layers: number, kept: readonly number[]): number[] => [layers, ...view.others(kept), 1]
  // Relative errors count. Where a cut has other nodes than the whole (a Gather for a shuffle), the whole says nothing of it.
  const changesNodes = cutsChangeNodes(model, groups, leastWidths({ groups }))
  const alike = [...widths.keys()].filter((i) => i > 0 || !changesNodes)
  const rows = alike.map((i) => columns(sums[i]!, widths[i]!.kept).map((v) => v / whole.least[i]!))
  const coefficients = nonNegativeLeastSquares(rows, rows.map(() => 1))
  const total = (layers: number, kept: readonly number[]): number =>
    changesNodes && kept.every((w, i) => w === groups[i]!.channels) ? whole.least[0]! : sum(columns(layers, kept).map((v, k) => v * coefficients[k]!))
  return {
    layers: view,
    points,
    whole: widths.map(({ share, kept }, i) => ({ share, measuredMs: whole.least[i]!, predictedMs: total(sums[i]!, kept) })),
    estimate: (kept) => total(sum(view.shares(kept).map((at, i) => surfaces[i]!(at))), kept),
    async predict(kept) {
      const layers = await timesAt(kept)
      return { ms: total(sum(layers), kept), layers }
    },
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

function profileWidths(groups: readonly ChannelGroup[]): { readonly share?: number; readonly kept: readonly number[] }[] {
  const rng = createRng('widths')
  const uneven = Array.from({ length: unevenWidths }, () => ({ kept: groups.map((g) => widthAt(g, 0.1 + 0.9 * rng.next(), {})) }))
  return [...profileShares.map((share) => ({ share, kept: groups.map((g) => widthAt(g, share, {})) })), ...uneven]
}

/** Widths at which only the groups on one side of layer `i` are narrower; none where both sides have the same groups: they shrink together. */
function sideWidths(view: LayerView, i: number, groups: readonly ChannelGroup[]): number[][] {
  const [reads, makes] = [view.reads[i]!, view.makes[i]!]
  if (reads.length === 0 || makes.length === 0 || reads.some((g) => makes.includes(g))) return []
  return [reads, makes].map((side) => groups.map((g, k) => (side.includes(k) ? widthAt(g, sideShare, {}) : g.channels)))
}

/** Times layers, each shape once. */
function timer({ cache, ...options }: ProfileOptions): (layer: Layer) => Promise<number> {
  return async (layer) => {
    const key = layerKey(layer)
    const known = cache.get(key)
    if (known !== undefined) return known
    const ms = await timeLayer(layer, options)
    await cache.set(key, ms)
    return ms
  }
}
