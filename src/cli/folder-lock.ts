/** @file One process at a time in a folder: a file that says who is at work there. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { writeError } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { onInterrupt } from './interrupt.ts'

const lockName = 'lock.json'

interface Holder {
  readonly pid: number
  readonly host: string
  readonly since: string
}

/** Takes the folder, which must be there; returns what gives it back. What a killed process of this machine left is taken over. Throws UserError where another one is at work. */
export function lockFolder(folder: string): () => void {
  const path = join(folder, lockName)
  if (!take(path)) {
    const holder = holderOf(path)
    if (holder && (holder.host !== hostname() || isAlive(holder.pid))) {
      throw new UserError(`${folder}: another run of the experiment is at work there since ${holder.since} (process ${holder.pid} on ${holder.host}); wait for its end, or, if it is gone, delete ${path}`)
    }
    rmSync(path, { force: true })
    if (!take(path)) throw new UserError(`${folder}: another run of the experiment has just begun there; wait for its end`)
  }
  const release = (): void => rmSync(path, { force: true })
  const forget = onInterrupt(release)
  return () => {
    forget()
    release()
  }
}

/** False where the file is there already. */
function take(path: string): boolean {
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() }
  try {
    writeFileSync(path, `${JSON.stringify(holder)}\n`, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw writeError(path, error)
  }
}

/** Undefined where the file says nothing: it was not even written whole. */
function holderOf(path: string): Holder | undefined {
  try {
    const { pid, host, since } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder>
    return typeof pid === 'number' && typeof host === 'string' && typeof since === 'string' ? { pid, host, since } : undefined
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
