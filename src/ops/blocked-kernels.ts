/**
 * @file Convolutions that ONNX Runtime's CPU library (1.30) computes many times faster with the channels in blocks of 8 or 16, a layout of its own
 * into which it puts only those whose kernels are constants: the gradients of depthwise kernels, whose kernels are cotangents. Seven to ten times on AVX-512.
 */
import { intAttribute } from '../ir/attributes.ts'
import { addInitializer, addNode, cloneModel, replaceNode } from '../ir/edit.ts'
import { createModel, Graph, type Model, type Node, staticShape, type Value } from '../ir/graph.ts'
import { uniqueNames } from '../ir/names.ts'
import { i64 } from '../tensor/tensor.ts'
import { Builder } from './builder.ts'

/** The library's own operators for that layout, in the form in which it writes them itself when it saves what it made of a model. */
const domain = 'com.microsoft.nchwc'
/** Every size of block that the library has divides it. */
const block = 16
/** Kernels smaller than this are weights of layers, for which the change of layout costs as much as it brings. */
const leastTaps = 16

/** A convolution [1,G,...] with a computed kernel [G,1,...], one channel a group. */
function gains(node: Node): boolean {
  if (node.opType !== 'Conv' || (node.domain !== '' && node.domain !== 'ai.onnx') || node.inputs.length !== 2) return false
  const [x, kernel] = node.inputs
  if (!x || !kernel || kernel.initializer) return false
  const from = staticShape(x)
  const by = staticShape(kernel)
  if (from?.length !== 4 || by?.length !== 4 || from[0] !== 1) return false
  const groups = intAttribute(node, 'group', 1)
  return by[0] === groups && by[1] === 1 && from[1] === groups && groups % block === 0 && by[2]! * by[3]! >= leastTaps
}

/** `model` with these convolutions in blocks: a copy; undefined where there are none. */
export function blockedKernels(model: Model): Model | undefined {
  if (!model.graph.nodes.some(gains)) return undefined
  const { model: copy } = cloneModel(model)
  const { graph } = copy
  const unique = uniqueNames(graph)
  for (const node of graph.nodes.filter(gains)) inBlocks(graph, node, unique)
  copy.opsets.set(domain, 1)
  return copy
}

function inBlocks(graph: Graph, node: Node, unique: (stem: string) => string): void {
  const [x, kernel] = node.inputs as [Value, Value]
  const [groups = 1, , ...taps] = staticShape(kernel)!
  const make = (type: string, inputs: readonly Value[], attributes: Parameters<typeof addNode>[4] = {}, of = domain): Value =>
    addNode(graph, type, inputs, [unique(`${node.name}/${type}`)], attributes, { domain: of, before: node }).outputs[0]!
  const reshape = (value: Value, dims: readonly number[]): Value => make('Reshape', [value, addInitializer(graph, unique(`${node.name}/dims`), i64(dims))], {}, '')
  // A kernel with the groups in blocks is laid out as an image with them as its channels.
  const filters = reshape(make('ReorderInput', [reshape(kernel, [1, groups, ...taps])]), [groups, 1, ...taps])
  const blocked = addNode(graph, 'Conv', [make('ReorderInput', [x]), filters], [unique(`${node.name}/blocked`)], {}, { domain, before: node })
  for (const [name, value] of node.attributes) blocked.attributes.set(name, value)
  const plain = addNode(graph, 'ReorderOutput', [blocked.outputs[0]], [unique(`${node.name}/plain`)], { channels: groups }, { domain, name: node.name })
  replaceNode(graph, node, plain)
}

/** The smallest model that gains, for trying whether a library has these operators and what it makes of them. */
export function blockedTrial(): { readonly model: Model; readonly inputs: Readonly<Record<'x' | 'kernel', readonly number[]>> } {
  const inputs = { x: [1, block, 6, 6], kernel: [block, 1, 4, 4] }
  const b = new Builder(new Graph('trial'))
  b.output(b.op('Conv', [b.input('x', 'float32', inputs.x), b.input('kernel', 'float32', inputs.kernel)], { group: block, pads: [1, 1, 0, 0] }), 'y')
  return { model: createModel(b.graph, b.opset), inputs }
}
