/**
 * @file Depthwise convolutions that ONNX Runtime's CPU library (1.30) computes faster with the channels in blocks of 8 or 16, a layout of its own into which
 * it puts only those whose kernels are constants. In training they are computed: a depthwise layer's own (1.3 to 5 times faster on AVX-512, the change of layout
 * included), and the gradients of depthwise kernels, whose kernels are cotangents (7 to 10 times).
 */
import { intAttribute } from '../ir/attributes.ts'
import { addInitializer, addNode, cloneModel, replaceNode, setAttribute } from '../ir/edit.ts'
import { createModel, dimsOf, Graph, type Model, type Node, staticShape, type Value } from '../ir/graph.ts'
import { uniqueNames } from '../ir/names.ts'
import { i64 } from '../tensor/tensor.ts'
import { Builder } from './builder.ts'

/** The library's own operators for that layout, in the form in which it writes them itself when it saves what it made of a model. */
const domain = 'com.microsoft.nchwc'
/** Every size of block that the library has divides it. */
const block = 16

/** A convolution [N,C,h,w] of float32, the only type in that layout, with a computed kernel [C,1,...], one channel a group; the channels of all images fill blocks. */
function gains(node: Node): boolean {
  if (node.opType !== 'Conv' || (node.domain !== '' && node.domain !== 'ai.onnx')) return false
  const [x, kernel, bias] = node.inputs
  if (x?.dtype !== 'float32' || kernel?.dtype !== 'float32' || kernel.initializer || bias?.initializer) return false
  const [from, by, to] = [staticShape(x), staticShape(kernel), node.outputs[0] && staticShape(node.outputs[0])]
  if (from?.length !== 4 || by?.length !== 4 || to?.length !== 4) return false
  const groups = intAttribute(node, 'group', 1)
  return by[0] === groups && by[1] === 1 && from[1] === groups && (from[0]! * groups) % block === 0 && by[2]! * by[3]! > 1
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

/** One image with the channels of all: every channel of every image is a group of its own. */
function inBlocks(graph: Graph, node: Node, unique: (stem: string) => string): void {
  const [x, kernel, bias] = node.inputs as [Value, Value, Value | undefined]
  const [images = 1, channels = 1, ...map] = dimsOf(x)
  const taps = dimsOf(kernel).slice(2)
  const groups = images * channels
  const make = (type: string, inputs: readonly (Value | undefined)[], of: string, attributes: Parameters<typeof addNode>[4] = {}): Value =>
    addNode(graph, type, inputs, [unique(`${node.name}/${type}`)], attributes, { domain: of, before: node }).outputs[0]!
  const ints = (values: readonly number[]): Value => addInitializer(graph, unique(`${node.name}/dims`), i64(values))
  const reshape = (value: Value, dims: readonly number[]): Value => make('Reshape', [value, ints(dims)], '')
  const repeat = (value: Value, axis: number, rank: number): Value =>
    images === 1 ? value : make('Tile', [value, ints(Array.from({ length: rank }, (_, i) => (i === axis ? images : 1)))], '')
  // A kernel with the groups in blocks is laid out as an image with them as its channels.
  const filters = reshape(make('ReorderInput', [repeat(reshape(kernel, [1, channels, ...taps]), 1, 4)], domain), [groups, 1, ...taps])
  const image = make('ReorderInput', [images === 1 ? x : reshape(x, [1, groups, ...map])], domain)
  const blocked = addNode(graph, 'Conv', [image, filters, ...(bias ? [repeat(bias, 0, 1)] : [])], [unique(`${node.name}/blocked`)], {}, { domain, before: node })
  for (const [name, value] of node.attributes) blocked.attributes.set(name, value)
  setAttribute(blocked, 'group', groups)
  const plain = make('ReorderOutput', [blocked.outputs[0]], domain, { channels: groups })
  replaceNode(graph, node, addNode(graph, 'Reshape', [plain, ints(dimsOf(node.outputs[0]!))], [unique(`${node.name}/plain`)], {}, { name: node.name }))
}

/** A small model that gains, for trying whether a library has these operators and what it makes of them. */
export function blockedTrial(): { readonly model: Model; readonly inputs: Readonly<Record<'x' | 'kernel', readonly number[]>> } {
  const inputs = { x: [2, block / 2, 6, 6], kernel: [block / 2, 1, 4, 4] }
  const b = new Builder(new Graph('trial'))
  b.output(b.op('Conv', [b.input('x', 'float32', inputs.x), b.input('kernel', 'float32', inputs.kernel)], { group: block / 2, pads: [1, 1, 0, 0] }), 'y')
  return { model: createModel(b.graph, b.opset), inputs }
}
