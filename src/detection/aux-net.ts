/**
 * @file LCP's localization-aware auxiliary network (arXiv 1911.02237): contextual RoIAlign on a stage's feature map, then
 * BatchNorm, ReLU, global average pooling and two linear layers, for the class and for box offsets; its losses L_ac and L_ar.
 */
import { createModel, Graph, type Model, type Value } from '../ir/graph.ts'
import { Builder } from '../ops/builder.ts'
import type { Rng } from '../tensor/rng.ts'
import { f32 } from '../tensor/tensor.ts'
import { crossEntropy, decodeOffsets, giou, oneHot } from './losses.ts'
import { roiAlign } from './roi-align.ts'

export interface AuxNetOptions {
  /** Put before the names of its weights. */
  readonly name: string
  /** N, C, H, W of the feature map. */
  readonly feature: readonly [number, number, number, number]
  readonly classes: number
  /** Boxes an image (R). */
  readonly boxes: number
  /** Box sets added up: 2 contextual, 1 plain. */
  readonly sets: 1 | 2
  /** Bins along a side (P). */
  readonly bins: number
  readonly rng: Rng
}

/** Names of the network's inputs and outputs in its graph. */
export const auxPorts = { feature: 'feature', rows: 'rows', columns: 'columns', classes: 'classes', offsets: 'offsets' } as const

/** Builds the network with seeded weights. Outputs: class logits [N*R,classes] and box offsets [N*R,4] in SSD's coding relative to B. */
export function buildAuxNet(options: AuxNetOptions): Model {
  const { name, boxes: r, bins: p, sets, rng } = options
  const [n, c, h, w] = options.feature
  const b = new Builder(new Graph(name))
  const feature = b.input(auxPorts.feature, 'float32', [n, c, h, w])
  const rows = b.input(auxPorts.rows, 'float32', [n, sets * r * p, h])
  const columns = b.input(auxPorts.columns, 'float32', [n * sets * r, w, p])
  const constant = (suffix: string, values: Float32Array, dims: readonly number[]): Value => b.constant(f32(values, dims), `${name}.${suffix}`)
  const channelwise = (suffix: string, value: number): Value => constant(suffix, new Float32Array(c).fill(value), [c])
  const linear = (suffix: string, width: number): [Value, Value] => {
    // PyTorch's default for linear layers: uniform within 1 / sqrt(inputs).
    const limit = 1 / Math.sqrt(c)
    const weight = Float32Array.from({ length: width * c }, () => rng.uniform(-limit, limit))
    return [constant(`${suffix}.weight`, weight, [width, c]), constant(`${suffix}.bias`, new Float32Array(width), [width])]
  }
  const pooled = roiAlign(b, feature, rows, columns, r)
  const normal = b.op('BatchNormalization', [pooled, channelwise('bn.weight', 1), channelwise('bn.bias', 0), channelwise('bn.running_mean', 0), channelwise('bn.running_var', 1)], { epsilon: 1e-5 })
  const active = b.reshape(b.op('Relu', [normal]), [n * r, p, c, p])
  const vector = b.op('ReduceMean', [active, b.ints([1, 3])], { keepdims: 0 })
  b.output(b.op('Gemm', [vector, ...linear('classes', options.classes)], { transB: 1 }), auxPorts.classes)
  b.output(b.op('Gemm', [vector, ...linear('offsets', 4)], { transB: 1 }), auxPorts.offsets)
  return createModel(b.graph, b.opset)
}

export interface AuxLossInputs {
  /** [N*R,classes] logits and [N*R,4] offsets from the network. */
  readonly classes: Value
  readonly offsets: Value
  /** [N*R] int32 class of each box. */
  readonly labels: Value
  /** [N*R,4] default boxes B as centre, size, and ground truths A as xyxy; pixels of the input. */
  readonly defaults: Value
  readonly truths: Value
  /** [N*R] weight of each box: 1 / (times it is repeated); 0 for images without positives. */
  readonly weights: Value
  /** [N*R] the same, 0 for negatives: they have no box to find. */
  readonly boxWeights: Value
}

export interface AuxLossOptions {
  readonly classes: number
  readonly m: number
  readonly variances: readonly [number, number]
  /** Over the boxes: their mean; or each image's sum, averaged over this number of images. */
  readonly over: 'boxes' | { readonly images: number }
}

/** L_ac = cross-entropy; L_ar = m (1 - GIoU(decoded box, A)); both weighted, averaged or summed over the boxes. */
export function auxLoss(b: Builder, inputs: AuxLossInputs, options: AuxLossOptions): { classification: Value; localization: Value } {
  const { over } = options
  const divisor = (weights: Value): Value => (over === 'boxes' ? b.op('Max', [b.sum(weights), b.scalar(1e-6)]) : b.scalar(over.images))
  const mean = (x: Value, weights: Value): Value => b.div(b.sum(b.mul(x, weights)), divisor(weights))
  const entropy = crossEntropy(b, inputs.classes, oneHot(b, inputs.labels, options.classes))
  const decoded = decodeOffsets(b, inputs.offsets, inputs.defaults, options.variances)
  const distance = b.sub(b.scalar(1), giou(b, decoded, inputs.truths))
  return { classification: mean(entropy, inputs.weights), localization: b.mul(mean(distance, inputs.boxWeights), b.scalar(options.m)) }
}
