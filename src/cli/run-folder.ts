/** @file The folder of a run: the log as it goes; at the end the files, each whole, and run.json last. */
import { appendFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { runtimeOf } from '../runtime/node.ts'
import { assertWritable, makeFolder, nodeStore, writeError } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Listener } from '../train/events.ts'
import type { CommonOptions } from './command.ts'
import { onInterrupt } from './interrupt.ts'
import { peakMB } from './peak-memory.ts'
import { Phase } from './progress.ts'
import { packageVersion } from './version.ts'

const recordName = 'run.json'
const logName = 'log.txt'
/** Milliseconds between lines of one phase in the log. */
const logEvery = 10_000

export interface RunFolder {
  readonly path: string
  /** Lines for the log; kept in memory until the work starts. */
  log(text: string): void
  /** Writes phases, ends, notes, and steps now and then, to the log. */
  readonly listener: Listener
  /** The inputs are in order: makes the folder with its log, does the work, logs how it failed where it does. */
  during(work: () => Promise<void>): Promise<void>
  /** Writes the files by name, then run.json with the most memory that the process took; the last thing of the work. What a former run left under the other names of the folder's `files` goes. */
  finish(files: Readonly<Record<string, string | ((path: string) => Promise<void>)>>, record: object): Promise<void>
}

export interface RunFolderOptions {
  readonly force: boolean
  /** First line of the log. */
  readonly command: string
  /** Names that runs of this command write, beside run.json and the log. */
  readonly files: readonly string[]
}

/** Refuses a folder that cannot be written, or that holds another run or a file of one, unless forced; touches nothing yet. */
export async function openRunFolder(path: string, options: RunFolderOptions): Promise<RunFolder> {
  await refuseTaken(path, options)
  await assertWritable(path)
  const store = nodeStore()
  const waiting: string[] = []
  let started = false
  const log = (text: string): void => {
    const line = `${new Date().toISOString()} ${text.replaceAll('\n', '\n  ')}\n`
    if (started) append(join(path, logName), line)
    else waiting.push(line)
  }
  log(options.command)
  return {
    path,
    log,
    listener: logListener(log),
    async during(work) {
      await makeFolder(path)
      await store.writeAtomic(join(path, logName), waiting.join(''))
      started = true
      const forget = onInterrupt(() => {
        removeTemporaries(path)
        log('interrupted')
      })
      try {
        await work()
        log('done')
      } catch (error) {
        log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
        throw error
      } finally {
        forget()
      }
    },
    async finish(files, record) {
      // A folder with run.json is a finished run: with --force, the former one ends here.
      const stale = [recordName, ...options.files.filter((name) => files[name] === undefined)]
      for (const name of stale) await store.remove(join(path, name))
      for (const [name, content] of Object.entries(files)) {
        if (typeof content === 'string') await store.writeAtomic(join(path, name), content)
        else await content(join(path, name))
      }
      await store.writeAtomic(join(path, recordName), `${JSON.stringify({ ...record, peakMB: Math.round(peakMB()) }, null, 2)}\n`)
    },
  }
}

async function refuseTaken(path: string, { force, files }: RunFolderOptions): Promise<void> {
  const store = nodeStore()
  const there = await store.stat(path)
  if (there && !there.isDirectory) throw new UserError(`${path}: is a file, --out wants a folder; choose another name`)
  if (force) return
  if (await store.stat(join(path, recordName))) throw new UserError(`${path}: holds a run already; give --force to replace it, or choose another folder`)
  for (const name of files) {
    if (await store.stat(join(path, name))) throw new UserError(`${path}: holds a file ${name} already; give --force to replace it, or choose another folder`)
  }
}

function append(file: string, line: string): void {
  try {
    appendFileSync(file, line)
  } catch (error) {
    throw writeError(file, error)
  }
}

function logListener(log: (text: string) => void): Listener {
  let phase: Phase | undefined
  let last = 0
  return (event) => {
    if (event.type === 'phase') {
      phase = new Phase(event)
      last = performance.now()
      log(`${event.name}: ${event.total} ${event.unit}`)
    } else if (event.type === 'progress') {
      phase?.advance(event)
      if (!phase || performance.now() - last < logEvery) return
      last = performance.now()
      log(`${phase.name}: ${phase.describe()}`)
    } else if (event.type === 'end') log(phase ? `${phase.name}: ${event.summary}` : event.summary)
    else log(event.text)
  }
}

/** What an interrupted write left beside its target. */
function removeTemporaries(path: string): void {
  for (const name of readdirSync(path)) if (name.endsWith(`.${process.pid}.tmp`)) rmSync(join(path, name), { force: true })
}

/** Both hear every event. */
export function both(a: Listener, b: Listener): Listener {
  return (event) => {
    a(event)
    b(event)
  }
}

/** What a run was made with. */
export async function versionsOf({ ep }: Pick<CommonOptions, 'ep'>): Promise<Record<string, string>> {
  return { espalier: packageVersion(), node: process.versions.node, runtime: await runtimeOf(ep), sharp: sharp.versions.sharp, libvips: sharp.versions.vips, platform: `${process.platform} ${process.arch}` }
}
