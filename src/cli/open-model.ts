/** @file Opens the model that a command names. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { type DetectorCard, ownCard, writeCard } from '../detection/card.ts'
import { probeModel } from '../detection/probe.ts'
import { parsePreprocess } from '../detection/preprocess-words.ts'
import { amendCard, cardFor, type CardRequest, parseDecoder } from '../detection/recognise.ts'
import { parseSidecar, type Sidecar } from '../detection/sidecar.ts'
import type { Model } from '../ir/graph.ts'
import { loadModel } from '../onnx/load.ts'
import { foldConstants } from '../passes/fold-constants.ts'
import type { SessionOptions } from '../runtime/session.ts'
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

export interface OpenOptions {
  /** What the user says of the detector; default: nothing. */
  readonly request?: CardRequest
  readonly session?: SessionOptions
  /** Hears what was recognised, and why. */
  readonly note?: (text: string) => void
}

/** A model with its detector card: its own, or one made from its outputs, which then is in the model's metadata. */
export async function openDetector(path: string, options: OpenOptions = {}): Promise<OpenedModel & { readonly detector: Detector }> {
  const opened = await openModel(path)
  const { card, why } = await findCard(opened, options)
  if (why !== undefined) options.note?.(`${path}: ${why}`)
  writeCard(opened.model.metadata, card)
  return { ...opened, detector: detectorOf(opened.model, path) }
}

/** The card that a detector is used with; `why` says what it rests on where it is not the model's own. */
async function findCard({ path, model }: OpenedModel, { request = {}, session }: OpenOptions): Promise<{ card: DetectorCard; why?: string }> {
  const own = ownCard(model.metadata, path)
  if (own && describes(own, request)) return { card: amendCard(own, request, path) }
  const sidecar = await readSidecar(path)
  const size = request.preprocess === undefined ? undefined : parsePreprocess(request.preprocess, '--preprocess').size
  const square = sidecar?.input === undefined ? undefined : { width: sidecar.input, height: sidecar.input }
  // Only here does opening a model need the library: what just reads it does without.
  const { nodeRuntime } = await import('../runtime/node.ts')
  const facts = await probeModel(model, { runtime: nodeRuntime, session, file: path, size: size ?? square })
  return cardFor(facts, { ...request, classes: request.classes ?? own?.classes }, sidecar, path)
}

/** True unless the user says another decoder, or another number of classes: then the outputs are looked at anew. Default boxes are in no output. */
function describes(card: DetectorCard, { decoder, classes }: CardRequest): boolean {
  const sameDecoder = decoder === undefined || parseDecoder(decoder).name === card.decoder.type
  return sameDecoder && (classes === undefined || classes.length === card.classes.length || card.defaultBoxes !== undefined)
}

/** MODEL.json beside MODEL.onnx. */
async function readSidecar(path: string): Promise<Sidecar | undefined> {
  const file = path.replace(/\.onnx$/i, '.json')
  const store = nodeStore()
  return file !== path && (await store.stat(file)) ? parseSidecar(await store.readText(file), file) : undefined
}

/** What a plan says of the file that it belongs to. */
export async function fileIdentity(path: string): Promise<{ file: string; sha256: string }> {
  const hash = createHash('sha256')
  // In pieces: the model itself may be in memory already.
  for await (const piece of createReadStream(path)) hash.update(piece as Uint8Array)
  return { file: basename(path), sha256: hash.digest('hex') }
}
