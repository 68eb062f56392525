/** @file The file of an experiment: what it becomes, and how its faults are told. */
import { describe, expect, it } from 'vitest'
import { optionRules } from '../../src/cli/experiment-commands.ts'
import { parseSpec } from '../../src/experiment/spec.ts'

const good = `title: Cells
models:
  r18:
    arch: ssd300-resnet18
    train:
      epochs: 25
data:
  bccd: ../data/bccd
  few: { path: shapes, limit: 20 }
budgets:
  p70:
    remove-params: 0.7
methods:
  lcp:
  plain:
    method: lcp
    roi: plain
    reconstruction: false
seeds: [0, 1]
passes: 4800
prune:
  finetune-lr: 0.02
`

const parse = (text: string) => parseSpec(text, 'e.yaml', optionRules)
const without = (line: string): string => good.split('\n').filter((l) => l !== line).join('\n')

describe('the file of an experiment', () => {
  it('becomes options by name, with what is not said', () => {
    const spec = parse(good)
    expect(spec).toMatchObject({ title: 'Cells', seeds: [0, 1], passes: 4800, prune: { finetuneLr: 0.02 }, rows: ['unpruned', 'tuned', 'scratch'], reference: 'lcp', resamples: 1000 })
    expect(Object.fromEntries(spec.methods)).toEqual({ lcp: { method: 'lcp', options: {} }, plain: { method: 'lcp', options: { roi: 'plain', reconstruction: false } } })
    expect(Object.fromEntries(spec.data)).toEqual({ bccd: { path: '../data/bccd' }, few: { path: 'shapes', limit: 20 } })
    expect(spec.models.get('r18')).toMatchObject({ arch: 'ssd300-resnet18', train: { epochs: 25 } })
    expect(spec.budgets.get('p70')).toEqual({ removeParams: 0.7 })
    expect(parse(without('title: Cells')).title).toBe('e')
  })

  it.each([
    ['unknown key', good.replace('passes: 4800', 'passes: 4800\nmethds: {}'), 'e.yaml:21: "methds" is no key of an experiment here; known are title, models, data, budgets'],
    ['unknown key of a model', good.replace('    arch: ssd300-resnet18', '    arch: ssd300-resnet18\n    archs: x'), 'e.yaml:5: models.r18: "archs" is no key of an experiment here; known are arch, file, weights, train'],
    ['missing key', without('passes: 4800'), 'e.yaml:1: passes: is missing'],
    ['missing arch', good.replace('    arch: ssd300-resnet18\n', ''), 'e.yaml:3: models.r18: needs either "arch", a detector to train, or "file", a trained one'],
    ['a file that is to be trained', good.replace('arch: ssd300-resnet18', 'file: m.onnx'), 'e.yaml:3: models.r18: "weights" and "train" have no meaning beside "file"'],
    ['scratch of a file', `${good.replace('arch: ssd300-resnet18\n    train:\n      epochs: 25', 'file: m.onnx')}rows: [scratch]\n`, 'e.yaml:21: rows: the row "scratch" is trained as the unpruned detector was, and the model "r18" is given by its file'],
    ['unknown option', good.replace('roi: plain', 'rio: plain'), 'e.yaml:17: methods.plain.rio: is no option of "espalier prune"; "espalier help prune" lists them'],
    ['wrong value', good.replace('roi: plain', 'roi: odd'), 'e.yaml:17: methods.plain.roi: must be one of contextual, plain'],
    ['number out of range', good.replace('remove-params: 0.7', 'remove-params: 70'), 'e.yaml:12: budgets.p70.remove-params: must be a number above 0 and below 1, not 70'],
    ['flag that is no boolean', good.replace('reconstruction: false', 'reconstruction: 0'), 'e.yaml:18: methods.plain.reconstruction: must be of the kind boolean'],
    ['another spelling', good.replace('remove-params', 'removeParams'), 'e.yaml:12: budgets.p70.removeParams: is written as on the command line, with "-" between words; write "remove-params"'],
    ['option of the experiment', good.replace('finetune-lr: 0.02', 'finetune-epochs: 3'), 'e.yaml:22: prune.finetune-epochs: follows from "passes", the same for all'],
    ['method among shared options', good.replace('finetune-lr: 0.02', 'method: l1'), 'e.yaml:22: prune.method: is said by "methods"'],
    ['unknown method', good.replace('  lcp:\n', '  lcpp:\n'), 'e.yaml:14: methods.lcpp: as a method, must be one of lcp'],
    ['unknown architecture', good.replace('ssd300-resnet18', 'resnet'), 'e.yaml:4: models.r18.arch: must be one of ssd300-resnet50'],
    ['name of another row', good.replace('  plain:', '  scratch:'), 'e.yaml:15: methods.scratch: is the name of another row'],
    ['name with other characters', good.replace('  p70:', '  "p 70":'), 'e.yaml:11: budgets.p 70: a name is made of letters'],
    ['no seeds', good.replace('[0, 1]', '[]'), 'e.yaml:19: seeds: is empty; give at least one seed'],
    ['a seed twice', good.replace('[0, 1]', '[1, 1]'), 'e.yaml:19: seeds: has a seed twice'],
    ['a seed that is no number', good.replace('[0, 1]', '[0, x]'), 'e.yaml:19: seeds.1: must be a whole number from 0'],
    ['unknown reference', `${good}reference: l1\n`, 'e.yaml:23: reference: "l1" is none of the methods lcp, plain'],
    ['unknown row', `${good}rows: [unpruned, pruned]\n`, 'e.yaml:23: rows.1: must be among unpruned, tuned, scratch'],
    ['no YAML', good.replace('seeds: [0, 1]', 'seeds: [0, 1'), 'e.yaml:'],
    ['a key twice', good.replace('passes: 4800', 'passes: 4800\npasses: 4801'), 'e.yaml:21: is no YAML: Map keys must be unique'],
    ['a text alone', 'hello', 'e.yaml:1: must be of the kind'],
  ])('%s', (_, text, message) => {
    expect(() => parse(text)).toThrow(message)
  })
})
