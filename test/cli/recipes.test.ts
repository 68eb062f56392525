/** @file The commands of docs/recipes.md: every option is known and fits the others; what each lacks is its files. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { cli, filesIn, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const text = readFileSync(fileURLToPath(new URL('../../docs/recipes.md', import.meta.url)), 'utf8')
const commands = text.split('\n').filter((line) => line.startsWith('espalier '))

it('there are commands for both data sets', () => {
  expect(commands.filter((line) => line.includes('data/voc')).length).toBeGreaterThan(3)
  expect(commands.filter((line) => line.includes('data/coco')).length).toBeGreaterThan(3)
})

it.each(commands)('%s', async (line) => {
  // Without a GPU the provider is refused first; files are looked for where there are none.
  const words = line.replace('$passes', '4096').split(' ').slice(1)
  const argv = words.flatMap((word, i) => (word === '--ep' || words[i - 1] === '--ep' ? [] : [/^(data|runs)\/|\.onnx$/.test(word) ? join(folder, word) : word]))
  const { code, out, err } = await cli(...argv)
  expect([code, out.startsWith('{')]).toEqual([2, false])
  expect(err).toMatch(/no such (file|folder)|is not complete/)
  expect(filesIn(join(folder, 'runs'))).toEqual([])
})
