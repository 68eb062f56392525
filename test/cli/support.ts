/** @file Runs the command line in this process, with captured streams, in a temporary folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { main } from '../../src/cli/program.ts'
import { encodeImage } from '../../src/data/image-node.ts'
import { shapesDataset } from '../../src/data/shapes.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import type { Model } from '../../src/ir/graph.ts'
import { serializeModel } from '../../src/onnx/save.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { Net } from '../pruning/nets.ts'

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

export async function cli(...argv: string[]): Promise<Outcome> {
  let out = ''
  let err = ''
  const code = await main(argv, { stdout: { write: (text) => void (out += text) }, stderr: { write: (text) => void (err += text) } })
  return { code, out, err }
}

/** Runs with --json: stdout must be exactly one JSON object. */
export async function cliJson(...argv: string[]): Promise<Json> {
  const { code, out, err } = await cli(...argv, '--json')
  if (code !== 0) throw new Error(`exit code ${code}: ${err}`)
  return JSON.parse(out) as Json
}

/** What --json prints; tests say what they expect of it. */
export type Json = { readonly [key: string]: unknown }

/** A folder that is gone after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-cli-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export const shapesClasses = shapesDataset({ seed: 0, split: 'val', count: 1 }).dataset.classes

/** ssd-small with random weights, in bytes. */
export function smallDetector(classes: readonly string[] = shapesClasses): Model {
  return buildDetector('ssd-small', { classes, seed: 1 })
}

/** Writes a file below `folder`, returns its path. */
export async function put(folder: string, name: string, content: string | Uint8Array): Promise<string> {
  await nodeStore(folder).writeAtomic(name, content)
  return join(folder, name)
}

/** A model that is no detector: three convolutions, of which two can be cut. */
export function bareModel(): Model {
  const n = new Net(1, [1, 3, 8, 8])
  return n.model(n.conv('head', n.act('Relu', n.conv('b', n.act('Relu', n.conv('a', n.x, 32)), 32)), 4, 1))
}

export function putModel(folder: string, name: string, model: Model): Promise<string> {
  return put(folder, name, serializeModel(model))
}

/** A drawing of the built-in data set as an encoded image. */
export async function drawing(index: number, format: 'jpeg' | 'png'): Promise<Uint8Array> {
  const shapes = shapesDataset({ seed: 3, split: 'test', count: index + 1 })
  return encodeImage(shapes.image(shapes.dataset.samples[index]!), format)
}

/** A YOLO folder with one box an image; images by split, or all in one. */
export async function yoloFolder(folder: string, classes: readonly string[], images: readonly Uint8Array[] | Readonly<Record<string, readonly Uint8Array[]>>): Promise<string> {
  await put(folder, 'classes.txt', `${classes.join('\n')}\n`)
  for (const [split, list] of Array.isArray(images) ? [['', images as Uint8Array[]] as const] : Object.entries(images)) {
    for (const [i, bytes] of list.entries()) {
      await put(folder, join('images', split, `${i}.jpg`), bytes)
      await put(folder, join('labels', split, `${i}.txt`), `${i % classes.length} 0.5 0.5 0.4 0.4\n`)
    }
  }
  return folder
}

/** The detector with the operator of one node of its trunk renamed. */
export function withOperator(opType: string, domain = ''): Model {
  const model = smallDetector()
  const node = model.graph.nodes.find((n) => n.name === 'layer1.0.out')!
  Object.assign(node, { opType, domain })
  return model
}

/** Names of a folder, sorted; [] where it is not there. */
export function filesIn(folder: string): string[] {
  return statSync(folder, { throwIfNoEntry: false }) ? readdirSync(folder).sort() : []
}

export function readJson(path: string): Json {
  return JSON.parse(readFileSync(path, 'utf8')) as Json
}
