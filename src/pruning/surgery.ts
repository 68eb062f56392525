/** @file Surgery: the model without the channels that a plan removes. */
import { addInitializer, appendInput, cloneModel, setInput, setInitializer } from '../ir/edit.ts'
import { type Graph, type Model, opsetOf, type Value } from '../ir/graph.ts'
import { valuesOf } from '../ir/walk.ts'
import type { PatchEdit } from '../ops/define.ts'
import { lookup } from '../ops/registry.ts'
import { replaceShuffles } from '../ops/shuffle.ts'
import { makeWeightsConstant } from '../passes/constant-weights.ts'
import { inferGraph } from '../passes/infer-shapes.ts'
import { UserError } from '../tensor/error.ts'
import { takeAlong, type Tensor } from '../tensor/tensor.ts'
import { mergeCuts, type PrunePlan } from './plan.ts'
import { type ResolvedCut, resolvePlan } from './resolve-plan.ts'

/**
 * A new model with the plan's channels removed: every tied axis of every initializer is sliced, attributes and constants that name
 * channel counts are mended, shapes are inferred again, weights among the inputs become constants. All else is kept as it is. `source` names the plan in errors.
 */
export function applyPlan(model: Model, plan: PrunePlan, source = 'the plan'): Model {
  const copy = cloneModel(model).model
  const cut = resolvePlan(copy, plan, source)
  const opset = opsetOf(copy)
  patchNodes(copy.graph, cut, opset)
  for (const [value, axes] of cut.axes) {
    if (value.initializer) {
      let content = value.initializer
      for (const [axis, keep] of axes) content = takeAlong(content, axis, keep)
      setInitializer(value, content)
    } else value.shape = value.shape?.map((dim, axis) => axes.get(axis)?.length ?? dim)
  }
  makeWeightsConstant(copy)
  inferGraph(copy.graph, opset)
  for (const [value, axes] of cut.axes) {
    for (const [axis, keep] of axes) {
      if (value.shape?.[axis] !== keep.length) throw new Error(`after the cut axis ${axis} of "${value.name}" is ${value.shape?.[axis]}, it should be ${keep.length}: a rule of ${value.producer?.opType} is wrong`)
    }
  }
  return copy
}

function patchNodes(graph: Graph, cut: ResolvedCut, opset: number): void {
  const names = new Set([...valuesOf(graph)].map((v) => v.name))
  const setConstant: PatchEdit['setConstant'] = (node, index, content) => {
    const old = node.inputs[index]
    // A constant that others read too, or that the cut slices itself, is left to them.
    if (old?.initializer && old.uses.size === 1 && !graph.outputs.includes(old) && !cut.axes.has(old)) return setInitializer(old, content)
    const value = addInitializer(graph, freshName(names, `${old?.name ?? node.name}_cut`), content)
    while (node.inputs.length < index) appendInput(node, undefined)
    if (index < node.inputs.length) setInput(node, index, value)
    else appendInput(node, value)
    if (old) dropUnused(graph, old)
  }
  const shuffled = replaceShuffles(graph, cut.kept, (stem) => freshName(names, stem))
  for (const node of graph.nodes) if (!shuffled.has(node)) lookup(node.opType, node.domain)?.patch?.(node, cut.kept, { opset, setConstant })
}

function freshName(names: Set<string>, stem: string): string {
  let name = stem
  for (let n = 1; names.has(name); n++) name = `${stem}_${n}`
  names.add(name)
  return name
}

function dropUnused(graph: Graph, value: Value): void {
  const at = graph.initializers.indexOf(value)
  if (at >= 0 && value.uses.size === 0 && !graph.inputs.includes(value) && !graph.outputs.includes(value)) graph.initializers.splice(at, 1)
}

/** Tensors kept beside a model (trained weights, optimizer state) by initializer name, cut as the plan cuts the initializers; names that it does not cut pass as they are. */
export function sliceState(state: ReadonlyMap<string, Tensor>, plan: PrunePlan): Map<string, Tensor> {
  const out = new Map(state)
  for (const { name, axis, length, keep } of mergeCuts(plan)) {
    const content = out.get(name)
    if (!content) continue
    if (content.dims[axis] !== length) throw new UserError(`the state of "${name}" has dims [${content.dims.join(',')}], the plan cuts its axis ${axis} of length ${length}; it belongs to another model`)
    out.set(name, takeAlong(content, axis, keep))
  }
  return out
}
