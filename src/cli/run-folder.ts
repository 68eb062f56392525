/** @file The folder of a run: the log as it goes; at the end the files, each whole, and run.json last. */
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import type { Runtime } from '../runtime/session.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Listener } from '../train/events.ts'
import { onInterrupt } from './interrupt.ts'
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
  /** Writes the files by name, then run.json; the last thing of the work. */
  finish(files: Readonly<Record<string, string | ((path: string) => Promise<void>)>>, record: object): Promise<void>
}

/** Refuses a folder that holds a finished run, unless forced; touches nothing yet. */
export async function openRunFolder(path: string, options: { readonly force: boolean; readonly command: string }): Promise<RunFolder> {
  await refuseTaken(path, options.force)
  const store = nodeStore()
  const waiting: string[] = []
  let started = false
  const log = (text: string): void => {
    const line = `${new Date().toISOString()} ${text.replaceAll('\n', '\n  ')}\n`
    if (started) appendFileSync(join(path, logName), line)
    else waiting.push(line)
  }
  log(options.command)
  return {
    path,
    log,
    listener: logListener(log),
    async during(work) {
      started = true
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, logName), waiting.join(''))
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
      await store.remove(join(path, recordName))
      for (const [name, content] of Object.entries(files)) {
        if (typeof content === 'string') await store.writeAtomic(join(path, name), content)
        else await content(join(path, name))
      }
      await store.writeAtomic(join(path, recordName), `${JSON.stringify(record, null, 2)}\n`)
    },
  }
}

async function refuseTaken(path: string, force: boolean): Promise<void> {
  const store = nodeStore()
  const there = await store.stat(path)
  if (there && !there.isDirectory) throw new UserError(`${path}: is a file, --out wants a folder; choose another name`)
  if (!force && (await store.stat(join(path, recordName)))) throw new UserError(`${path}: holds a run already; give --force to replace it, or choose another folder`)
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
export function versionsOf(runtime: Runtime): Record<string, string> {
  return { espalier: packageVersion(), node: process.versions.node, runtime: `${runtime.name} ${runtime.version}`, sharp: sharp.versions.sharp, libvips: sharp.versions.vips, platform: `${process.platform} ${process.arch}` }
}
