/** @file The data of an experiment: where it lies, how much there is to train on, and a checksum by which a resumed experiment knows it again. */
import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { everything } from '../data/files.ts'
import { defaultSplit } from '../data/open.ts'
import type { Dataset } from '../detection/annotation.ts'
import type { ExperimentSpec } from '../experiment/spec.ts'
import { UserError } from '../tensor/error.ts'
import type { Context } from './context.ts'
import { type Data, openData, shapesName } from './open-source.ts'

export interface ExperimentData {
  /** What --data of the commands is given. */
  readonly path: string
  /** To train on. */
  readonly images: number
  /** Of those images. */
  readonly classes: readonly string[]
  /** Of what the splits say: images by name and size, objects by class and box. Not of the pixels. */
  readonly sha256: string
}

/** "cells=data/bccd" for each of --data. Throws UserError for names that the file does not have. */
export function parsePlaces(given: readonly string[], spec: ExperimentSpec): ReadonlyMap<string, string> {
  return new Map(given.map((text) => {
    const [, name, path] = /^([^=]+)=(.+)$/.exec(text) ?? []
    if (name === undefined || path === undefined) throw new UserError(`--data ${text}: give NAME=DIR, a name of ${spec.file} and where that data lies, as in --data ${[...spec.data.keys()][0]!}=data/cells`)
    if (!spec.data.has(name)) throw new UserError(`--data ${text}: ${spec.file} has no data "${name}", but ${[...spec.data.keys()].map((key) => `"${key}"`).join(', ')}`)
    return [name, path]
  }))
}

/** A path of the experiment's file, which is relative to that file. */
export function besideFile(spec: ExperimentSpec, path: string): string {
  return resolve(path) === path ? path : join(dirname(spec.file), path)
}

/** Opens every data set once; what is wrong with their files is told by the runs. */
export async function openExperimentData(spec: ExperimentSpec, places: ReadonlyMap<string, string>, context: Context): Promise<Map<string, ExperimentData>> {
  const quiet: Context = { ...context, note: () => {} }
  const found = new Map<string, ExperimentData>()
  for (const [name, { path: own, limit }] of spec.data) {
    const path = places.get(name) ?? (own === shapesName ? own : besideFile(spec, own))
    try {
      found.set(name, { path, ...await factsOf(await openData({ data: path, limit }, quiet), spec) })
    } catch (error) {
      throw error instanceof UserError ? new UserError(`data "${name}" of ${spec.file}: ${error.message}, or give --data ${name}=DIR`, { cause: error }) : error
    }
  }
  return found
}

/** Of the splits that train, prune and finetune read. */
async function factsOf(data: Data, { split: measured, trainSplit }: ExperimentSpec): Promise<Omit<ExperimentData, 'path'>> {
  const train = trainSplit ?? (data.splits.includes('train') ? 'train' : everything)
  const hash = createHash('sha256')
  let images = 0
  let classes: readonly string[] = []
  for (const split of new Set([train, ...data.splits.filter((s) => s === 'val'), measured ?? defaultSplit(data.splits)])) {
    const { dataset } = await data.open(split)
    if (split === train) {
      images = dataset.samples.length
      classes = dataset.classes
    }
    hash.update(contentOf(dataset))
  }
  return { images, classes, sha256: hash.digest('hex') }
}

function contentOf({ split, classes, samples }: Dataset): string {
  return JSON.stringify([split, classes, samples.map(({ id, width, height, truth }) => [id, width, height, [...truth.boxes], [...truth.labels], [...truth.crowd], [...truth.difficult], [...truth.areas]])])
}
