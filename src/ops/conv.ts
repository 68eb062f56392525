/** @file Conv and ConvTranspose. */
import { intAttribute } from '../ir/attributes.ts'
import { setAttribute } from '../ir/edit.ts'
import { constantOf, dimsOf, type Node, staticShape, type Value } from '../ir/graph.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { scaleChannels, shiftBias } from './absorb.ts'
import { channelSum, inputGradient, kernelGradient, transposedInputGradient } from './conv-gradient.ts'
import type { AxisRef, ChannelRule, KeptIndices, Link, OpDef, ShapeRule } from './define.ts'
import { layer } from './eight-bit.ts'
import type { Emitter } from './emitter.ts'
import { block, repeat } from './index-map.ts'
import { inputOf, link, outputOf, ref } from './rules.ts'
import { outputLength, transposedWindow, windowOf } from './window.ts'

const groupsOf = (node: Node): number => intAttribute(node, 'group', 1)

const convShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  const kernel = staticShape(inputOf(node, 1))
  if (!x.shape || !kernel) return [{ dtype: x.dtype, shape: undefined }]
  const spatial = x.shape.slice(2)
  const w = windowOf(node, kernel.slice(2), spatial)
  return [{ dtype: x.dtype, shape: [x.shape[0], kernel[0], ...spatial.map((n, i) => outputLength(w, i, n))] }]
}

const transposeShape: ShapeRule = (node) => {
  const x = inputOf(node, 0)
  const kernel = staticShape(inputOf(node, 1))
  if (!x.shape || !kernel) return [{ dtype: x.dtype, shape: undefined }]
  const { lengths } = transposedWindow(node, kernel.slice(2), x.shape.slice(2))
  return [{ dtype: x.dtype, shape: [x.shape[0], kernel[1]! * groupsOf(node), ...lengths] }]
}

/**
 * How the channels of a convolution are tied. `into` and `out` are the kernel's axes that meet the input's and the
 * output's channels; with groups one of the two holds the channels of a single group (Conv: the input's; ConvTranspose: the output's).
 */
function channelRule(into: 0 | 1, out: 0 | 1): ChannelRule {
  return (node) => {
    const x = ref(inputOf(node, 0), 1)
    const y = ref(outputOf(node), 1)
    const kernel = inputOf(node, 1)
    const dims = staticShape(kernel)
    if (!dims) return { links: [] }
    const groups = groupsOf(node)
    const links: Link[] = []
    const bias = node.inputs[2]
    if (bias) links.push(link(ref(bias, 0), y))
    const whole = ref(kernel, 0)
    const perGroup = dims[1]!
    const ofGroup = dims[0]! / groups
    const contracted: AxisRef[] = []
    if (groups === 1) {
      links.push(link(x, ref(kernel, into)), link(ref(kernel, out), y))
      contracted.push(x)
    } else if (perGroup === 1 && (into === 1 || ofGroup === 1)) {
      // Depthwise: a channel goes with its own outputs, and the number of groups follows.
      links.push(link(x, whole, block(ofGroup)), link(whole, y))
    } else {
      // The same channel of every group goes at once, so that the groups stay equal.
      const [onWhole, onPart] = into === 0 ? [x, y] : [y, x]
      links.push(link(whole, onWhole), link(whole, whole, repeat(ofGroup, groups)), link(ref(kernel, 1), onPart, repeat(perGroup, groups)))
      contracted.push(x)
    }
    const positions = [inputOf(node, 0), outputOf(node)].flatMap((value) => (value.shape ?? []).map((_, axis) => ref(value, axis)).slice(2))
    return { links, contracts: contracted, blocked: positions.map((at) => ({ ref: at, reason: 'the kernel slides along this axis' })) }
  }
}

/** Depthwise: as many groups as channels are kept. */
function patchGroups(node: Node, kept: KeptIndices): void {
  const groups = groupsOf(node)
  const x = inputOf(node, 0)
  const dims = dimsOf(inputOf(node, 1))
  if (groups === 1 || dims[1] !== 1) return
  const channels = kept(ref(x, 1))
  if (channels && x.shape?.[1] === groups) setAttribute(node, 'group', channels.length)
}

function convMacs(node: Node): number {
  const [, perGroup = 1, ...kernel] = dimsOf(inputOf(node, 1))
  return sizeOf(dimsOf(outputOf(node))) * perGroup * sizeOf(kernel)
}

function transposeMacs(node: Node): number {
  const [, perGroup = 1, ...kernel] = dimsOf(inputOf(node, 1))
  return sizeOf(dimsOf(inputOf(node, 0))) * perGroup * sizeOf(kernel)
}

/** Folds a following affine form into kernel and bias; `outputChannel` tells the channel of a kernel's element from its indices along axes 0 and 1. */
function absorbInto(outputChannel: (node: Node, i: number, j: number, dims: readonly number[]) => number): OpDef['absorbAffine'] {
  return (node, affine) => {
    const kernel = constantOf(node.inputs[1])
    const bias = constantOf(node.inputs[2])
    if (!kernel || (node.inputs[2] && !bias)) return undefined
    const scaled = scaleChannels(kernel, affine.scale, (i, j) => outputChannel(node, i, j, kernel.dims))
    const shifted = shiftBias(bias, affine)
    return scaled && shifted && new Map([[1, scaled], [2, shifted]])
  }
}

/** The patch of each place, by a depthwise convolution with kernels of a single one. */
function patches(b: Emitter, node: Node, x: Value): Value {
  const [, perGroup = 1, ...kernel] = dimsOf(inputOf(node, 1))
  const [n = 1, c = 1, ...spatial] = dimsOf(x)
  const cells = sizeOf(kernel)
  const w = windowOf(node, kernel, spatial)
  const one = new Float32Array(c * cells * cells)
  for (let i = 0; i < c * cells; i++) one[i * cells + (i % cells)] = 1
  const unfolded = b.op('Conv', [x, b.constant({ dtype: 'float32', dims: [c * cells, 1, ...kernel], data: one })], {
    group: c, kernel_shape: kernel, strides: w.strides, dilations: w.dilations, pads: [...w.begin, ...w.end],
  })
  const [, , ...places] = dimsOf(unfolded)
  return b.reshape(unfolded, [n, groupsOf(node), perGroup * cells, sizeOf(places)])
}

export const conv: readonly OpDef[] = [
  {
    type: 'Conv',
    shape: convShape,
    vjp: (b, node, [dy]) => {
      if (!dy) return []
      const x = inputOf(node, 0)
      const w = windowOf(node, dimsOf(inputOf(node, 1)).slice(2), dimsOf(x).slice(2))
      const groups = groupsOf(node)
      return [
        () => inputGradient(b, dy, inputOf(node, 1), w, groups, dimsOf(x).slice(2)),
        () => kernelGradient(b, x, dy, w, groups),
        () => channelSum(b, dy),
      ]
    },
    channels: channelRule(1, 0),
    patch: patchGroups,
    sized: (node) => ({ group: dimsOf(inputOf(node, 0))[1]! / dimsOf(inputOf(node, 1))[1]! }),
    macs: convMacs,
    weights: [1, 2],
    trainable: [1, 2],
    scored: { input: 1, axis: () => 1 },
    regressors: patches,
    absorbAffine: absorbInto((_, i) => i),
    eightBit: layer(0),
  },
  {
    type: 'ConvTranspose',
    shape: transposeShape,
    vjp: (b, node, [dy]) => {
      if (!dy) return []
      const x = inputOf(node, 0)
      const kernel = inputOf(node, 1)
      const spatial = dimsOf(x).slice(2)
      const { window } = transposedWindow(node, dimsOf(kernel).slice(2), spatial)
      const groups = groupsOf(node)
      return [
        () => transposedInputGradient(b, dy, kernel, window, groups, spatial),
        () => kernelGradient(b, dy, x, window, groups),
        () => channelSum(b, dy),
      ]
    },
    channels: channelRule(0, 1),
    patch: patchGroups,
    sized: (node) => ({ group: dimsOf(outputOf(node))[1]! / dimsOf(inputOf(node, 1))[1]! }),
    macs: transposeMacs,
    weights: [1, 2],
    trainable: [1, 2],
    scored: { input: 1, axis: () => 0 },
    absorbAffine: absorbInto((node, i, j, dims) => Math.floor(i / (dims[0]! / groupsOf(node))) * dims[1]! + j),
    eightBit: layer(1),
  },
]
