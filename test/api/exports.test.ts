/** @file The package's exports follow the folders: every subpath has its index, and the whole library is one import. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import * as espalier from '../../src/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { exports } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { exports: Record<string, { default: string } | string> }

describe('exports', () => {
  it('has a source file behind every subpath', () => {
    const folders = Object.entries(exports).flatMap(([key, target]) => (typeof target === 'string' || key.includes('*') ? [] : [target.default]))
    expect(folders.length).toBeGreaterThan(12)
    for (const file of folders) expect(existsSync(`${root}/${file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')}`), file).toBe(true)
  })

  it('names each folder as a namespace, none of them empty', () => {
    const subpaths = Object.keys(exports).filter((key) => /^\.\/\w+$/.test(key)).map((key) => key.slice(2)).sort()
    expect(Object.keys(espalier).sort()).toEqual(subpaths)
    for (const [name, namespace] of Object.entries(espalier)) expect(Object.keys(namespace).length, name).toBeGreaterThan(0)
  })
})
