/** @file Calibration: the ranges of values over images, by their ends or by percentiles. */
import { withOutputs } from '../ir/edit.ts'
import type { Model, Value } from '../ir/graph.ts'
import { inTurns, valueNamed } from '../ir/walk.ts'
import type { Range } from '../passes/quantize-weights.ts'
import type { Runtime, Session, SessionOptions, Tensors } from '../runtime/session.ts'
import { floats } from '../tensor/tensor.ts'
import type { Listener } from './events.ts'

export const rangeRules = ['minmax', 'percentile'] as const
export type RangeRule = (typeof rangeRules)[number]

export interface CalibrationOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** "minmax": all numbers that were seen; "percentile": without the hundredth of a percent at either end. */
  readonly range: RangeRule
  /** Sets of inputs, the same ones every time it is called. */
  readonly inputs: () => AsyncIterable<Tensors>
  /** Sets that `inputs` gives: for the progress alone. */
  readonly runs: number
  readonly listener?: Listener
}

/** Share of the numbers that "percentile" leaves out at either end. */
const tail = 1e-4
const bins = 2048
/** Values observed in one pass hold so many elements a run at most: 512 MiB. */
const elementsAtOnce = 2 ** 27
/** Images of a free batch, about. */
const handful = 4

/** Ranges of the named values of a model. Many values are measured in several passes, percentiles in two: their bins lie between the ends found in the first. */
export async function calibrate(model: Model, names: readonly string[], options: CalibrationOptions): Promise<Map<string, Range>> {
  const parts = inTurns(names.map((name) => valueNamed(model.graph, name)), elementsAtOnce, handful)
  const passes = options.range === 'percentile' ? 2 : 1
  options.listener?.({ type: 'phase', name: 'calibrate', total: parts.length * passes * options.runs, unit: 'runs' })
  let done = 0
  const ranges = new Map<string, Range>()
  for (const part of parts) {
    const observe = async (see: (name: string, data: Float32Array) => void): Promise<void> => {
      const session = await options.runtime.load(withOutputs(model, part.filter((v) => v.producer)), options.session)
      try {
        for await (const feeds of options.inputs()) {
          await observeRun(session, feeds, part, see)
          options.listener?.({ type: 'progress', done: ++done, values: {} })
        }
      } finally {
        await session.release()
      }
    }
    await observe((name, data) => ranges.set(name, endsOf(data, ranges.get(name))))
    if (options.range === 'percentile') await narrow(ranges, part, observe)
  }
  options.listener?.({ type: 'end', summary: `${names.length} ranges` })
  return ranges
}

async function observeRun(session: Session, feeds: Tensors, values: readonly Value[], see: (name: string, data: Float32Array) => void): Promise<void> {
  const out = await session.run(feeds)
  for (const { name } of values) see(name, floats((out[name] ?? feeds[name])!))
}

function endsOf(data: Float32Array, seen: Range = { min: Infinity, max: -Infinity }): Range {
  let { min, max } = seen
  for (const v of data) {
    // Not-a-number compares with nothing: once seen it stays, and is told.
    if (v < min || v !== v) min = v
    if (v > max || v !== v) max = v
  }
  return { min, max }
}

/** Ranges without what lies beyond the percentiles, by histograms. */
async function narrow(ranges: Map<string, Range>, part: readonly Value[], observe: (see: (name: string, data: Float32Array) => void) => Promise<void>): Promise<void> {
  const counts = new Map(part.map(({ name }) => [name, new Float64Array(bins)]))
  await observe((name, data) => {
    const { min, max } = ranges.get(name)!
    const found = counts.get(name)!
    const perUnit = bins / (max - min)
    if (!Number.isFinite(perUnit)) return
    for (const v of data) found[Math.min(bins - 1, Math.floor((v - min) * perUnit))]!++
  })
  for (const { name } of part) {
    const { min, max } = ranges.get(name)!
    const found = counts.get(name)!
    const width = (max - min) / bins
    const total = found.reduce((a, b) => a + b, 0)
    if (total === 0) continue
    ranges.set(name, { min: min + width * binsOf(found, total * tail), max: max - width * binsOf(found.slice().reverse(), total * tail) })
  }
}

/** Bins from the start that hold no more than `count` together. */
function binsOf(found: Float64Array, count: number): number {
  let sum = 0
  const end = found.findIndex((n) => (sum += n) > count)
  return end
}
