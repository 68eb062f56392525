/** @file A model in another precision: what is folded, measured on images, and turned. */
import type { Model } from '../ir/graph.ts'
import { lookup } from '../ops/registry.ts'
import { makeWeightsConstant } from '../passes/constant-weights.ts'
import { foldBatchNorm } from '../passes/fold-batchnorm.ts'
import { halfPrecision } from '../passes/half-precision.ts'
import { calibrationPoints, quantizable, quantize } from '../passes/quantize.ts'
import { nodeRuntime } from '../runtime/node.ts'
import type { SessionOptions, Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { calibrate } from '../train/calibrate.ts'
import type { Listener } from '../train/events.ts'
import { type LayerHarm, layerHarms } from '../train/spare-layers.ts'
import { type ExportOptions, floatNames, type Precision } from './export-options.ts'

/** Sets of inputs, the same ones every time. */
export interface CalibrationInputs {
  readonly runs: number
  inputs(): AsyncIterable<Tensors>
}

export interface ExportRequest {
  readonly path: string
  /** With constants folded. */
  readonly model: Model
  readonly precision: Precision
  readonly options: ExportOptions
  /** Images, or where there are none random input. */
  readonly inputs: CalibrationInputs
  readonly session: SessionOptions
  readonly listener: Listener
}

export interface Exported {
  readonly model: Model
  /** Layers on 8-bit numbers, by their output; none in half precision. */
  readonly layers: readonly string[]
  /** Nodes (fp16) or layers (int8) that stay in float32, by their output. */
  readonly kept: readonly { readonly node: string; readonly why: string }[]
}

/** Sets of inputs that the harm of single layers is measured on. */
const harmRuns = 4

/** Turns the model. Throws UserError where it is quantized already, or where nothing can be turned. */
export async function exportModel(request: ExportRequest): Promise<Exported> {
  const { model, path, precision, options } = request
  const ready = foldBatchNorm(model)
  makeWeightsConstant(ready)
  assertNames(ready, floatNames(options), path)
  return precision === 'fp16' ? toHalf(ready, request) : toInt8(quantizable(ready), request)
}

/** Throws UserError where a node of the model computes on quantized numbers. */
export function assertNotQuantized({ graph }: Model, path: string): void {
  const node = graph.nodes.find((n) => lookup(n.opType, n.domain)?.refused !== undefined)
  if (node) throw new UserError(`${path}: ${node.opType} "${node.name}": the model is quantized already; export the float model that it was made from`)
}

function assertNames({ graph }: Model, names: ReadonlySet<string>, path: string): void {
  const known = new Set(graph.nodes.flatMap((n) => n.outputs.map((v) => v?.name)))
  for (const name of names) {
    if (!known.has(name)) throw new UserError(`--float: no node of ${path} has the output "${name}" once constants and batch normalisations are folded; --json lists the layers of an export by name`)
  }
}

async function toHalf(model: Model, { path, options, inputs, session, listener }: ExportRequest): Promise<Exported> {
  const ranges = await calibrate(model, floatValues(model), { runtime: nodeRuntime, session, range: 'minmax', runs: inputs.runs, inputs: () => inputs.inputs(), listener })
  const magnitudes = new Map([...ranges].map(([name, { min, max }]) => [name, Math.max(-min, max)]))
  const { model: half, kept } = halfPrecision(model, { float: floatNames(options), magnitudes })
  const halves = (m: Model): number => m.graph.initializers.filter((v) => v.initializer!.dtype === 'float16').length
  if (halves(half) === halves(model)) throw new UserError(`${path}: has no float32 weight that can become float16${kept[0] ? ` ("${kept[0].node}": ${kept[0].why})` : ''}; is it in half precision already?`)
  return { model: half, layers: [], kept }
}

/** Float values that nodes compute. */
function floatValues({ graph }: Model): string[] {
  return graph.nodes.flatMap((n) => n.outputs.flatMap((v) => (v?.dtype === 'float32' ? [v.name] : [])))
}

async function toInt8(model: Model, { path, options, inputs, session, listener }: ExportRequest): Promise<Exported> {
  const asked = floatNames(options)
  const weightBits = options.weightBits === 7 ? 7 : 8
  const ranges = await calibrate(model, calibrationPoints(model), { runtime: nodeRuntime, session, range: options.range, runs: inputs.runs, inputs: () => inputs.inputs(), listener })
  const whole = quantize(model, ranges, { float: asked, weightBits })
  if (whole.layers.length === 0) {
    const why = whole.floatLayers.map((l) => `"${l.node}": ${l.why}`)[0]
    throw new UserError(`${path}: no layer of it can compute on 8-bit numbers${why === undefined ? '' : ` (${why})`}`)
  }
  if (options.spare === 0) return { model: whole.model, layers: whole.layers, kept: whole.floatLayers }
  const harms = await layerHarms(model, ranges, { runtime: nodeRuntime, session, inputs: await firstOf(inputs), float: asked, weightBits, listener })
  const spared = harms.filter(({ harm }) => !(harm <= options.spare))
  if (spared.length === harms.length) throw new UserError(`${path}: every layer alone puts the outputs off by more than ${options.spare}; give a larger --spare, or more --images`)
  return sparing(whole.floatLayers, spared, quantize(model, ranges, { float: new Set([...asked, ...spared.map((s) => s.node)]), weightBits }))
}

function sparing(before: Exported['kept'], spared: readonly LayerHarm[], { model, layers }: ReturnType<typeof quantize>): Exported {
  return { model, layers, kept: [...before, ...spared.map(({ node, harm }) => ({ node, why: `in 8 bits it alone puts the outputs off by ${harm.toPrecision(2)}` }))] }
}

/** The first few sets of inputs. */
export async function firstOf({ inputs }: CalibrationInputs): Promise<Tensors[]> {
  const first: Tensors[] = []
  for await (const feeds of inputs()) {
    first.push(feeds)
    if (first.length === harmRuns) break
  }
  return first
}
