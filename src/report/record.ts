/** @file A run as its folder has it: run.json, and the log where there is one. */
import { z } from 'zod'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'
import { experimentLatency, type Latency, type LatencyOfRun } from './latency.ts'

/** JSON has no NaN and no infinity: they come as null. */
const value = z.number().nullable()
const kinds = z.record(z.string(), value)

const stateSchema = z.looseObject({
  params: value.optional(),
  macs: value.optional(),
  images: z.number().optional(),
  AP: value.optional(),
  AP50: value.optional(),
  AP75: value.optional(),
  APs: value.optional(),
  APm: value.optional(),
  APl: value.optional(),
  perClass: z.record(z.string(), z.looseObject({ AP: value, AP50: value })).optional(),
  errorTypes: z.looseObject({ AP50: value, dAP: kinds, falsePositive: value, falseNegative: value, count: kinds }).optional(),
})

const certificateSchema = z.looseObject({
  ok: z.boolean(),
  maxRelError: value,
  tolerance: z.number().optional(),
  inputs: z.number(),
  images: z.number().optional(),
  sameWeights: z.boolean().optional(),
  outputs: z.array(z.looseObject({ name: z.string(), maxDifference: value, maxReference: value, relative: value })),
})

const layerSchema = z.looseObject({ weight: z.string(), group: z.string(), gradientReconstruction: value, gradientLocalization: value })

const recordSchema = stateSchema.extend({
  method: z.string(),
  options: z.record(z.string(), z.unknown()),
  versions: z.record(z.string(), z.string()),
  model: z.string().nullish(),
  arch: z.string().nullish(),
  data: z.string().nullish(),
  split: z.string().optional(),
  labels: z.string().optional(),
  seed: z.union([z.number(), z.string()]).optional(),
  before: stateSchema.optional(),
  cut: stateSchema.optional(),
  after: stateSchema.optional(),
  epochs: z.array(z.looseObject({ epoch: z.number(), classification: value, localization: value, AP: value.optional() })).optional(),
  bestEpoch: z.number().optional(),
  passes: z.union([z.number(), z.record(z.string(), z.number())]).optional(),
  seconds: z.number().optional(),
  peakMB: z.number().optional(),
  widths: z.record(z.string(), z.looseObject({ before: z.number(), after: z.number() })).optional(),
  stages: z.array(z.looseObject({ end: z.string(), layers: z.array(layerSchema) })).optional(),
  certificate: certificateSchema.optional(),
  latency: z.looseObject({ measured: z.looseObject({ beforeMs: z.number(), afterMs: z.number() }) }).optional(),
  bench: z.looseObject({ models: z.array(z.looseObject({ medianMs: z.number() })) }).optional(),
})

export type RunState = z.infer<typeof stateSchema>
export type RunRecord = z.infer<typeof recordSchema>

export interface ReportRun {
  /** Names the run on the page: its folder. */
  readonly name: string
  readonly path: string
  readonly record: RunRecord
  /** Text of log.txt. */
  readonly log?: string
  /** Medians, where they were measured for the report, or by the experiment. */
  readonly latency?: Latency
}

const recordName = 'run.json'
/** An experiment's runs lie this many folders deep at most. */
const deepest = 4

/**
 * The runs of the folders: of a folder without run.json, all below it, in the order of their names. Throws UserError where a folder is
 * missing, holds no run, or holds one that cannot be read.
 */
export async function readRuns(store: Store, folders: readonly string[]): Promise<ReportRun[]> {
  const found: { path: string; name: string; latency: LatencyOfRun }[] = []
  for (const folder of folders) {
    const root = folder.length > 1 ? folder.replace(/\/+$/, '') : folder
    const stat = await store.stat(root)
    if (!stat) throw new UserError(`${folder}: no such folder; name the folder of a run (with its ${recordName}), or one of several runs`)
    if (!stat.isDirectory) throw new UserError(`${folder}: is a file; name the folder of a run, which holds its ${recordName}`)
    const below = await foldersWithRun(store, root, deepest)
    if (below.length === 0) throw new UserError(`${folder}: holds no ${recordName}, nor does a folder in it: it is no run, or one that did not end; name the folder that train, finetune, prune or demo wrote`)
    const latency = await experimentLatency(store, root)
    for (const path of below) found.push({ path, name: path === root ? nameOf(root) : path.slice(root.length + 1), latency })
  }
  const distinct = [...new Map(found.map((f) => [f.path, f])).values()]
  const repeated = (name: string): boolean => distinct.filter((f) => f.name === name).length > 1
  return Promise.all(distinct.map(({ path, name, latency }) => readRun(store, path, repeated(name) ? path : name, latency)))
}

async function readRun(store: Store, path: string, name: string, latencyAt: LatencyOfRun): Promise<ReportRun> {
  const file = `${path}/${recordName}`
  const text = await store.readText(file)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${file}: is no JSON (${cause instanceof Error ? cause.message : String(cause)}); run again what wrote it`, { cause })
  }
  const parsed = recordSchema.safeParse(json)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new UserError(`${file}: is not the record of a run: ${issue!.path.join('.') || 'the file'}: ${issue!.message}; name the folder of a run of train, finetune, prune or demo, or run it again`)
  }
  const log = `${path}/log.txt`
  const latency = latencyAt(path, parsed.data.model)
  return { name, path, record: parsed.data, ...(latency && { latency }), ...((await store.stat(log)) && { log: await store.readText(log) }) }
}

async function foldersWithRun(store: Store, folder: string, depth: number): Promise<string[]> {
  if (await store.stat(`${folder}/${recordName}`)) return [folder]
  if (depth === 0) return []
  const found: string[] = []
  for (const name of await store.list(folder)) {
    const path = `${folder}/${name}`
    if (!name.startsWith('.') && (await store.stat(path))?.isDirectory) found.push(...(await foldersWithRun(store, path, depth - 1)))
  }
  return found
}

/** The last folder of a path; "." and ".." stand for themselves. */
function nameOf(path: string): string {
  return path.split('/').at(-1) || path
}

/** The detector at the end of a run, and as it came: a training has no "before". */
export function afterOf({ record }: ReportRun): RunState {
  return record.after ?? record
}

/** Medians that were measured for the report, by the experiment, or by the run. */
export function latencyOf({ latency: own, record: { latency, bench } }: ReportRun): Latency | undefined {
  if (own) return own
  if (latency) return latency.measured
  const [before, after] = bench?.models ?? []
  return before && after && { beforeMs: before.medianMs, afterMs: after.medianMs }
}

/** A number that was measured: COCO's -1 stands for nothing to measure with, null for what is not finite. */
export function measured(number: number | null | undefined): number | undefined {
  return number === null || number === undefined || number === -1 ? undefined : number
}
