/** @file Latencies, and those that an experiment measured: of one run of each method, for seeds change no shape. */
import { z } from 'zod'
import type { Store } from '../storage/store.ts'
import { UserError } from '../tensor/error.ts'

/** Median milliseconds of a run of one image. */
export interface Latency {
  readonly beforeMs?: number
  readonly afterMs: number
}

const fileName = 'latency.json'
const schema = z.looseObject({ models: z.record(z.string(), z.looseObject({ medianMs: z.number(), file: z.string().optional() })) })

/** Latency of a run by its path and that of the model it started from; undefined where the experiment did not measure that run. */
export type LatencyOfRun = (path: string, model: string | null | undefined) => Latency | undefined

/** What `folder` has of it. Throws UserError where its latency.json is broken. */
export async function experimentLatency(store: Store, folder: string): Promise<LatencyOfRun> {
  const file = `${folder}/${fileName}`
  if (!(await store.stat(file))) return () => undefined
  const { models } = parse(await store.readText(file), file)
  return (path, model) => {
    const after = models[path.slice(folder.length + 1)]
    if (!after) return undefined
    const before = Object.entries(models).find(([name, { file: own }]) => model?.endsWith(`${name}/${own ?? 'model.onnx'}`))
    return { afterMs: after.medianMs, ...(before && { beforeMs: before[1].medianMs }) }
  }
}

function parse(text: string, file: string): z.infer<typeof schema> {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new UserError(`${file}: is not the latencies of an experiment; remove it, and run the experiment again to measure them`, { cause })
  }
}
