import { describe, expect, it } from 'vitest'
import { rankViolations } from '../../scripts/import-ranks.ts'
import { relativeImports } from '../../scripts/source-files.ts'

const check = (path: string, text: string): string[] => rankViolations([{ path, text }])

describe('relativeImports', () => {
  it('finds every form of import, with its line, and no package', () => {
    const text = [
      "import { z } from 'zod'",
      "import './a.ts'",
      'import {',
      '  type X,',
      "} from '../ir/graph.ts'",
      "export * from './models/ssd.ts'",
      "export type { Y } from './y.ts'",
      "const lazy = () => import('./lazy.ts')",
      "let q: import('./query.ts').Q",
    ].join('\n')
    const found = relativeImports({ path: 'src/ops/x.ts', text }).map(({ to, line }) => `${line} ${to}`)
    expect(found).toEqual([
      '2 src/ops/a.ts',
      '5 src/ir/graph.ts',
      '6 src/ops/models/ssd.ts',
      '7 src/ops/y.ts',
      '8 src/ops/lazy.ts',
      '9 src/ops/query.ts',
    ])
  })

  it('ignores comments', () => {
    const text = "/**\n * import { x } from './x.ts'\n * as import('./y.ts') does\n */\n// import './z.ts'\n"
    expect(relativeImports({ path: 'src/ops/x.ts', text })).toEqual([])
  })
})

describe('rankViolations', () => {
  it('allows the own folder and lower ranks', () => {
    expect(check('src/pruning/criteria/l1.ts', "import { a } from '../plan.ts'\nimport { b } from '../../ir/graph.ts'")).toEqual([])
    expect(check('src/storage/node.ts', "import { UserError } from '../tensor/error.ts'")).toEqual([])
    expect(check('web/app.ts', "import { a } from '../src/report/report.ts'")).toEqual([])
  })

  it('names an import that goes up', () => {
    expect(check('src/ir/graph.ts', "\nimport { a } from '../ops/registry.ts'")).toEqual([
      'src/ir/graph.ts:2: ir (rank 1) imports src/ops/registry.ts (rank 2)',
    ])
  })

  it('refuses folders of equal rank, type imports and tensor on storage too', () => {
    expect(check('src/onnx/load.ts', "import type { A } from '../ops/define.ts'")).toHaveLength(1)
    expect(check('src/tensor/tensor.ts', "import { a } from '../storage/store.ts'")).toHaveLength(1)
  })

  it('keeps cli/ out of web/ and of the entry file, and knows every folder', () => {
    expect(check('web/app.ts', "import { a } from '../src/cli/main.ts'")).toHaveLength(1)
    expect(check('src/index.ts', "export * from './cli/main.ts'")).toHaveLength(1)
    expect(check('src/novel/x.ts', '')).toEqual(['src/novel/x.ts: its folder has no rank (scripts/import-ranks.ts)'])
    expect(check('src/cli/main.ts', "import '../../test/support/shared.ts'")).toHaveLength(1)
  })
})
