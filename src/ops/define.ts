/** @file What the project knows of an operator: one entry per op, all of it in one place. Omission is a type error. */
import type { DType } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Dim, Node, Value } from '../ir/graph.ts'
import type { Emitter } from './emitter.ts'
import type { IndexMap } from './index-map.ts'

/** Element type and shape of an output. */
export interface TypeInfo {
  readonly dtype: DType | undefined
  /** undefined: rank unknown. */
  readonly shape: readonly Dim[] | undefined
}

/** What a rule may need beside the node: the opset its graph is written in. */
export interface RuleContext {
  readonly opset: number
}

/** Infers the outputs' types from the inputs' (already inferred) types. */
export type ShapeRule = (node: Node, context: RuleContext) => readonly TypeInfo[]

/**
 * Vector-Jacobian product: one thunk per input, undefined where there is no gradient (indices, shapes).
 * A thunk is called only when that input's gradient is wanted, and adds nodes through the builder. It runs on graphs at
 * the working opset with static shapes. It need not reduce a broadcast: the engine sums the result to the input's shape.
 * `cotangents[i]` belongs to output i and is undefined where nothing flows back. `wrt` are the values whose gradients are asked for: a rule may
 * pass over an input that a node before it makes, and see to that node's inputs itself, unless it is one of them.
 */
export type Vjp = (b: Emitter, node: Node, cotangents: readonly (Value | undefined)[], wrt: ReadonlySet<Value>) => readonly ((() => Value) | undefined)[]

/** Gradients stop here: integer, boolean and selection operators. */
export const notDifferentiable = 'not differentiable'

/** One axis of a value. */
export interface AxisRef {
  readonly value: Value
  readonly axis: number
}

/** Index i of axis `from` is bound to the indices `map` gives of axis `to`: they are kept or removed together. */
export interface Link {
  readonly from: AxisRef
  readonly to: AxisRef
  readonly map: IndexMap
}

/**
 * How a node ties axes together. Every axis of every float value that the node touches and that is named neither by a
 * link nor in `contracts` is unprunable on account of this node: rules fail closed.
 */
export interface ChannelLinks {
  readonly links: readonly Link[]
  /** Axes of activations that the node sums over: removing an index there equals zeroing it (Conv's and Gemm's input channels). */
  readonly contracts?: readonly AxisRef[]
  /** Axes that must stay whole, with the reason in plain words. */
  readonly blocked?: readonly { readonly ref: AxisRef; readonly reason: string }[]
}

export type ChannelRule = (node: Node, context: RuleContext) => ChannelLinks

/** Every axis this op touches stays whole, for the reason given. */
export interface Opaque {
  readonly opaque: string
}

export function opaque(reason: string): Opaque {
  return { opaque: reason }
}

/** Kept indices of an axis, or undefined when the axis stays whole. */
export type KeptIndices = (ref: AxisRef) => readonly number[] | undefined

/** Per-channel affine form y = scale x + shift along axis 1, of ops that have one at inference (BatchNormalization). */
export interface Affine {
  readonly scale: Float32Array
  readonly shift: Float32Array
}

/** How a node computes on 8-bit numbers. What is not said of its inputs (shapes, bounds) stays as it is. */
export type EightBit =
  /** Linear in a constant weight (input 1), each output channel of which, along `axis`, has a scale of its own; a constant bias (input 2) is added. */
  | { readonly kind: 'layer'; readonly axis: number }
  /** Operands and result have scales of their own. */
  | { readonly kind: 'computes' }
  /** Elements of input 0 are moved or chosen, none is computed: the result has the operand's scale. */
  | { readonly kind: 'moves' }
  /** Bounds input 0, which the ends of the result's 8-bit range do too: the operand needs no 8-bit form. */
  | { readonly kind: 'bounds' }

export interface OpDef {
  /** ONNX's name. */
  readonly type: string
  readonly shape: ShapeRule
  readonly vjp: Vjp | typeof notDifferentiable
  readonly channels: ChannelRule | Opaque
  /** After channels were cut: mends the node's own attributes and constant inputs (group, split sizes, reshape targets). Called before any tensor is sliced. */
  readonly patch?: (node: Node, kept: KeptIndices, edit: PatchEdit) => void
  /** Multiply-accumulates of one run; needs static shapes. Absent: none counted. */
  readonly macs?: (node: Node) => number
  /** Attributes that follow from the dims of the inputs, and outputs, for a node whose dims were changed without them (a convolution's group). Absent: none do. */
  readonly sized?: (node: Node) => Readonly<Record<string, number>>
  /** Input indices of the weights counted as parameters. */
  readonly weights?: readonly number[]
  /**
   * Inputs that training may change where they are constants of the file: kernels, biases, scales, slopes. 'along channels': an operand that
   * is a vector along channels that a weight makes (a normalisation's scale, a layer's bias); grids, strides and factors are not. Absent:
   * none.
   */
  readonly trainable?: readonly number[] | 'along channels'
  /** Index of the weight whose gradient scores input channels, with the axis of that weight bound to the contracted channels. */
  readonly scored?: { readonly input: number; readonly axis: (node: Node) => number }
  /**
   * Of a layer linear in weight (input 1) and bias (input 2): what its input `x`, which may live in another graph than the node, gives each output to
   * weigh: [N, G, D, P] for G groups and P places, D as the weight's axes behind the first lie in memory. Adds nodes through the builder.
   */
  readonly regressors?: (b: Emitter, node: Node, x: Value) => Value
  /** Computes the outputs from constant inputs, for small integer tensors (shapes) and layout changes. */
  readonly fold?: (node: Node, inputs: readonly (Tensor | undefined)[], context: RuleContext) => readonly Tensor[] | undefined
  /**
   * True where a result is a choice or an order, not a quantity: a difference of rounding in the inputs can make it another one. What
   * enters such an op is compared in place of what comes out (pruning/certify).
   */
  readonly selects?: boolean
  /**
   * What stays in float32 where a model is turned to half precision: all of the node, or inputs by index (settings that ONNX has in float32
   * alone). All, where ONNX has no float16 form, or where half precision would spoil what the op is for: long sums, sums of squares, indices. Absent: nothing.
   */
  readonly float32?: 'all' | readonly number[]
  /** The 8-bit form of a node; absent or undefined: it has none that runtimes gain by, and stays in float. */
  readonly eightBit?: (node: Node) => EightBit | undefined
  /** Why a model with this op is not pruned at all, with the remedy (quantized arithmetic). */
  readonly refused?: string
  /** Index of the input that output 0 equals at inference (Identity, Dropout); undefined where this node changes it. */
  readonly passThrough?: (node: Node) => number | undefined
  /** The inference-time affine form, where the parameters are constants. */
  readonly affine?: (node: Node) => Affine | undefined
  /** New constant inputs (by input index) of this node with `affine` applied to its output; undefined when it cannot take it. */
  readonly absorbAffine?: (node: Node, affine: Affine) => ReadonlyMap<number, Tensor> | undefined
  /**
   * Replaces the inference form by the training form (batch statistics): adds nodes through the builder, returns the
   * values that stand for the node's outputs and the state that each run updates.
   */
  readonly training?: (b: Emitter, node: Node, momentum: number) => TrainingForm
}

export interface PatchEdit {
  /** The opset the graph is written in: it decides whether sizes are attributes or inputs. */
  readonly opset: number
  /** Gives input `index` of the node a constant of its own; an index past the last input appends it. */
  readonly setConstant: (node: Node, index: number, content: Tensor) => void
}

export interface TrainingForm {
  readonly outputs: readonly Value[]
  /** State values (running mean, running variance) and what they become after the step. */
  readonly updates: readonly { readonly state: Value; readonly next: Value }[]
}
