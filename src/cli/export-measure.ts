/** @file What an export is worth: that it runs, what it costs, what it scores, beside the model it was made from. */
import type { Model } from '../ir/graph.ts'
import type { CocoNumbers } from '../metrics/coco-map.ts'
import { rawBytes } from '../onnx/tensors.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { runEach, type SessionOptions, type Tensors } from '../runtime/session.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { type Tensor, toNumbers } from '../tensor/tensor.ts'
import type { BenchRow } from './commands/bench.ts'
import { score, table } from './table.ts'

/** How far an output is from the float model's. */
export interface OutputDifference {
  readonly output: string
  /** max|difference| / max|float model's|; null where the number of elements differs, as after NMS. */
  readonly relative: number | null
}

/**
 * Runs both models on the same inputs. Throws UserError where the runtime refuses the exported one, under strict checks unless it refuses the
 * float model so too, or where it has outputs that are not finite and the float model's are.
 */
export async function compareOutputs(float: Model, exported: Model, inputs: readonly Tensors[], session: SessionOptions, out: string): Promise<OutputDifference[]> {
  const strict = await takesStrictly(float, session)
  const [wanted, got] = [await runEach(nodeRuntime, float, inputs, session), await runEach(nodeRuntime, exported, inputs, { ...session, strict, file: out })]
  return Object.keys(wanted[0]!).map((output) => {
    const sum = { difference: 0, reference: 0, same: true }
    wanted.forEach((results, i) => addDifference(sum, `output "${output}" of ${out}`, results[output]!, got[i]![output]!))
    return { output, relative: !sum.same ? null : sum.difference === 0 ? 0 : sum.difference / sum.reference }
  })
}

async function takesStrictly(model: Model, session: SessionOptions): Promise<boolean> {
  try {
    await (await nodeRuntime.load(model, { ...session, strict: true })).release()
    return true
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return false
  }
}

function addDifference(sum: { difference: number; reference: number; same: boolean }, name: string, reference: Tensor, other: Tensor): void {
  if (reference.dtype === 'string' || reference.data.length !== other.data.length) {
    sum.same = false
    return
  }
  const [a, b] = [toNumbers(reference), toNumbers(other)]
  a.forEach((v, i) => {
    if (!Number.isFinite(v)) return
    if (!Number.isFinite(b[i]!)) throw new UserError(`${name} is not finite where the float model's is: numbers within pass its range; give --data, so that they are found, or --float with the nodes that make them`)
    sum.difference = Math.max(sum.difference, Math.abs(v - b[i]!))
    sum.reference = Math.max(sum.reference, Math.abs(v))
  })
}

/** Bytes that a model takes on disk: its file, and its weights where they lie in another one. */
export async function bytesOnDisk(path: string, model: Model): Promise<number> {
  const file = (await nodeStore().stat(path))?.size ?? 0
  const weights = model.graph.initializers.reduce((sum, { initializer: t }) => sum + (t!.dtype === 'string' ? 0 : rawBytes(t!).length), 0)
  return file >= weights ? file : file + weights
}

export interface ExportRow extends BenchRow {
  readonly role: 'beside' | 'float' | 'exported'
  readonly bytes: number
  /** Where there are labels. */
  readonly scores?: CocoNumbers
}

/** A line a model. */
export function exportTable(rows: readonly ExportRow[]): string {
  const scored = rows.some((r) => r.scores)
  const [first] = rows
  return table(
    ['model', ...(scored ? ['AP', 'AP50'] : []), 'median ms', 'speed-up', 'size'],
    rows.map((r) => [r.file, ...(scored ? [score(r.scores?.AP ?? -1), score(r.scores?.AP50 ?? -1)] : []), r.medianMs.toFixed(2), (first!.medianMs / r.medianMs).toFixed(2), `${(r.bytes / 1e6).toFixed(2)} MB`]),
  )
}
