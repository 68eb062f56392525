/** @file The proof of a cut before anything is written: cut file = original with the channels zeroed at their consumers. */
import { type DetectorCard } from '../detection/card.ts'
import type { Model } from '../ir/graph.ts'
import { certificateTolerance, certify, faultOf, type RunModel } from '../pruning/certify.ts'
import type { PrunePlan } from '../pruning/plan.ts'
import { randomFeeds } from '../runtime/latency.ts'
import { nodeRuntime } from '../runtime/node.ts'
import type { Session, SessionOptions, Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { createRng } from '../tensor/rng.ts'
import { type ImageSource, loaderFor } from '../train/source.ts'

/** Inputs of each kind that the cut is tried on. */
const randomInputs = 2
const realInputs = 2

export interface CertificateRequest {
  /** As its file has it, and with constants folded: what the plan was made for. */
  readonly unfolded: Model
  readonly original: Model
  /** Names the original in messages. */
  readonly file: string
  readonly pruned: Model
  readonly plan: PrunePlan
  readonly seed: number
  readonly session: SessionOptions
  /** Images to try the cut on, beside random numbers; the card says how the model wants them. */
  readonly images?: { readonly source: ImageSource; readonly card: DetectorCard }
}

/** Certifies on random inputs and on images. Throws with exit code 3, naming the output and how far it is off, where the cut fails. */
export async function certificateOf({ unfolded, original, file, pruned, plan, seed, session, images }: CertificateRequest) {
  const rng = createRng(`${seed}/certificate`)
  const inputs = Array.from({ length: randomInputs }, () => randomFeeds(original, file, rng))
  const real = images ? await imageFeeds(original, images, inputs[0]!, seed) : []
  const runner = createRunner(session)
  try {
    // A model that does not run in the first place is bad input, no failed proof.
    await runner.run(unfolded, inputs[0]!)
    const found = await certify({ original, pruned, plan, inputs: [...inputs, ...real], run: runner.run, file: unfolded }).catch((error: unknown) => {
      throw refused(file, error instanceof Error ? error.message : String(error), error)
    })
    const fault = faultOf(found)
    if (fault !== undefined) throw refused(file, fault)
    const { worst, outputs, ...rest } = found
    return { ok: true, maxRelError: worst, tolerance: certificateTolerance, inputs: inputs.length + real.length, images: real.length, outputs, ...rest }
  } finally {
    await runner.release()
  }
}

function refused(file: string, why: string, cause?: unknown): UserError {
  return new UserError(`${file}: the cut is not proven to be the same as zeroing its channels: ${why}. Nothing was written; please report the model`, { exitCode: 3, cause })
}

/** Some images of the source, in an order drawn by seed, as the model's first input; others, where there are, as in `like`. */
async function imageFeeds(model: Model, { source, card }: NonNullable<CertificateRequest['images']>, like: Tensors, seed: number): Promise<Tensors[]> {
  const input = model.graph.inputs.find((v) => !v.initializer)
  if (!input) return []
  const rows = typeof input.shape?.[0] === 'number' ? input.shape[0] : 1
  const { width, height } = card.input
  const feeds: Tensors[] = []
  for await (const { images } of loaderFor(source, card, { batch: rows, shuffle: true, seed: `${seed}/certificate`, cacheBytes: 0 }).epoch(0)) {
    // A batch that is not full stays black at its end.
    const data = new Float32Array(rows * 3 * width * height)
    data.set(images)
    feeds.push({ ...like, [input.name]: { dtype: 'float32', dims: [rows, 3, height, width], data } })
    if (feeds.length === realInputs) break
  }
  return feeds
}

/** Runs models; the session of the last one stays open, for it is run on several inputs. */
function createRunner(options: SessionOptions): { run: RunModel; release(): Promise<void> } {
  let open: { readonly model: Model; readonly strict: boolean; readonly session: Session } | undefined
  const release = async (): Promise<void> => {
    await open?.session.release()
    open = undefined
  }
  return {
    release,
    async run(model, feeds, strict = false) {
      if (open?.model !== model || open.strict !== strict) {
        await release()
        open = { model, strict, session: await nodeRuntime.load(model, { ...options, strict }) }
      }
      return open.session.run(feeds)
    },
  }
}
