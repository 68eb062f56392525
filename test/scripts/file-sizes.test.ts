import { expect, it } from 'vitest'
import { fileSizes } from '../../scripts/file-sizes.ts'

const file = (path: string, lines: number): { path: string; text: string } => ({ path, text: 'x\n'.repeat(lines) })

it('passes 400 lines, warns above, fails above 600, and totals by folder', () => {
  const report = fileSizes([file('src/a.ts', 400), file('src/b.ts', 401), file('src/c.ts', 600), file('test/d.ts', 601)])
  expect(report.problems).toEqual(['test/d.ts: 601 lines, over 600: split it'])
  expect(report.warnings.map((text) => text.split(':')[0])).toEqual(['src/b.ts', 'src/c.ts'])
  expect(report.totals).toEqual({ src: 1401, test: 601 })
})
