/** @file Latency of models side by side: warmed up, interleaved, medians. */
import { isFloat } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import type { Rng } from '../tensor/rng.ts'
import { type Tensor, zeros } from '../tensor/tensor.ts'
import type { Model } from '../ir/graph.ts'
import type { Session, Tensors } from './session.ts'

/** Milliseconds since some moment. */
export type Clock = () => number

export interface LatencyOptions {
  /** Timed runs of each subject. */
  readonly runs: number
  /** Runs of each before the clock starts; the first ones map memory and cost several times the later ones. */
  readonly warmup: number
  /** Default: the clock on the wall. */
  readonly clock?: Clock
}

/** Milliseconds a run. */
export interface Latency {
  readonly medianMs: number
  readonly minMs: number
  readonly maxMs: number
  readonly runs: number
}

export interface LatencySubject {
  readonly session: Session
  readonly feeds: Tensors
}

/** Times the subjects in turns, the order reversed every round, so that what the machine does besides falls on all of them alike. */
export async function measureLatency(subjects: readonly LatencySubject[], options: LatencyOptions): Promise<Latency[]> {
  const clock = options.clock ?? (() => performance.now())
  const times = subjects.map(() => new Float64Array(options.runs))
  const order = subjects.map((_, i) => i)
  for (const { session, feeds } of subjects) for (let i = 0; i < options.warmup; i++) await session.run(feeds)
  for (let run = 0; run < options.runs; run++) {
    for (const i of order) {
      const { session, feeds } = subjects[i]!
      const start = clock()
      await session.run(feeds)
      times[i]![run] = clock() - start
    }
    order.reverse()
  }
  return times.map((t) => ({ medianMs: median(t), minMs: Math.min(...t), maxMs: Math.max(...t), runs: options.runs }))
}

/** The middle one of some numbers, or the mean of the two in the middle. */
export function median(values: Iterable<number>): number {
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * Random content for every input of a model: standard normal for float32, bytes for uint8, zeros for other types. A free first axis
 * gets `batch` (default 1). Throws UserError where an input has another free axis, or a fixed batch that is not the one asked for.
 */
export function randomFeeds(model: Model, file: string, rng: Rng, batch?: number): Tensors {
  const feeds: Record<string, Tensor> = {}
  for (const { name, dtype, shape, initializer } of model.graph.inputs) {
    if (initializer) continue
    const dims = (shape ?? []).map((d, axis) => (typeof d === 'number' ? d : axis === 0 ? (batch ?? 1) : undefined))
    if (!shape || !dtype || !dims.every((d) => d !== undefined)) {
      throw new UserError(`${file}: input "${name}" has ${shape ? `free axes [${shape.map((d) => d ?? '?').join(',')}]` : 'no shape'}; export the model with fixed sizes (only the batch may be free)`)
    }
    if (batch !== undefined && dims.length > 0 && dims[0] !== batch) {
      throw new UserError(`${file}: input "${name}" has a batch of ${dims[0]} built in, so --batch ${batch} is impossible; leave --batch out`)
    }
    feeds[name] = randomTensor(zeros(dtype, dims), rng)
  }
  return feeds
}

function randomTensor(t: Tensor, rng: Rng): Tensor {
  if (t.dtype === 'uint8') return { ...t, data: (t.data as Uint8Array).map(() => rng.int(256)) }
  if (!isFloat(t.dtype) || !(t.data instanceof Float32Array)) return t
  return { ...t, data: t.data.map(() => rng.normal()) }
}
