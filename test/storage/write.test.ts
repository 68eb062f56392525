/** @file Stores: what is written in chunks is read back whole, and what was read is the reader's own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/storage/memory.ts'
import { nodeStore } from '../../src/storage/node.ts'
import type { Store } from '../../src/storage/store.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-store-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** More chunks than a system call takes (1024), some of them empty, one of them large. */
const chunks = Array.from({ length: 3001 }, (_, i) => Uint8Array.from({ length: i === 1500 ? 300_000 : i % 7 }, (_, k) => (i * 31 + k) % 256))
const whole = Buffer.concat(chunks)

const stores: Record<string, Store> = { 'on disk': nodeStore(folder), 'in memory': memoryStore() }

for (const [kind, store] of Object.entries(stores)) {
  describe(`a store ${kind}`, () => {
    it('writes chunks one after the other', async () => {
      await store.writeAtomic('a/chunks', chunks)
      expect(Buffer.compare(await store.read('a/chunks'), whole)).toBe(0)
      expect(await store.list('a')).toEqual(['chunks'])
    })

    it('makes an empty file of no bytes', async () => {
      await store.writeAtomic('empty', [new Uint8Array(), new Uint8Array()])
      await store.writeAtomic('none', [])
      expect([await store.read('empty'), await store.read('none')].map((bytes) => bytes.length)).toEqual([0, 0])
    })

    it('gives memory that the reader may change', async () => {
      await store.writeAtomic('b', Buffer.from('abc'))
      for (const bytes of [await store.read('b'), await store.readRange('b', 0, 3)]) bytes.fill(0)
      expect(await store.readText('b')).toBe('abc')
    })
  })
}

it('a write that fails leaves the file as it was, and nothing beside it', async () => {
  const store = nodeStore(folder)
  await store.writeAtomic('c/kept', 'before')
  const broken = [Uint8Array.of(1), 'no bytes' as unknown as Uint8Array]
  await expect(store.writeAtomic('c/kept', broken)).rejects.toThrow()
  expect(readFileSync(join(folder, 'c/kept'), 'utf8')).toBe('before')
  expect(readdirSync(join(folder, 'c'))).toEqual(['kept'])
})
