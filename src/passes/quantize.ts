/** @file Static 8-bit quantization in ONNX's QDQ form: QuantizeLinear and DequantizeLinear around what runtimes then compute on 8-bit numbers. */
import { addInitializer, addNode, cloneModel, putInput, removeUnusedInitializers, replaceOutput, setInput } from '../ir/edit.ts'
import { type Graph, type Model, type Node, opsetOf, type Value } from '../ir/graph.ts'
import { uniqueNames } from '../ir/names.ts'
import type { DType } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { f32, scalar, tensor, type Tensor, zeros } from '../tensor/tensor.ts'
import { extensibleCopy } from './infer-shapes.ts'
import { candidates, operandsOf, quantizationPoints, type QuantizationPoints } from './quantization-points.ts'
import { activationScale, type AffineScale, quantizeBias, quantizeWeight, type Range, weightScales, type WeightUse } from './quantize-weights.ts'
import { upgradeOpset } from './upgrade-opset.ts'

/** The first opset in which a scale can be one a channel. */
const perChannelOpset = 13

/** The model as `quantize` and the ranges for it take it: at an opset with scales a channel, types inferred. Constants and normalisations should be folded before. */
export function quantizable(model: Model): Model {
  return opsetOf(model) < perChannelOpset ? upgradeOpset(model) : extensibleCopy(model)
}

export interface QuantizeOptions {
  /** Names of outputs whose nodes stay in float. */
  readonly float?: ReadonlySet<string>
  /** Bits of a weight; default 8. With 7, sums of two products fit in 16 bits, as x86 processors without VNNI add them. */
  readonly weightBits?: 7 | 8
}

export interface Quantized {
  readonly model: Model
  /** Layers on 8-bit numbers, by their output. */
  readonly layers: readonly string[]
  /** Layers in float, by their output, with the reason. */
  readonly floatLayers: readonly { readonly node: string; readonly why: string }[]
}

/** Names of the values whose ranges `quantize` may need, whichever nodes stay in float, in graph order. */
export function calibrationPoints(model: Model): string[] {
  return [...candidates(model)].map((v) => v.name)
}

/**
 * A copy of a `quantizable` model with weights in int8 (symmetric, a scale a channel), activations in uint8 (a scale and a zero point a value, from its range) and
 * biases in int32. Throws UserError where a range is missing or not finite.
 */
export function quantize(model: Model, ranges: ReadonlyMap<string, Range>, options: QuantizeOptions = {}): Quantized {
  const copy = cloneModel(model).model
  const points = quantizationPoints(copy, options.float)
  const writer = new QdqWriter(copy.graph)
  const scales = scalesOf(points, ranges)
  const layers = [...points.nodes].flatMap(([node, form]) => (form.kind === 'layer' ? [{ node, axis: form.axis }] : []))
  // Before outputs of the graph hand their names over.
  const nameOf = (node: Node): string => node.outputs[0]!.name
  const names = layers.map(({ node }) => nameOf(node))
  const floatLayers = points.floatLayers.map(({ node, why }) => ({ node: nameOf(node), why }))
  quantizeWeights(layers, writer, (node) => scales.get(points.scaledAs.get(node.inputs[0]!)!)!.scale, (options.weightBits ?? 8) === 7 ? 63 : 127)
  for (const [value, root] of points.scaledAs) {
    const { producer } = value
    const made = producer !== undefined && points.nodes.has(producer)
    const readers = [...value.uses].filter(({ node, index }) => made || isOperand(points, node, index))
    writer.activation(value, root, scales.get(root)!, readers, made && copy.graph.outputs.includes(value))
  }
  return { model: copy, layers: names, floatLayers }
}

function isOperand({ nodes }: QuantizationPoints, node: Node, index: number): boolean {
  const form = nodes.get(node)
  return form !== undefined && operandsOf(node, form).length > index
}

function scalesOf({ scaledAs }: QuantizationPoints, ranges: ReadonlyMap<string, Range>): Map<Value, AffineScale> {
  return new Map([...new Set(scaledAs.values())].map((root) => {
    const range = ranges.get(root.name)
    if (!range || !(Number.isFinite(range.min) && Number.isFinite(range.max))) throw new UserError(`"${root.name}" ${range ? `reaches from ${range.min} to ${range.max}` : 'has no range'}: it cannot be quantized; leave the node that makes it in float`)
    return [root, activationScale(range)]
  }))
}

/** Each weight once, however many layers read it. */
function quantizeWeights(layers: readonly { node: Node; axis: number }[], writer: QdqWriter, inputScale: (node: Node) => number, steps: number): void {
  const readers = new Map<string, { weight: Value; axis: number; nodes: Node[] }>()
  for (const { node, axis } of layers) {
    const weight = node.inputs[1]!
    const key = `${axis} ${weight.name}`
    const entry = readers.get(key) ?? { weight, axis, nodes: [] }
    entry.nodes.push(node)
    readers.set(key, entry)
  }
  for (const { weight, axis, nodes } of readers.values()) {
    const uses = nodes.map((node): WeightUse => ({ inputScale: inputScale(node), bias: node.inputs[2]?.initializer }))
    const scales = weightScales(weight.initializer!, axis, uses, steps)
    const float = writer.constant(weight.name, quantizeWeight(weight.initializer!, axis, scales, steps), f32(scales), axis, nodes[0]!)
    for (const [i, node] of nodes.entries()) {
      const { bias, inputScale: unit } = uses[i]!
      setInput(node, 1, float)
      if (!bias) continue
      const { content, scales: biasScales } = quantizeBias(bias, unit, scales)
      const old = node.inputs[2]!
      putInput(node, 2, writer.constant(old.name, content, biasScales, 0, node))
      writer.release(old)
    }
    writer.release(weight)
  }
}

/** Adds the pairs of QuantizeLinear and DequantizeLinear. */
class QdqWriter {
  private readonly graph: Graph
  private readonly unique: (stem: string) => string
  private readonly settings = new Map<Value, readonly [scale: Value, zeroPoint: Value]>()

  constructor(graph: Graph) {
    this.graph = graph
    this.unique = uniqueNames(graph)
  }

  /** A constant in integers along `axis`, as the float value that `reader` gets. */
  constant(name: string, content: Tensor, scales: Tensor, axis: number, reader: Node): Value {
    const integers = addInitializer(this.graph, this.unique(`${name}_quantized`), content)
    const scale = addInitializer(this.graph, this.unique(`${name}_scale`), scales)
    const zeroPoint = addInitializer(this.graph, this.unique(`${name}_zero_point`), zeros(content.dtype, scales.dims))
    return this.add('DequantizeLinear', [integers, scale, zeroPoint], `${name}_dequantized`, 'float32', content.dims, { axis }, reader)
  }

  /** The 8-bit form of a value, behind which `readers` read it, and with `isOutput` the caller of the graph; `root` is the value whose scale it has. */
  activation(value: Value, root: Value, scale: AffineScale, readers: Iterable<{ node: Node; index: number }>, isOutput: boolean): void {
    const settings = this.settingsOf(root, scale)
    const { graph } = this
    const next = graph.nodes[value.producer ? graph.nodes.indexOf(value.producer) + 1 : 0]
    const stem = value.name
    const bytes = this.add('QuantizeLinear', [value, ...settings], `${stem}_quantized`, 'uint8', value.shape, {}, next)
    const back = this.add('DequantizeLinear', [bytes, ...settings], `${stem}_dequantized`, 'float32', value.shape, {}, next)
    for (const { node, index } of readers) setInput(node, index, back)
    if (isOutput) replaceOutput(graph, value, back, this.unique(`${stem}_float`))
  }

  release(...values: Value[]): void {
    removeUnusedInitializers(this.graph, values)
  }

  private settingsOf(root: Value, { scale, zeroPoint }: AffineScale): readonly [Value, Value] {
    let found = this.settings.get(root)
    if (!found) {
      found = [
        addInitializer(this.graph, this.unique(`${root.name}_scale`), scalar(scale)),
        addInitializer(this.graph, this.unique(`${root.name}_zero_point`), tensor('uint8', [], Uint8Array.of(zeroPoint))),
      ]
      this.settings.set(root, found)
    }
    return found
  }

  private add(type: string, inputs: readonly Value[], name: string, dtype: DType, shape: Value['shape'], attributes: Readonly<Record<string, number>>, before: Node | undefined): Value {
    const made = addNode(this.graph, type, inputs, [this.unique(name)], attributes, { before }).outputs[0]!
    made.dtype = dtype
    made.shape = shape
    return made
  }
}
