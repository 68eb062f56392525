/** @file A detector of ours with fresh random weights in the shape that it has: what its architecture starts with, at pruned widths. */
import { cloneModel, setInitializer } from '../../ir/edit.ts'
import type { Model, Value } from '../../ir/graph.ts'
import { isFloat } from '../../tensor/dtype.ts'
import { UserError } from '../../tensor/error.ts'
import { f32, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import { readCard } from '../card.ts'
import { architectureNames, buildDetector } from './architectures.ts'
import type { Draw } from './layers.ts'

/**
 * A copy of `model` whose weights start as those of its architecture do: layers by their own rule for the widths they have now, scales,
 * biases and running statistics at their first values. Throws UserError, naming `file`, for models that were not built here.
 */
export function withFreshWeights(model: Model, seed: number, file: string): Model {
  const card = readCard(model.metadata, file)
  if (!architectureNames.includes(card.architecture)) {
    throw new UserError(`${file}: its detector card names the architecture "${card.architecture}", which is none of ${architectureNames.join(', ')}, so how its weights start is not known; give a model that "espalier train --arch" made, or one pruned from it`)
  }
  const draws = new Map<string, Draw>()
  const whole = buildDetector(card.architecture, { classes: card.classes, seed, size: card.input.width, draws })
  const twins = new Map(whole.graph.initializers.map((v) => [v.name, v.initializer!]))
  const copy = cloneModel(model).model
  for (const v of copy.graph.initializers) {
    if (!isFloat(v.initializer!.dtype)) continue
    const twin = twins.get(v.name)
    if (!twin) throw new UserError(`${file}: its weight "${v.name}" is none of ${card.architecture}, so how it starts is not known; give a model that "espalier train --arch" made, or one pruned from it`)
    setInitializer(v, freshOf(v, twin, draws.get(v.name), file))
  }
  return copy
}

function freshOf({ name, initializer }: Value, twin: Tensor, draw: Draw | undefined, file: string): Tensor {
  const { dims } = initializer!
  if (draw) return f32(draw(dims), dims)
  const first = twin.data[0] as number
  // Scales, biases and statistics start at one number each, so their length does not matter.
  if (!(twin.data as Float32Array).every((v) => v === first)) throw new UserError(`${file}: the weight "${name}" starts neither at one number nor at random, so how it starts at other widths is not known`)
  return f32(new Float32Array(sizeOf(dims)).fill(first), dims)
}
