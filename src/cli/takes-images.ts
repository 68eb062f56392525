/** @file Whether a model takes images and nothing else. */
import type { Model } from '../ir/graph.ts'
import { UserError } from '../tensor/error.ts'

/** Throws UserError unless the model's one input takes images of that size; `work` is what they are needed for. */
export function assertTakesImages({ graph }: Model, size: { readonly width: number; readonly height: number }, path: string, work: string): void {
  const inputs = graph.inputs.filter((v) => !v.initializer)
  const [image, ...others] = inputs
  if (!image || others.length > 0) throw new UserError(`${path}: has the inputs ${inputs.map((v) => `"${v.name}"`).join(', ')}; ${work} can only feed a model that takes images alone`)
  const [, ...rest] = image.shape ?? []
  const wanted = [3, size.height, size.width]
  if (image.dtype !== 'float32' || rest.some((d, i) => typeof d === 'number' && d !== wanted[i])) {
    throw new UserError(`${path}: its input "${image.name}" is ${image.dtype ?? 'of unknown type'} [${image.shape?.map((d) => d ?? '?').join(', ') ?? '?'}], its detector card says float32 [N, ${wanted.join(', ')}]`)
  }
}
