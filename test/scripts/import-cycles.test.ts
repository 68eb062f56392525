import { expect, it } from 'vitest'
import { importCycles } from '../../scripts/import-cycles.ts'

const file = (name: string, ...imports: string[]): { path: string; text: string } => ({
  path: `src/ir/${name}.ts`,
  text: imports.map((to) => `import { x } from './${to}.ts'`).join('\n'),
})

it('finds no cycle in a diamond', () => {
  expect(importCycles([file('a', 'b', 'c'), file('b', 'd'), file('c', 'd'), file('d')])).toEqual([])
})

it('names the files of a cycle, and of a file that imports itself', () => {
  expect(importCycles([file('a', 'b'), file('b', 'c'), file('c', 'b'), file('d', 'd')])).toEqual([
    'src/ir/b.ts -> src/ir/c.ts -> src/ir/b.ts',
    'src/ir/d.ts -> src/ir/d.ts',
  ])
})

it('counts type imports', () => {
  const back = { path: 'src/ir/b.ts', text: "import type { A } from './a.ts'" }
  expect(importCycles([file('a', 'b'), back])).toHaveLength(1)
})
