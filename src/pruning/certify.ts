/** @file Certificate: a cut file computes what the original computes with the removed channels zeroed. */
import type { Attribute, Model } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import { cloneModel } from '../ir/edit.ts'
import { toNumbers } from '../tensor/tensor.ts'
import type { Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import type { TensorData } from '../tensor/dtype.ts'
import type { PrunePlan } from './plan.ts'
import { applyPlan } from './surgery.ts'
import { applyZeroFactor } from './zero-factor.ts'

/** Runs a model on some runtime: outputs by name. */
export type RunModel = (model: Model, feeds: Tensors) => Promise<Tensors>

export interface CertifyOptions {
  readonly original: Model
  /** The file to certify: the cut model, its weights as they were or trained further. */
  readonly pruned: Model
  readonly plan: PrunePlan
  /** One set of inputs for each run. */
  readonly inputs: readonly Tensors[]
  readonly run: RunModel
  /** Values to compare in place of the outputs: those before a TopK or NMS, whose order flips on differences of rounding. */
  readonly at?: readonly string[]
}

export interface OutputDifference {
  readonly name: string
  /** max|cut - reference| over all runs. */
  readonly maxDifference: number
  /** max|reference| over all runs. */
  readonly maxReference: number
  /** Their quotient; 0 where both are 0. */
  readonly relative: number
}

export interface Certificate {
  readonly outputs: readonly OutputDifference[]
  /** The worst `relative`. */
  readonly worst: number
  /** Where the nodes or shapes of the pruned file differ from the cut of the original, in plain words; empty when they are the same. */
  readonly differences: readonly string[]
  /** True when the pruned file's weights are the original's; else they were trained further, and the numbers are those of the untrained cut. */
  readonly sameWeights: boolean
}

/** Compares the cut with the zeroed original on every input, and the pruned file's structure with the cut's. */
export async function certify({ original, pruned, plan, inputs, run, at }: CertifyOptions): Promise<Certificate> {
  if (inputs.length === 0) throw new UserError('a certificate needs at least one input to run the models on')
  const cut = applyPlan(original, plan)
  const reference = withOutputs(applyZeroFactor(original, plan), at)
  const compared = withOutputs(cut, at)
  const totals = new Map(compared.graph.outputs.map((v) => [v.name, { maxDifference: 0, maxReference: 0 }]))
  for (const feeds of inputs) {
    const wanted = await run(reference, feeds)
    const got = await run(compared, feeds)
    for (const [name, total] of totals) {
      const a = wanted[name]
      const b = got[name]
      if (!a || !b) throw new Error(`the runtime gave no output "${name}"`)
      if (a.dims.join() !== b.dims.join()) throw new Error(`output "${name}" is [${b.dims.join()}] after the cut, [${a.dims.join()}] before`)
      addDifferences(total, toNumbers(a), toNumbers(b))
    }
  }
  const outputs = [...totals].map(([name, t]) => ({ name, ...t, relative: t.maxDifference === 0 ? 0 : t.maxDifference / t.maxReference }))
  return { outputs, worst: outputs.reduce((worst, o) => Math.max(worst, o.relative), 0), differences: compareStructure(cut, pruned), sameWeights: sameWeights(cut, pruned) }
}

function addDifferences(total: { maxDifference: number; maxReference: number }, reference: readonly number[], got: readonly number[]): void {
  reference.forEach((x, i) => {
    const y = got[i]!
    // NaN on both sides is the same; on one side it is as far off as can be.
    if (Object.is(x, y)) return void (total.maxReference = Math.max(total.maxReference, Number.isNaN(x) ? 0 : Math.abs(x)))
    const difference = Math.abs(x - y)
    total.maxDifference = Math.max(total.maxDifference, Number.isNaN(difference) ? Infinity : difference)
    total.maxReference = Math.max(total.maxReference, Number.isNaN(x) ? 0 : Math.abs(x))
  })
}

/** `model` with the named values as its outputs; unchanged where none are named. */
function withOutputs(model: Model, names: readonly string[] | undefined): Model {
  if (!names) return model
  const copy = cloneModel(model).model
  const { outputs } = copy.graph
  outputs.splice(0, outputs.length, ...names.map((name) => valueNamed(copy.graph, name)))
  return copy
}

/** Where `other` has other nodes, attributes, connections or shapes of initializers than `model`, in plain words. */
function compareStructure(model: Model, other: Model): string[] {
  const faults: string[] = []
  const [a, b] = [model.graph, other.graph]
  if (a.nodes.length !== b.nodes.length) faults.push(`${b.nodes.length} nodes, ${a.nodes.length} expected`)
  a.nodes.forEach((node, i) => {
    const twin = b.nodes[i]
    if (!twin) return
    const edges = (n: typeof node): string => `${n.domain}.${n.opType}(${n.inputs.map((v) => v?.name ?? '').join(', ')}) -> ${n.outputs.map((v) => v?.name ?? '').join(', ')}`
    if (edges(node) !== edges(twin)) faults.push(`node ${i} is ${edges(twin)}, expected ${edges(node)}`)
    else if (attributesOf(node.attributes) !== attributesOf(twin.attributes)) faults.push(`the attributes of ${node.opType} "${node.name}" are ${attributesOf(twin.attributes)}, expected ${attributesOf(node.attributes)}`)
  })
  const there = new Map(b.initializers.map((v) => [v.name, v.initializer]))
  for (const v of a.initializers) {
    const [wanted, got] = [v.initializer?.dims.join(), there.get(v.name)?.dims.join()]
    if (wanted !== got) faults.push(`initializer "${v.name}" is ${got === undefined ? 'missing' : `[${got}]`}, expected [${wanted}]`)
    there.delete(v.name)
  }
  for (const name of there.keys()) faults.push(`initializer "${name}" is not expected`)
  return faults
}

function attributesOf(attributes: ReadonlyMap<string, Attribute>): string {
  return [...attributes]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { kind, value }]) => `${name}=${kind === 'graph' || kind === 'graphs' || kind === 'raw' ? kind : kind === 'tensor' ? toNumbers(value).join() : String(value)}`)
    .join(' ')
}

function sameWeights(model: Model, other: Model): boolean {
  const there = new Map(other.graph.initializers.map((v) => [v.name, v.initializer]))
  return model.graph.initializers.every(({ name, initializer }) => initializer && sameData(initializer.data, there.get(name)?.data))
}

function sameData(a: TensorData, b: TensorData | undefined): boolean {
  if (a.length !== b?.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}
