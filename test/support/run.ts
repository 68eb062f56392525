/** @file Running small graphs in tests. */
import { createModel, Graph, type Model } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { runOnce } from '../../src/runtime/session.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** Runs a model once on the native runtime, one thread. */
export async function runModel(model: Model, feeds: Readonly<Record<string, Tensor>> = {}): Promise<Readonly<Record<string, Tensor>>> {
  return runOnce(nodeRuntime, model, feeds, { threads: 1 })
}

/** Builds a graph with a builder and runs it. */
export async function buildAndRun(build: (b: Builder) => void, feeds: Readonly<Record<string, Tensor>> = {}): Promise<Readonly<Record<string, Tensor>>> {
  const b = new Builder(new Graph('test'))
  build(b)
  return runModel(createModel(b.graph, b.opset), feeds)
}
