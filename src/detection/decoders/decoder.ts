/** @file What a decoder is: from a detector's raw outputs to detections, and how sure the detector is at each place of its outputs. */
import { z } from 'zod'
import type { Tensors } from '../../runtime/session.ts'
import { UserError } from '../../tensor/error.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Detections } from '../annotation.ts'
import type { DefaultBoxLevel } from '../default-boxes.ts'

export interface Decoder {
  /** Names of the outputs that it reads. */
  readonly outputs: readonly string[]
  /** True where outputs of several images cannot be told apart: run one image at a time. */
  readonly oneByOne: boolean
  /**
   * Detections in the outputs of one image (as `imageOf` gives them), best score first; boxes in pixels of the network's input, clipped to it.
   * Throws UserError where the outputs are not what the card says.
   */
  decode(image: Tensors): Detections
  /**
   * For outputs of one image or a batch: by output name, of the output's size, the highest class score (0 to 1) of the location that each entry
   * belongs to. Entries that belong to no location have 0.
   */
  confidence(outputs: Tensors): Readonly<Record<string, Float32Array>>
}

/** What of the card beside its own options a decoder needs. */
export interface DecoderContext {
  /** Pixels of the network's input. */
  readonly input: { readonly width: number; readonly height: number }
  /** Number of classes, background not counted. */
  readonly classes: number
  readonly defaultBoxes?: readonly DefaultBoxLevel[]
}

/** Which of what was decoded stays; fields of every decoder's options. */
export const thresholds = {
  /** Detections below this score are dropped first. */
  scoreThreshold: z.number().min(0).max(1),
  maxDetections: z.int().positive(),
}

export const suppression = {
  ...thresholds,
  /** A box that overlaps a better one of its class by more than this is dropped. */
  nmsIou: z.number().min(0).max(1),
}

export interface Suppression {
  readonly scoreThreshold: number
  readonly nmsIou: number
  readonly maxDetections: number
}

/** What a new card gets; low enough to measure AP with. */
export const suppressionDefaults: Suppression = { scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 }

/** Outputs `names` of image `i`: views with a first axis of 1. */
export function imageOf(outputs: Tensors, names: readonly string[], i: number): Tensors {
  return Object.fromEntries(names.map((name) => {
    const t = tensorNamed(outputs, name)
    const size = t.data.length / (t.dims[0] || 1)
    return [name, { ...t, dims: [1, ...t.dims.slice(1)], data: (t.data as Float32Array).subarray(i * size, (i + 1) * size) }]
  }))
}

export function tensorNamed(outputs: Tensors, name: string): Tensor {
  const t = outputs[name]
  if (!t) throw new UserError(`the detector card names the output "${name}", the model has ${Object.keys(outputs).map((o) => `"${o}"`).join(', ')}: the card does not belong to this model`)
  return t
}

/** The float32 content of output `name`, a first axis of images before `dims`; throws UserError where it has others. */
export function contentOf(outputs: Tensors, name: string, dims: readonly number[]): Float32Array {
  const t = tensorNamed(outputs, name)
  if (t.dims.length !== dims.length + 1 || dims.some((d, axis) => d !== t.dims[axis + 1])) {
    throw new UserError(`output "${name}" is [${t.dims.join(',')}], the detector card asks for [N,${dims.join(',')}]: the card does not belong to this model; give --classes or another --decoder`)
  }
  if (!(t.data instanceof Float32Array)) throw new UserError(`output "${name}" is of type ${t.dtype}, float32 is decoded; export the model in float32`)
  return t.data
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}
