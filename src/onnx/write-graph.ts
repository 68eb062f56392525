/** @file Graph -> GraphProto. */
import { create } from '@bufbuild/protobuf'
import { GraphProtoSchema, NodeProtoSchema, type GraphProto, type NodeProto } from 'onnx-buf'
import type { Graph, Node } from '../ir/graph.ts'
import { type NodeExtra, writeAttribute } from './attributes.ts'
import { restore } from './messages.ts'
import { tensorProto } from './tensors.ts'
import { extraOf, hasInfo, infoOf } from './types.ts'

/** A whole graph, initializers included: for subgraphs. */
function wholeGraph(graph: Graph): GraphProto {
  const proto = graphWithoutInitializers(graph)
  proto.initializer = graph.initializers.map((v) => tensorProto(v.initializer!, v.name, extraOf(v)?.tensor))
  return proto
}

/** A graph whose initializers are written apart. */
export function graphWithoutInitializers(graph: Graph): GraphProto {
  const outputs = new Set(graph.outputs)
  const proto = create(GraphProtoSchema, {
    node: graph.nodes.map(nodeProto),
    name: graph.name,
    input: graph.inputs.map(infoOf),
    output: graph.outputs.map(infoOf),
    valueInfo: graph.nodes.flatMap((n) => n.outputs.filter((v) => v !== undefined && !outputs.has(v) && hasInfo(v)).map((v) => infoOf(v!))),
  })
  if (graph.docString) proto.docString = graph.docString
  return restore(GraphProtoSchema, proto, graph.extra as GraphProto | undefined)
}

function nodeProto(node: Node): NodeProto {
  const extra = node.extra as NodeExtra | undefined
  const proto = create(NodeProtoSchema, {
    input: node.inputs.map((v) => v?.name ?? ''),
    output: node.outputs.map((v) => v?.name ?? ''),
    opType: node.opType,
    attribute: [...node.attributes].map(([name, a]) => writeAttribute(name, a, extra?.attributes?.get(name), wholeGraph)),
  })
  if (node.name) proto.name = node.name
  if (node.domain) proto.domain = node.domain
  if (node.docString) proto.docString = node.docString
  return restore(NodeProtoSchema, proto, extra?.node)
}
