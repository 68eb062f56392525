/** @file What each node of a model takes, from the runtime's own profile. */
import { median } from './latency.ts'

export interface NodeTime {
  /** Name of the node that the runtime ran; fused nodes keep the name of one of their parts. */
  readonly name: string
  /** The operator as the runtime ran it. */
  readonly type: string
  /** Median over the runs. */
  readonly ms: number
}

interface ProfileEvent {
  readonly cat?: string
  readonly name: string
  /** Microseconds. */
  readonly ts: number
  readonly dur: number
  readonly args?: { readonly op_name?: string }
}

const kernel = '_kernel_time'

/** Names that the runtime makes of a node's when it puts another in its place: "conv1_nchwc", "mul_3/QuickGeluFusion/". */
const madeOf = /^(.*?)(?:_nchwc|_token_\d+|\/[A-Za-z]+Fusion\/.*)$/

/**
 * Reads a profile that ONNX Runtime wrote (JSON), without its first `warmup` runs. A node that runs several times a run (in a loop) counts once with
 * all of them. In the order of the runs.
 */
export function readNodeTimes(profile: string, warmup: number): NodeTime[] {
  const events = JSON.parse(profile) as readonly ProfileEvent[]
  const windows = events.filter((e) => e.name === 'model_run').sort((a, b) => a.ts - b.ts).slice(warmup)
  if (windows.length === 0) throw new Error(`the profile has no run beyond the first ${warmup}`)
  const times = new Map<string, { type: string; runs: Map<number, number> }>()
  for (const { cat, name, ts, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith(kernel)) continue
    const run = windows.findIndex((w) => ts >= w.ts && ts <= w.ts + w.dur)
    if (run < 0) continue
    const node = name.slice(0, -kernel.length)
    const own = madeOf.exec(node)?.[1] || node
    const entry = times.get(own) ?? { type: args?.op_name ?? '?', runs: new Map<number, number>() }
    times.set(own, entry)
    entry.runs.set(run, (entry.runs.get(run) ?? 0) + dur)
  }
  return [...times].map(([name, { type, runs }]) => ({ name, type, ms: median(runs.values()) / 1000 }))
}
