/** @file Opens the model that a command names. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Model } from '../ir/graph.ts'
import { loadModel } from '../onnx/load.ts'
import { foldConstants } from '../passes/fold-constants.ts'
import { nodeStore } from '../storage/node.ts'
import { type Detector, detectorOf } from '../train/detector.ts'

export interface OpenedModel {
  readonly path: string
  /** As its file has it. */
  readonly unfolded: Model
  /** With shapes inferred and constant computations folded, as groups and surgery need it. */
  readonly model: Model
}

export async function openModel(path: string): Promise<OpenedModel> {
  const unfolded = await loadModel(nodeStore(), path)
  return { path, unfolded, model: foldConstants(unfolded) }
}

/** A model with its detector card. */
export async function openDetector(path: string): Promise<OpenedModel & { readonly detector: Detector }> {
  const opened = await openModel(path)
  return { ...opened, detector: detectorOf(opened.model, path) }
}

/** What a plan says of the file that it belongs to. */
export async function fileIdentity(path: string): Promise<{ file: string; sha256: string }> {
  return { file: basename(path), sha256: createHash('sha256').update(await nodeStore().read(path)).digest('hex') }
}
