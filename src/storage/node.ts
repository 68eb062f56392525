/** @file Store on the local file system. */
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { UserError } from '../tensor/error.ts'
import type { FileStat, Store } from './store.ts'

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
          const { bytesRead } = await file.read(out, 0, length, offset)
          if (bytesRead !== length) throw new UserError(`${path}: ends at byte ${offset + bytesRead}, ${length} bytes from ${offset} were wanted; the file is truncated`)
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
        throw error
      }
    },
    async stat(path): Promise<FileStat | undefined> {
      try {
        const s = await stat(at(path))
        return { size: s.size, isDirectory: s.isDirectory() }
      } catch (error) {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
        throw error
      }
    },
    async writeAtomic(path, data) {
      const target = at(path)
      await mkdir(dirname(target), { recursive: true })
      const temporary = `${target}.${process.pid}.tmp`
      try {
        await writeFile(temporary, data)
        await rename(temporary, target)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
    },
    async remove(path) {
      await rm(at(path), { force: true, recursive: true })
    },
  }
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') throw new UserError(`${path}: no such file; check the path`, { cause: error })
    if (code === 'EISDIR') throw new UserError(`${path}: is a folder, a file was wanted`, { cause: error })
    if (code === 'EACCES') throw new UserError(`${path}: may not be read; check its permissions`, { cause: error })
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined
}
