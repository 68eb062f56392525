/** @file Nodes that ONNX Runtime's WebGPU library (1.30) refuses or computes wrongly, as found by running every operator on it and on the CPU. */
import { intAttribute, stringAttribute } from '../ir/attributes.ts'
import type { Model, Node } from '../ir/graph.ts'
import { subgraphsOf } from '../ir/walk.ts'
import { intsOf } from './rules.ts'

const gathersNothing = (node: Node): boolean => intAttribute(node, 'noop_with_empty_axes', 0) !== 0

/** By operator: whether a node must be computed elsewhere. Here and not in the operators' entries, for these are faults of one release of one library. */
const faults: Readonly<Record<string, (node: Node) => boolean>> = {
  /** Refused: "trainingMode is not supported yet". */
  BatchNormalization: (node) => intAttribute(node, 'training_mode', 0) !== 0,
  /** Refused: "The Indices output is not supported yet". */
  MaxPool: (node) => node.outputs[1] !== undefined,
  /** Refused: "Only Conv2d or Conv1d are supported". */
  ConvTranspose: (node) => (node.inputs[1]?.shape?.length ?? Infinity) > 4,
  /** Refused with axes that an ellipsis stands for, in most places. */
  Einsum: (node) => stringAttribute(node, 'equation', '').includes('...'),
  /** Wrong elements for some steps below 0; steps that are computed in the graph may be such. */
  Slice: (node) => node.inputs[4] !== undefined && intsOf(node, 'steps', 4)?.every((step) => step > 0) !== true,
  /** Where no axis is named, elements come back as they were, without the square or logarithm. */
  ReduceSumSquare: gathersNothing,
  ReduceLogSum: gathersNothing,
}

/** The nodes of a model, those of branches and loops too, that its WebGPU library must not compute. */
export function webgpuFaults({ graph }: Model): Node[] {
  const found: Node[] = []
  const graphs = [graph]
  for (let g = graphs.pop(); g; g = graphs.pop()) {
    for (const node of g.nodes) {
      graphs.push(...subgraphsOf(node))
      if ((node.domain === '' || node.domain === 'ai.onnx') && faults[node.opType]?.(node)) found.push(node)
    }
  }
  return found
}
