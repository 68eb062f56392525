/** @file GraphProto -> Graph: names become shared values, subgraphs see the values of enclosing graphs. */
import { GraphProtoSchema, NodeProtoSchema, type GraphProto, type NodeProto } from 'onnx-buf'
import { appendInput, appendOutput } from '../ir/edit.ts'
import { Graph, Node, Value } from '../ir/graph.ts'
import { capturedBy } from '../ir/walk.ts'
import { UserError } from '../tensor/error.ts'
import { type AttributeExtra, attributeExtra, type NodeExtra, readAttribute } from './attributes.ts'
import { remainder } from './messages.ts'
import { tensorOf, tensorRemainder } from './tensors.ts'
import { addExtra, readInfo } from './types.ts'

/** Finds a value of this graph or of one around it. */
type Scope = (name: string) => Value | undefined

const graphFields = new Set(['node', 'name', 'initializer', 'docString', 'input', 'output', 'valueInfo'])
const nodeFields = new Set(['input', 'output', 'name', 'opType', 'domain', 'attribute', 'docString'])

export function readGraph(proto: GraphProto, file: string, outer: Scope = () => undefined): Graph {
  if (proto.sparseInitializer.length) {
    const name = proto.sparseInitializer[0]!.values?.name ?? ''
    throw new UserError(`${file}: initializer "${name}" is sparse, which is not supported; make it dense and save the model again`)
  }
  const graph = new Graph(proto.name)
  graph.docString = proto.docString
  graph.extra = remainder(GraphProtoSchema, proto, graphFields)
  const own = new Map<string, Value>()
  const define = (name: string, what: string): Value => {
    if (own.has(name)) throw new UserError(`${file}: two values are called "${name}" (the second is ${what}); names must be unique, export the model again`)
    const value = new Value(name)
    own.set(name, value)
    return value
  }
  for (const info of proto.input) graph.inputs.push(define(info.name, 'a graph input'))
  const inputs = new Set(graph.inputs)
  for (const t of proto.initializer) {
    // Up to IR 3 every initializer is a graph input too.
    const known = own.get(t.name)
    const value = known && inputs.has(known) && !known.initializer ? known : define(t.name, 'an initializer')
    value.initializer = tensorOf(t, `${file}: initializer "${t.name}"`)
    value.dtype = value.initializer.dtype
    value.shape = value.initializer.dims
    addExtra(value, { tensor: tensorRemainder(t) })
    graph.initializers.push(value)
  }
  for (const n of proto.node) {
    const node = new Node(n.opType, n.domain, n.name)
    node.docString = n.docString
    for (const name of n.output) appendOutput(node, name === '' ? undefined : define(name, `an output of ${label(n)}`))
    graph.nodes.push(node)
  }
  for (const info of [...proto.input, ...proto.valueInfo, ...proto.output]) {
    const value = own.get(info.name)
    if (value) readInfo(value, info)
  }
  const scope: Scope = (name) => own.get(name) ?? outer(name)
  const find = (name: string, reader: string): Value => {
    const value = scope(name)
    if (!value) throw new UserError(`${file}: ${reader} reads "${name}", which nothing computes; the file is damaged, export it again`)
    return value
  }
  proto.node.forEach((n, i) => {
    const node = graph.nodes[i]!
    for (const name of n.input) appendInput(node, name === '' ? undefined : find(name, label(n)))
    readAttributes(node, n, file, scope)
  })
  for (const info of proto.output) graph.outputs.push(find(info.name, 'the graph\'s output list'))
  sortNodes(graph, file)
  return graph
}

function readAttributes(node: Node, proto: NodeProto, file: string, scope: Scope): void {
  const extras = new Map<string, AttributeExtra>()
  for (const a of proto.attribute) {
    const place = `${file}: attribute "${a.name}" of ${label(proto)}`
    const read = readAttribute(a, place, (g) => readGraph(g, file, scope))
    node.attributes.set(a.name, read)
    const extra = attributeExtra(a, read)
    if (extra) extras.set(a.name, extra)
  }
  const rest = remainder(NodeProtoSchema, proto, nodeFields)
  if (rest || extras.size) node.extra = { node: rest, attributes: extras.size ? extras : undefined } satisfies NodeExtra
}

function label(n: NodeProto): string {
  return `${n.opType} "${n.name || (n.output[0] ?? '')}"`
}

/** Puts nodes in an order in which every value is computed before it is read, should the file's order not be one. */
function sortNodes(graph: Graph, file: string): void {
  const own = new Set(graph.nodes)
  const sources = new Map<Node, Node[]>()
  for (const node of graph.nodes) {
    const read = [...node.inputs, ...capturedBy(node)]
    sources.set(node, read.flatMap((v) => (v?.producer && own.has(v.producer) ? [v.producer] : [])))
  }
  const sorted = new Set<Node>()
  let waiting = graph.nodes.slice()
  while (waiting.length) {
    const later: Node[] = []
    for (const node of waiting) {
      if (sources.get(node)!.every((s) => sorted.has(s))) sorted.add(node)
      else later.push(node)
    }
    if (later.length === waiting.length) throw new UserError(`${file}: node "${later[0]!.name || later[0]!.opType}" depends on its own output; the file is damaged, export it again`)
    waiting = later
  }
  graph.nodes.splice(0, graph.nodes.length, ...sorted)
}
