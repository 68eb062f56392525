/** @file Certificate: a cut file computes what the original computes with the removed channels zeroed. */
import { withOutputs } from '../ir/edit.ts'
import type { Model } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import type { Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { takeAlong, type Tensor, toNumbers } from '../tensor/tensor.ts'
import { compareStructure, sameWeights } from './compare-structure.ts'
import { crossingsOf, handOver } from './crossings.ts'
import type { PrunePlan } from './plan.ts'
import { type ResolvedCut, resolvePlan } from './resolve-plan.ts'
import { checkShapes } from './run-shapes.ts'
import { applyPlan } from './surgery.ts'
import { applyZeroFactor } from './zero-factor.ts'

/** Largest relative difference that rounding explains. */
export const certificateTolerance = 1e-4

/** Runs a model on some runtime: outputs by name. `strict`: the runtime also checks the stated shapes against its own inference, where it can. */
export type RunModel = (model: Model, feeds: Tensors, strict?: boolean) => Promise<Tensors>

export interface CertifyOptions {
  /** With constants folded: what the plan was made for. */
  readonly original: Model
  /** The file to certify: the cut model, its weights as they were or trained further. */
  readonly pruned: Model
  readonly plan: PrunePlan
  /** One set of inputs for each run. */
  readonly inputs: readonly Tensors[]
  readonly run: RunModel
  /** The original as its file has it; its outputs must be those of `original`. */
  readonly file?: Model
}

export interface Difference {
  /** An output, or a value that a choice between the inputs and the outputs reads. */
  readonly name: string
  /** The reader, for values that are no outputs: TopK "topk". */
  readonly before?: string
  /** max|cut - reference| over all runs. */
  readonly maxDifference: number
  /** max|reference| over all runs, of the finite elements. */
  readonly maxReference: number
  /** Their quotient; 0 where there is no difference. */
  readonly relative: number
}

export interface Certificate {
  /** Outputs first, in the model's order; then the values that enter a choice (TopK, NonMaxSuppression ...). */
  readonly outputs: readonly Difference[]
  /** The worst `relative`. */
  readonly worst: number
  /** Where nodes or shapes of the pruned file differ from the cut of the original, or shapes that run from those inferred; in plain words. */
  readonly differences: readonly string[]
  /** True when the pruned file's weights are the original's; else they were trained further, and the numbers are those of the untrained cut. */
  readonly sameWeights: boolean
  /** Values of the pruned file whose shapes were compared with the shapes run. */
  readonly shapes: number
  /** Whether the runtime took the pruned file with strict checks of shapes and types; false only where it refuses the original so, too. */
  readonly strict: boolean
  /** Worst relative difference between the original file and its folded form, where the file was given. */
  readonly folding?: number
}

/**
 * Compares the cut with the zeroed original on every input, the pruned file's structure with the cut's, and its inferred shapes with
 * those run. What lies behind a choice is compared on the reference's own values, so that every part is proven and no tie can flip it.
 */
export async function certify({ original, pruned, plan, inputs, run, file }: CertifyOptions): Promise<Certificate> {
  if (inputs.length === 0) throw new UserError('a certificate needs at least one input to run the models on')
  const resolved = resolvePlan(original, plan)
  const cut = applyPlan(original, plan)
  const outputs = await compareModels(applyZeroFactor(original, plan), cut, inputs, run, (results) => keptOf(results, original, resolved))
  const shapes = await checkShapes(pruned, inputs[0]!, run)
  const strict = await runStrictly(pruned, original, inputs[0]!, run)
  return {
    outputs,
    worst: worstOf(outputs),
    differences: [...compareStructure(cut, pruned), ...shapes.faults, ...strict.faults],
    sameWeights: sameWeights(cut, pruned),
    shapes: shapes.values,
    strict: strict.possible,
    ...(file && { folding: worstOf(await compareModels(file, original, inputs, run)) }),
  }
}

/** Why a certificate does not hold, in plain words; undefined where it does. */
export function faultOf({ outputs, differences, folding = 0 }: Certificate, tolerance = certificateTolerance): string | undefined {
  if (differences.length > 0) return `${differences.slice(0, 3).join('; ')}${differences.length > 3 ? `; and ${differences.length - 3} more` : ''}`
  const worst = outputs.reduce((a, b) => (b.relative > a.relative ? b : a))
  const allowed = `${tolerance} is allowed`
  if (!(worst.relative <= tolerance)) {
    const what = worst.before === undefined ? `output "${worst.name}"` : `"${worst.name}", which enters ${worst.before},`
    return `${what} is off by ${worst.maxDifference.toPrecision(3)} where its largest value is ${worst.maxReference.toPrecision(3)}: a share of ${worst.relative.toPrecision(3)}, ${allowed}`
  }
  if (!(folding <= tolerance)) return `with its constants folded the original is off by a share of ${folding.toPrecision(3)} already, ${allowed}`
  if (outputs.every((o) => o.maxReference === 0)) return 'all outputs are zero or no numbers for every input tried, so nothing was compared'
  return undefined
}

/** Compares outputs, and what enters a choice, of two models that share the names of values. `translate` makes results of the reference what `other` should give. */
async function compareModels(reference: Model, other: Model, inputs: readonly Tensors[], run: RunModel, translate = (results: Tensors): Tensors => results): Promise<Difference[]> {
  const crossings = crossingsOf(other.graph)
  const points = new Map([...other.graph.outputs, ...crossings.map((c) => c.value)].map((v) => [v.name, { maxDifference: 0, maxReference: 0 }]))
  const observed = withOutputs(reference, [...valuesOf(reference.graph)].filter((v) => points.has(v.name)))
  const compared = withOutputs(other, crossings.map((c) => c.value))
  const results: Tensors[] = []
  for (const feeds of inputs) results.push(translate(await run(observed, feeds)))
  for (const [i, wanted] of results.entries()) {
    const handed = handOver(compared, wanted)
    const got = await run(handed.model, { ...inputs[i]!, ...handed.feeds })
    for (const [name, total] of points) addDifferences(name, total, wanted[name], got[name])
  }
  const readers = new Map(crossings.map((c) => [c.value.name, c.reader]))
  return [...points].map(([name, t]) => {
    const before = readers.get(name)
    return { name, ...(before !== undefined && { before }), ...t, relative: t.maxDifference === 0 ? 0 : t.maxDifference / t.maxReference }
  })
}

const worstOf = (differences: readonly Difference[]): number => differences.reduce((worst, d) => Math.max(worst, d.relative), 0)

interface Totals {
  maxDifference: number
  maxReference: number
}

/** Results of the reference as the cut model has them: of axes that are cut, the kept indices. */
function keptOf(results: Tensors, original: Model, resolved: ResolvedCut): Tensors {
  const cutAxes = new Map([...resolved.axes].map(([value, axes]) => [value.name, axes]))
  for (const v of original.graph.outputs) cutAxes.delete(v.name)
  return Object.fromEntries(Object.entries(results).map(([name, t]) => {
    let kept: Tensor = t
    for (const [axis, keep] of cutAxes.get(name) ?? []) kept = takeAlong(kept, axis, keep)
    return [name, kept]
  }))
}

function addDifferences(name: string, total: Totals, a: Tensor | undefined, b: Tensor | undefined): void {
  if (!a || !b) throw new Error(`the runtime gave no value "${name}"`)
  if (a.dims.join() !== b.dims.join()) {
    total.maxDifference = Infinity
    return
  }
  const got = toNumbers(b)
  toNumbers(a).forEach((x, i) => {
    if (Number.isFinite(x)) total.maxReference = Math.max(total.maxReference, Math.abs(x))
    // Infinities and NaN must be met exactly.
    const difference = Object.is(x, got[i]) ? 0 : Math.abs(x - got[i]!)
    total.maxDifference = Math.max(total.maxDifference, Number.isNaN(difference) ? Infinity : difference)
  })
}

/** Runs the pruned file with strict checks; without them only where the original does not pass them either. */
async function runStrictly(pruned: Model, original: Model, feeds: Tensors, run: RunModel): Promise<{ possible: boolean; faults: string[] }> {
  try {
    await run(pruned, feeds, true)
    return { possible: true, faults: [] }
  } catch (error) {
    const possible = await run(original, feeds, true).then(() => true, () => false)
    if (possible) return { possible, faults: [error instanceof Error ? error.message : String(error)] }
    await run(pruned, feeds)
    return { possible, faults: [] }
  }
}
