/** @file Whether values have the shapes when run that inference gives them. */
import { withOutputs } from '../ir/edit.ts'
import type { Dim, Model, Value } from '../ir/graph.ts'
import { inTurns } from '../ir/walk.ts'
import type { Tensors } from '../runtime/session.ts'

/** Elements that one run may give back: values of a large model are fetched in turns. */
const mostElements = 2 ** 26

export interface ShapeCheck {
  /** Values whose shapes were compared. */
  readonly values: number
  /** In plain words. */
  readonly faults: readonly string[]
}

/** Runs the model with every value of known rank among its outputs; free axes of one name must be of one length. */
export async function checkShapes(model: Model, feeds: Tensors, run: (model: Model, feeds: Tensors) => Promise<Tensors>): Promise<ShapeCheck> {
  const values = model.graph.nodes.flatMap((node) => node.outputs.filter((v): v is Value => v?.dtype !== undefined && v.dtype !== 'string' && v.shape !== undefined))
  const faults: string[] = []
  const lengths = new Map<string, number>()
  for (const part of inTurns(values, mostElements)) {
    const results = await run(withOutputs(model, part), feeds)
    for (const { name, shape } of part) {
      const dims = results[name]?.dims
      if (!dims) throw new Error(`the runtime gave no value "${name}"`)
      if (dims.length !== shape!.length || !shape!.every((d, axis) => fits(d, dims[axis]!, lengths))) {
        faults.push(`"${name}" is [${dims.join(',')}] when run, [${shape!.map((d) => d ?? '?').join(',')}] by inference`)
      }
    }
  }
  return { values: values.length, faults }
}

function fits(dim: Dim, length: number, lengths: Map<string, number>): boolean {
  if (typeof dim === 'number') return dim === length
  if (dim === undefined) return true
  if (!lengths.has(dim)) lengths.set(dim, length)
  return lengths.get(dim) === length
}
