/** @file Times that were measured on this machine, kept in the user's cache folder. */
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import type { TimesCache } from './layer-times.ts'

/** What times depend on beside the layer. */
export interface TimedOn {
  readonly cpu: string
  readonly provider: string
  readonly threads: number
  readonly runtime: string
}

const fileSchema = z.strictObject({
  version: z.literal(1),
  on: z.strictObject({ cpu: z.string(), provider: z.string(), threads: z.int(), runtime: z.string() }),
  /** Milliseconds by key. */
  times: z.record(z.string(), z.number().nonnegative()),
})

/** New times in memory before they are written. */
const writeEvery = 50

export interface FileTimesCache extends TimesCache {
  readonly file: string
  /** Writes what is new. */
  save(): Promise<void>
}

export interface TimesCacheOptions {
  /** Default: $XDG_CACHE_HOME/espalier, else ~/.cache/espalier. */
  readonly folder?: string
  /** Known times are not read: all are measured anew, and replace the old ones. */
  readonly anew?: boolean
  /** Hears why a file is not used. */
  readonly note: (text: string) => void
}

/** The user's cache folder; an empty variable counts as none, as the XDG specification has it. */
export function cacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'espalier')
}

/** The times taken on this combination of processor, provider, threads and runtime: a file of their own. A damaged file counts as none, and is told of. */
export async function openTimesCache(on: TimedOn, { folder = cacheFolder(), anew = false, note }: TimesCacheOptions): Promise<FileTimesCache> {
  const id = createHash('sha256').update(JSON.stringify([on.cpu, on.provider, on.threads, on.runtime])).digest('hex').slice(0, 16)
  const file = join(folder, `latency-${id}.json`)
  const times = anew ? new Map<string, number>() : await readTimes(file, note)
  const fresh = new Map<string, number>()
  let failed = false
  const save = async (): Promise<void> => {
    if (fresh.size === 0 || failed) return
    // Another process may have written meanwhile.
    const merged = { ...Object.fromEntries(await readTimes(file, () => {})), ...Object.fromEntries(fresh) }
    try {
      await nodeStore().writeAtomic(file, `${JSON.stringify({ version: 1, on, times: merged })}\n`)
      fresh.clear()
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      failed = true
      note(`times are not kept: ${error.message}`)
    }
  }
  return {
    file,
    save,
    get: (key) => times.get(key),
    async set(key, ms) {
      times.set(key, ms)
      fresh.set(key, ms)
      if (fresh.size % writeEvery === 0) await save()
    },
  }
}

async function readTimes(file: string, note: (text: string) => void): Promise<Map<string, number>> {
  const store = nodeStore()
  try {
    if (!(await store.stat(file))) return new Map()
    return new Map(Object.entries(fileSchema.parse(JSON.parse(await store.readText(file))).times))
  } catch (error) {
    const why = error instanceof z.ZodError ? (error.issues[0]?.message ?? 'wrong form') : error instanceof Error ? error.message : String(error)
    note(`${file}: is damaged and not used (${why}); layers are timed anew`)
    return new Map()
  }
}
