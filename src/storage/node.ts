/** @file Store on the local file system. */
import { constants } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { UserError } from '../tensor/error.ts'
import type { FileStat, Store } from './store.ts'

/** Bytes that one call reads or writes: systems take no more than 2 GiB at a time. */
const atOnce = 2 ** 30

/** A store rooted at `root` (default: the working directory); absolute paths are taken as they are. */
export function nodeStore(root = '.'): Store {
  const at = (path: string): string => resolve(root, path)
  return {
    async read(path) {
      return reading(path, () => readFile(at(path)))
    },
    async readRange(path, offset, length) {
      return reading(path, async () => {
        const file = await open(at(path), 'r')
        try {
          const out = new Uint8Array(length)
          for (let at = 0; at < length; ) {
            const { bytesRead } = await file.read(out, at, Math.min(length - at, atOnce), offset + at)
            if (bytesRead === 0) throw new UserError(`${path}: ends at byte ${offset + at}, ${length} bytes from ${offset} were wanted; the file is truncated`)
            at += bytesRead
          }
          return out
        } finally {
          await file.close()
        }
      })
    },
    async readText(path) {
      return reading(path, () => readFile(at(path), 'utf8'))
    },
    async list(path) {
      try {
        return (await readdir(at(path))).sort()
      } catch (error) {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return []
        throw readError(path, error)
      }
    },
    async stat(path): Promise<FileStat | undefined> {
      try {
        const s = await stat(at(path))
        return { size: s.size, isDirectory: s.isDirectory() }
      } catch (error) {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
        throw readError(path, error)
      }
    },
    async writeAtomic(path, data) {
      const target = at(path)
      await makeFolder(dirname(target))
      const temporary = `${target}.${process.pid}.tmp`
      try {
        await writeWhole(temporary, data)
        await rename(temporary, target)
      } catch (error) {
        await rm(temporary, { force: true })
        throw writeError(path, error)
      }
    },
    async remove(path) {
      await rm(at(path), { force: true, recursive: true })
    },
  }
}

async function writeWhole(path: string, data: Uint8Array | string | readonly Uint8Array[]): Promise<void> {
  if (typeof data === 'string' || data instanceof Uint8Array) return writeFile(path, data)
  const file = await open(path, 'w')
  try {
    for (const pieces of inTurns(data)) {
      for (let rest = pieces; rest.length > 0; ) rest = after(rest, (await file.writev(rest)).bytesWritten)
    }
  } finally {
    await file.close()
  }
}

/** The chunks in groups that one call writes: a call for each would cost more than the disk does, since most of a model's are a few bytes long. */
function inTurns(chunks: readonly Uint8Array[]): Uint8Array[][] {
  const turns: Uint8Array[][] = []
  let room = 0
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (room === 0) {
        turns.push([])
        room = atOnce
      }
      const piece = chunk.subarray(at, at + room)
      turns.at(-1)!.push(piece)
      room -= piece.length
      at += piece.length
    }
  }
  return turns
}

/** What is left of the pieces when `written` bytes of them are on the disk. */
function after(pieces: readonly Uint8Array[], written: number): Uint8Array[] {
  let i = 0
  for (; i < pieces.length && pieces[i]!.length <= written; i++) written -= pieces[i]!.length
  return i === pieces.length ? [] : [pieces[i]!.subarray(written), ...pieces.slice(i + 1)]
}

/**
 * Makes a folder with those above it; gives the ones that it made. Throws UserError unless files can be written there.
 * One by one: Node's own recursive mkdir never returns on file systems that refuse folders.
 */
export async function makeFolder(path: string): Promise<string[]> {
  const missing: string[] = []
  let place = resolve(path)
  for (; !(await isThere(place, path)); place = dirname(place)) missing.unshift(place)
  const made: string[] = []
  try {
    if (!(await stat(place)).isDirectory()) throw new UserError(`${path}: cannot be written to, for ${place} is a file, not a folder; choose another place`)
    await access(place, constants.W_OK | constants.X_OK)
    for (const folder of missing) {
      await mkdir(folder).catch(async (error: unknown) => {
        // Another process may have been faster.
        if (codeOf(error) !== 'EEXIST' || !(await stat(folder)).isDirectory()) throw error
      })
      made.push(folder)
    }
  } catch (error) {
    await removeFolders(made)
    throw writeError(path, error)
  }
  return made
}

/** Throws UserError unless files can be written into the folder `path`, which need not be there. Leaves everything as it is. */
export async function assertWritable(path: string): Promise<void> {
  await removeFolders(await makeFolder(path))
}

async function removeFolders(made: readonly string[]): Promise<void> {
  // One that is in use by now stays.
  for (const folder of [...made].reverse()) await rmdir(folder).catch(() => {})
}

async function isThere(place: string, path: string): Promise<boolean> {
  try {
    await stat(place)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false
    throw writeError(path, error)
  }
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw readError(path, error)
  }
}

const readFaults: Readonly<Record<string, string>> = {
  ENOENT: 'no such file; check the path',
  ENOTDIR: 'no such file; check the path',
  EISDIR: 'is a folder, a file was wanted',
  EACCES: 'may not be read; check its permissions',
  EPERM: 'may not be read; check its permissions',
  ENAMETOOLONG: 'is too long a name; check the path',
  ERR_FS_FILE_TOO_LARGE: 'is larger than 2 GiB, more than is read in one piece; keep the weights of such a model in a file of external data',
}

const writeFaults: Readonly<Record<string, string>> = {
  ENOENT: 'no folder can be made there; choose another place',
  ENOTDIR: 'a part of the path is a file, not a folder; choose another place',
  EEXIST: 'a part of the path is a file, not a folder; choose another place',
  EISDIR: 'is a folder, a file was to be written; choose another place',
  EACCES: 'may not be written; check the permissions of its folder',
  EPERM: 'may not be written; check the permissions of its folder',
  EROFS: 'lies on a file system that cannot be written to; choose another place',
  ENOSPC: 'the disk is full; free some space and run again',
  EDQUOT: 'the disk quota is used up; free some space and run again',
  ENAMETOOLONG: 'is too long a name; choose a shorter one',
}

function readError(path: string, error: unknown): unknown {
  return namedError(path, error, readFaults)
}

/** What a failed write means to the user: a UserError where it can be mended, else the error itself. */
export function writeError(path: string, error: unknown): unknown {
  return namedError(path, error, writeFaults)
}

function namedError(path: string, error: unknown, faults: Readonly<Record<string, string>>): unknown {
  const fault = faults[codeOf(error) ?? '']
  return fault === undefined ? error : new UserError(`${path}: ${fault}`, { cause: error })
}

function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined
}
