/** @file How operators changed between opsets 7 and 21, as data: what a node of the older form becomes. */
import { floatAttribute, intAttribute, stringAttribute } from '../ir/attributes.ts'
import { addInitializer, addNode, appendInput, putInput, replaceNode, setAttribute, setInput } from '../ir/edit.ts'
import { constantOf, type Graph, Node, type Value } from '../ir/graph.ts'
import { f32, i64, scalar, takeAlong, type Tensor } from '../tensor/tensor.ts'
import { inputOf, outputOf, wrapAxis } from './rules.ts'
import { numbersOf } from './shape-data.ts'
import { onnxTypeCode } from './type-codes.ts'

/** The graph a node is changed in. */
export interface UpgradeSite {
  readonly graph: Graph
  /** A value name not used so far. */
  readonly unique: (stem: string) => string
}

/** Changes a node from the form before opset `since` to the form from it on; throws where there is none of the same meaning. */
export interface Upgrade {
  readonly since: number
  readonly apply: (node: Node, site: UpgradeSite) => void
}

function refuse(node: Node, why: string): never {
  throw new Error(`${node.opType} "${node.name}" ${why}`)
}

function isUsed(site: UpgradeSite, v: Value | undefined): boolean {
  return !!v && (v.uses.size > 0 || site.graph.outputs.includes(v))
}

function putConstant(node: Node, site: UpgradeSite, index: number, content: Tensor, what: string): void {
  putInput(node, index, addInitializer(site.graph, site.unique(`${node.name || outputOf(node).name}.${what}`), content))
}

/** An integer list moves from attribute `name` to input `index`. */
function intsToInput(since: number, name: string, index: number): Upgrade {
  return {
    since,
    apply(node, site) {
      const a = node.attributes.get(name)
      node.attributes.delete(name)
      // As bigints: an end of 2^63 - 1 ("to the last") is no exact plain number.
      if (a?.kind === 'ints') putConstant(node, site, index, { dtype: 'int64', dims: [a.value.length], data: BigInt64Array.from(a.value) }, name)
    },
  }
}

/** A float scalar of the element type of input 0 as input `index`. */
function floatToInput(node: Node, site: UpgradeSite, index: number, value: number, what: string): void {
  const { dtype } = inputOf(node, 0)
  putConstant(node, site, index, scalar(value), what)
  if (dtype === 'float32') return
  if (!dtype) refuse(node, `has an input "${inputOf(node, 0).name}" of unknown element type, which its "${what}" must match`)
  const cast = addNode(site.graph, 'Cast', [inputOf(node, index)], [site.unique(`${inputOf(node, index).name}_${dtype}`)], { to: onnxTypeCode(dtype) }, { before: node })
  setInput(node, index, outputOf(cast))
}

const axesToInput = (since: number): readonly Upgrade[] => [intsToInput(since, 'axes', 1)]

/** Before 13 these flattened the input to two axes at `axis` (1 by default); since then they work along one axis. */
const softmax: Upgrade = {
  since: 13,
  apply(node, site) {
    const x = inputOf(node, 0)
    const axis = intAttribute(node, 'axis', 1)
    const rank = x.shape?.length
    const from = rank === undefined ? axis : wrapAxis(axis, rank)
    const long = x.shape?.flatMap((d, i) => (i >= from && d !== 1 ? [i] : []))
    if (long && long.length <= 1) {
      setAttribute(node, 'axis', long[0] ?? from)
      return
    }
    const y = outputOf(node)
    const named = (what: string): string => site.unique(`${y.name}_${what}`)
    const shape = addNode(site.graph, 'Shape', [x], [named('shape')], {}, { before: node })
    const flat = addNode(site.graph, 'Flatten', [x], [named('flat')], { axis }, { before: node })
    const inner = addNode(site.graph, node.opType, [outputOf(flat)], [named('rows')], { axis: -1 }, { before: node })
    const back = addNode(site.graph, 'Reshape', [outputOf(inner), outputOf(shape)], [named('back')], {}, { name: node.name })
    replaceNode(site.graph, node, back)
  },
}

/** The scales were an attribute. */
const upsampleTo9: Upgrade = {
  since: 9,
  apply(node, site) {
    const scales = node.attributes.get('scales')
    node.attributes.delete('scales')
    if (scales?.kind === 'floats') putConstant(node, site, 1, f32(scales.value), 'scales')
  },
}

/** Before 11 samples lay at index / scale, and "nearest" took the floor of it (the ceiling where the axis shrinks). */
const resizeTo11: Upgrade = {
  since: 11,
  apply(node) {
    const scales = node.inputs[1]
    setInput(node, 1, undefined)
    appendInput(node, scales)
    setAttribute(node, 'coordinate_transformation_mode', 'asymmetric')
    if (stringAttribute(node, 'mode', 'nearest') !== 'nearest') return
    const known = numbersOf(scales)
    if (!known) refuse(node, 'has computed scales: whether it rounds up or down is not known; fold its constants first')
    const shrinks = known.some((s) => s < 1)
    if (shrinks && known.some((s) => s > 1)) refuse(node, 'shrinks one axis and stretches another, which the later form cannot say')
    setAttribute(node, 'nearest_mode', shrinks ? 'ceil' : 'floor')
  },
}

/** From 13 on an unused roi, scales or sizes is left out instead of empty. */
const resizeTo13: Upgrade = {
  since: 13,
  apply(node) {
    if (stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel') === 'tf_half_pixel_for_nn') refuse(node, 'uses tf_half_pixel_for_nn, which later opsets do not have')
    for (const index of [1, 2, 3]) if (constantOf(node.inputs[index])?.data.length === 0) setInput(node, index, undefined)
    if (node.inputs[2] && node.inputs[3]) setInput(node, 2, undefined)
  },
}

function renameTo(since: number, opType: string): Upgrade {
  return {
    since,
    apply(node, site) {
      const made = new Node(opType, node.domain, node.name)
      made.docString = node.docString
      made.extra = node.extra
      for (const [key, a] of node.attributes) made.attributes.set(key, a)
      for (const v of node.inputs) appendInput(made, v)
      replaceNode(site.graph, node, made)
    },
  }
}

/** Sets an attribute to what its absence meant before. */
function stateDefault(since: number, name: string, value: string): Upgrade {
  return {
    since,
    apply(node) {
      if (!node.attributes.has(name)) setAttribute(node, name, value)
    },
  }
}

const clip: Upgrade = {
  since: 11,
  apply(node, site) {
    for (const [index, name] of ['min', 'max'].entries()) {
      if (!node.attributes.has(name)) continue
      const value = floatAttribute(node, name, 0)
      node.attributes.delete(name)
      floatToInput(node, site, index + 1, value, name)
    }
  },
}

const pad: Upgrade = {
  since: 11,
  apply(node, site) {
    intsToInput(11, 'pads', 1).apply(node, site)
    const value = floatAttribute(node, 'value', 0)
    node.attributes.delete('value')
    if (value !== 0) floatToInput(node, site, 2, value, 'value')
  },
}

const dropout: Upgrade = {
  since: 12,
  apply(node, site) {
    if (isUsed(site, node.outputs[1])) refuse(node, 'has its mask read, which changed its type')
    const ratio = floatAttribute(node, 'ratio', 0.5)
    node.attributes.delete('ratio')
    putConstant(node, site, 1, scalar(ratio), 'ratio')
  },
}

/** Statistics a position, as opset 7 could have them, are gone. */
const batchNormTo9: Upgrade = {
  since: 9,
  apply(node) {
    if (intAttribute(node, 'spatial', 1) === 0) refuse(node, 'has statistics of its own for every position (spatial = 0), which later opsets do not have')
    node.attributes.delete('spatial')
  },
}

/** Mean and variance outputs were for training; since 14 they need training_mode. */
const batchNorm: Upgrade = {
  since: 14,
  apply(node, site) {
    if (node.outputs.slice(1).some((v) => isUsed(site, v))) refuse(node, 'has its batch statistics read: export the model in inference mode')
    ;(node.outputs as (Value | undefined)[]).splice(1)
  },
}

const topK: Upgrade = {
  since: 10,
  apply(node, site) {
    const k = intAttribute(node, 'k', 1)
    node.attributes.delete('k')
    putConstant(node, site, 1, i64([k]), 'k')
  },
}

const splitEqually: Upgrade = {
  since: 18,
  apply(node) {
    if (!node.inputs[1]) setAttribute(node, 'num_outputs', node.outputs.length)
  },
}

const gridSample: Upgrade = {
  since: 20,
  apply(node) {
    const mode = stringAttribute(node, 'mode', 'bilinear')
    setAttribute(node, 'mode', mode === 'bilinear' ? 'linear' : mode === 'bicubic' ? 'cubic' : mode)
  },
}

/** Scale and bias were one a group, and are one a channel. */
const groupNorm: Upgrade = {
  since: 21,
  apply(node, site) {
    const channels = inputOf(node, 0).shape?.[1]
    const groups = intAttribute(node, 'num_groups', 1)
    if (typeof channels !== 'number') refuse(node, 'has an unknown number of channels')
    for (const index of [1, 2]) {
      const content = constantOf(inputOf(node, index)) ?? refuse(node, `has a computed input ${index}; fold its constants first`)
      putConstant(node, site, index, takeAlong(content, 0, Array.from({ length: channels }, (_, c) => Math.floor((c * groups) / channels))), index === 1 ? 'scale' : 'bias')
    }
  },
}

const refuseBefore = (since: number, why: string): Upgrade => ({ since, apply: (node) => refuse(node, why) })

/** By operator name, in the order of opsets. Operators that are not listed kept form and meaning from 7 to 21. */
export const upgrades: Readonly<Record<string, readonly Upgrade[]>> = {
  BatchNormalization: [batchNormTo9, batchNorm],
  Clip: [clip],
  DFT: [refuseBefore(20, 'takes its axis as an input from opset 20 on, which is not supported')],
  Dropout: [dropout],
  GridSample: [gridSample],
  GroupNormalization: [groupNorm],
  Hardmax: [softmax],
  LogSoftmax: [softmax],
  Pad: [pad],
  ReduceL1: axesToInput(18),
  ReduceL2: axesToInput(18),
  ReduceLogSum: axesToInput(18),
  ReduceLogSumExp: axesToInput(18),
  ReduceMax: axesToInput(18),
  ReduceMean: axesToInput(18),
  ReduceMin: axesToInput(18),
  ReduceProd: axesToInput(18),
  ReduceSum: axesToInput(13),
  ReduceSumSquare: axesToInput(18),
  Resize: [resizeTo11, resizeTo13],
  RoiAlign: [stateDefault(16, 'coordinate_transformation_mode', 'output_half_pixel')],
  Scatter: [renameTo(11, 'ScatterElements')],
  Slice: [intsToInput(10, 'starts', 1), intsToInput(10, 'ends', 2), intsToInput(10, 'axes', 3)],
  Softmax: [softmax],
  Split: [intsToInput(13, 'split', 1), splitEqually],
  Squeeze: axesToInput(13),
  TopK: [topK],
  Unsqueeze: axesToInput(13),
  Upsample: [upsampleTo9, renameTo(10, 'Resize')],
}

/** What opsets 22 and 23 brought that 21 does not have: operators, and attributes of older ones. */
export const laterThan21: Readonly<Record<string, readonly string[] | 'operator'>> = {
  Attention: 'operator',
  DequantizeLinear: ['output_dtype'],
  QuantizeLinear: ['precision'],
  RMSNormalization: 'operator',
  RotaryEmbedding: 'operator',
}
