/** @file What a detector is trained for: a loss on its outputs in a training graph, and the feeds of a batch. */
import { importGraph, type ImportedGraph, type ImportOptions } from '../autodiff/import-graph.ts'
import type { Batch } from '../data/loader.ts'
import type { DetectorCard } from '../detection/card.ts'
import type { Model, Value } from '../ir/graph.ts'
import type { Builder } from '../ops/builder.ts'
import type { Tensors } from '../runtime/session.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface TaskLoss {
  readonly classification: Value
  readonly localization: Value
  /** Distance of feature maps from the teacher's. */
  readonly hint?: Value
  /** The loss of networks that are trained beside the detector and dropped afterwards, with their weights and running statistics. */
  readonly auxiliary?: Pick<ImportedGraph, 'parameters' | 'updates'> & { readonly loss: Value }
}

/** Made for a detector and batches of one size; the detector's weights and widths may change while it is used. */
export interface DetectorTask {
  /** Values of a working copy that `add` looks at beside its outputs; default: none. */
  wanted?(working: Model): readonly Value[]
  /** Adds the loss on the outputs of `imported`, a copy of `working`; makes the inputs that `feeds` fills beside the image. */
  add(b: Builder, working: Model, imported: ImportedDetector): TaskLoss
  /** The image and what the loss compares with. Buffers are used again: feed one batch before asking for the next. */
  feeds(data: Batch): Promise<Tensors>
  /** Content of weights that `add` makes inputs beside the detector's own; default: none. */
  initializer?(name: string): Tensor | undefined
  /** Frees what it holds. */
  release(): Promise<void>
}

export interface ImportedDetector extends ImportedGraph {
  /** [B,3,H,W] */
  readonly image: Value
}

/** Name of the image input of training graphs. */
const imageInput = 'image'

/** Copies a detector whose input gets a batch of `batch` images into a training graph; `wanted` (default: its outputs) is what of it. */
export function importDetector(b: Builder, working: Model, batch: number, options: Omit<ImportOptions, 'given' | 'wanted'> & { image?: Value; wanted?: readonly Value[] }): ImportedDetector {
  const source = working.graph.inputs.find((v) => !v.initializer)
  if (!source) throw new Error('the model has no input')
  const [, ...rest] = source.shape ?? []
  const image = options.image ?? b.input(imageInput, 'float32', [batch, ...rest])
  const imported = importGraph(b, working.graph, { ...options, given: new Map([[source, image]]), wanted: options.wanted ?? working.graph.outputs })
  return { ...imported, image }
}

/** Feeds of the image input. */
export function imageFeeds(card: DetectorCard, data: Batch): Tensors {
  return { [imageInput]: { dtype: 'float32', dims: [data.samples.length, 3, card.input.height, card.input.width], data: data.images } }
}
