/** @file Sets the batch of a model: of its inputs, and of the constants that bake a batch of 1 in. */
import { addInitializer, cloneModel, putInput, removeUnusedInitializers } from '../ir/edit.ts'
import { constantOf, type Model, type Node, opsetOf, staticShape, type Value } from '../ir/graph.ts'
import { ancestors, valuesOf } from '../ir/walk.ts'
import { batchRules } from '../ops/batch.ts'
import { UserError } from '../tensor/error.ts'
import { inferGraph, inferShapes } from './infer-shapes.ts'

/**
 * A copy of the model that takes `batch` images at once (axis 0 of every input), with all shapes inferred anew. The model
 * must have a batch of 1 or a free one. Shapes show when it cannot be done (UserError); that no op mixes images is for
 * the caller to check against single runs.
 */
export function setBatch(model: Model, batch: number): Model {
  if (!Number.isInteger(batch) || batch < 1) throw new UserError(`a batch of ${batch} was asked for; give a whole number from 1`)
  const single = cloneModel(model).model
  for (const input of inputsOf(single)) input.shape = [1, ...input.shape!.slice(1)]
  const before = inferShapes(single)
  if (batch === 1) return before
  const { model: copy, values } = cloneModel(before)
  const graph = copy.graph
  const former = new Map<Value, readonly number[] | undefined>()
  for (const [old, made] of values) former.set(made, staticShape(old))
  for (const input of inputsOf(copy)) input.shape = [batch, ...input.shape!.slice(1)]
  for (const node of graph.nodes) for (const v of node.outputs) if (v) v.shape = undefined
  const names = new Set([...valuesOf(graph)].map((v) => v.name))
  const replaced = new Set<Value>()
  const mend = (node: Node): void => {
    const before = node.inputs[0] && former.get(node.inputs[0])
    const now = node.inputs[0] && staticShape(node.inputs[0])
    const output = node.outputs[0] && former.get(node.outputs[0])
    const rule = node.domain === '' ? batchRules[node.opType] : undefined
    if (!rule || !before || !now || !output) return
    const grown = changedAxes(before, now)
    if (grown.length === 0) return
    const axis = grown[0]!
    if (grown.length > 1 || now[axis] !== before[axis]! * batch) throw new Error(`input [${before.join(',')}] of ${node.opType} "${node.name}" became [${now.join(',')}], which is no batch of ${batch}`)
    for (const [index, content] of rule(node, { before, now, axis, factor: batch, output }) ?? []) {
      const old = node.inputs[index]
      if (old) replaced.add(old)
      let name = `${old?.name ?? node.name}_batch${batch}`
      while (names.has(name)) name += '_'
      names.add(name)
      putInput(node, index, addInitializer(graph, name, content))
    }
  }
  try {
    inferGraph(graph, opsetOf(copy), mend)
  } catch (cause) {
    throw new UserError(`the batch cannot be set to ${batch}: ${cause instanceof Error ? cause.message : String(cause)}; export the model with a free batch axis`, { cause })
  }
  removeUnusedInitializers(graph, replaced)
  checkOutputs(copy, former, batch)
  return copy
}

/** The inputs that callers feed. */
function inputsOf(model: Model): Value[] {
  const inputs = model.graph.inputs.filter((v) => !constantOf(v))
  for (const v of inputs) {
    const first = v.shape?.[0]
    if (!v.shape?.length) throw new UserError(`input "${v.name}" has no batch axis, so the batch cannot be set; export the model with batched inputs`)
    if (typeof first === 'number' && first !== 1) throw new UserError(`input "${v.name}" has a batch of ${first} built in, 1 or a free one was wanted; export the model with batch 1`)
  }
  return inputs
}

function changedAxes(before: readonly number[], now: readonly number[]): number[] {
  if (before.length !== now.length) return []
  return before.flatMap((d, axis) => (d === now[axis] ? [] : [axis]))
}

/** Every output that depends on the images must have grown on its first axis, and on no other. */
function checkOutputs(model: Model, former: ReadonlyMap<Value, readonly number[] | undefined>, batch: number): void {
  const fed = new Set(model.graph.inputs.filter((v) => !constantOf(v)))
  for (const output of model.graph.outputs) {
    const before = former.get(output)
    const now = staticShape(output)
    if (!before || !now) continue
    const grown = changedAxes(before, now)
    const good = before.length === now.length && grown.length === 1 && grown[0] === 0 && now[0] === before[0]! * batch
    const dependent = ancestors(model.graph, [output]).some((n) => n.inputs.some((v) => v && fed.has(v)))
    if (good || (grown.length === 0 && !dependent)) continue
    const fault = `with a batch of ${batch} output "${output.name}" would be [${now.join(',')}] where one image gives [${before.join(',')}]`
    throw new UserError(`${fault}: the model handles single images only; export it with a free batch axis`)
  }
}
