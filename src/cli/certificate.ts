/** @file The proof of a cut before anything is written: cut file = original with the channels zeroed at their consumers. */
import type { Model } from '../ir/graph.ts'
import { certify } from '../pruning/certify.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { randomFeeds } from '../runtime/latency.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { runOnce, type SessionOptions } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { createRng } from '../tensor/rng.ts'

/** Largest relative difference of an output that rounding explains. */
const tolerance = 1e-4

export interface CertificateRequest {
  readonly original: Model
  /** Names the original in messages. */
  readonly file: string
  readonly pruned: Model
  readonly plan: PrunePlan
  readonly seed: number
  readonly session: SessionOptions
}

/** Certifies on one random input. Throws with exit code 3 where the cut fails. */
export async function certificateOf({ original, file, pruned, plan, seed, session }: CertificateRequest) {
  const inputs = [randomFeeds(original, file, createRng(`${seed}/certificate`))]
  const found = await certify({ original, pruned, plan, inputs, run: (model, feeds) => runOnce(nodeRuntime, model, feeds, session) })
  const ok = found.worst <= tolerance && found.differences.length === 0
  if (!ok) {
    const worst = found.outputs.find((o) => o.relative === found.worst)
    const why = found.differences.length ? found.differences.slice(0, 3).join('; ') : `output "${worst?.name}" is off by ${found.worst.toExponential(1)} of its largest value, ${tolerance} is allowed`
    throw new UserError(`${file}: the cut is not the same as zeroing (${why}). Nothing was written; please report the model`, { exitCode: 3 })
  }
  return { ok, maxRelError: found.worst, inputs: inputs.length, outputs: found.outputs, sameWeights: found.sameWeights }
}
