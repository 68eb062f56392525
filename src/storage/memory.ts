/** @file Store in memory: for tests and browsers. */
import { UserError } from '../tensor/error.ts'
import type { Store } from './store.ts'

export function memoryStore(files: Record<string, Uint8Array | string> = {}): Store {
  const entries = new Map<string, Uint8Array>()
  const encode = (data: Uint8Array | string): Uint8Array => (typeof data === 'string' ? new TextEncoder().encode(data) : data)
  for (const [path, data] of Object.entries(files)) entries.set(normal(path), encode(data))
  const read = (path: string): Uint8Array => {
    const data = entries.get(normal(path))
    if (!data) throw new UserError(`${path}: no such file; check the path`)
    return data
  }
  const under = (path: string): string[] => {
    const prefix = normal(path) === '' ? '' : `${normal(path)}/`
    return [...entries.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
  }
  return {
    // Not slice(): Node's Buffer overrides it with one that does not copy.
    read: async (path) => new Uint8Array(read(path)),
    readRange: async (path, offset, length) => {
      const data = read(path)
      if (offset + length > data.length) throw new UserError(`${path}: ends at byte ${data.length}; the file is truncated`)
      return new Uint8Array(data.subarray(offset, offset + length))
    },
    readText: async (path) => new TextDecoder().decode(read(path)),
    list: async (path) => [...new Set(under(path).map((rest) => rest.split('/')[0]!))].sort(),
    stat: async (path) => {
      const data = entries.get(normal(path))
      if (data) return { size: data.length, isDirectory: false }
      return under(path).length ? { size: 0, isDirectory: true } : undefined
    },
    writeAtomic: async (path, data) => void entries.set(normal(path), isChunks(data) ? joined(data) : encode(data)),
    remove: async (path) => {
      for (const key of [...entries.keys()]) if (key === normal(path) || key.startsWith(`${normal(path)}/`)) entries.delete(key)
    },
  }
}

function isChunks(data: Uint8Array | string | readonly Uint8Array[]): data is readonly Uint8Array[] {
  return Array.isArray(data)
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, c) => sum + c.length, 0))
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

function normal(path: string): string {
  return path.split('/').filter((part) => part !== '' && part !== '.').join('/')
}
