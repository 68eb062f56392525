import { describe, expect, it } from 'vitest'
import { opNameComparisons } from '../../scripts/op-names.ts'

const check = (text: string, path = 'src/passes/x.ts'): string[] => opNameComparisons([{ path, text }])

describe('opNameComparisons', () => {
  it.each([
    "if (node.opType === 'Conv') return",
    "if (node.opType !== `Conv`) return",
    'return "Gemm" == type',
    "switch (type) {\n  case 'BatchNormalization':\n}",
    "if (['Conv', 'Gemm'].includes(node.opType)) return",
    "const weighted = new Set(['Conv', 'MatMul'])",
    "const weighted = new Set<string>([\n  'Conv',\n])",
    "const rules = new Map([['Relu', relu]])",
    "if (fusable.has('Conv')) return",
    'const rules = { Conv: conv, Gemm: gemm }',
    "const rules = {\n  'Relu': relu,\n}",
  ])('refuses %s', (text) => {
    expect(check(text)).not.toEqual([])
  })

  it.each([
    "const y = b.node('Add', [x, y])",
    "if (mode === 'train') return",
    "// the case 'Conv': see ops/\n/* opType === 'Conv' */",
    'interface Range { min: number; max: number }',
  ])('lets %s pass', (text) => {
    expect(check(text)).toEqual([])
  })

  it('gives the place, and leaves ops/ and detection/ alone', () => {
    const text = "\n\nif (node.opType === 'Conv') return"
    expect(check(text)).toEqual(["src/passes/x.ts:3: === 'Conv' (ask the op's entry in ops/)"])
    expect(check(text, 'src/ops/conv.ts')).toEqual([])
    expect(check(text, 'src/detection/models/ssd.ts')).toEqual([])
    for (const folder of ['autodiff', 'pruning', 'train', 'onnx']) expect(check(text, `src/${folder}/x.ts`)).toHaveLength(1)
  })
})
