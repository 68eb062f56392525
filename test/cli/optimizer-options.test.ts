/** @file Which optimizer trains: what is not given follows whom training follows, and the optimizer. */
import { describe, expect, it } from 'vitest'
import { chooseOptimizer } from '../../src/cli/optimizer-options.ts'
import { finetuneFields, finetuneOf } from '../../src/cli/prune-options.ts'
import { parseOptions } from '../../src/cli/fields.ts'
import { cli } from './support.ts'

const sgd = { type: 'sgd', momentum: 0.9, weightDecay: 5e-4 }

describe('chooseOptimizer', () => {
  it('SGD with the command\'s rate for labels, Adam for a teacher', () => {
    expect(chooseOptimizer({}, 'labels', { lr: 0.01 })).toEqual({ rate: 0.01, optimizer: { ...sgd, clipNorm: undefined } })
    expect(chooseOptimizer({}, 'teacher', { lr: 0.01 })).toEqual({ rate: 0.002, optimizer: { type: 'adam', relative: true, weightDecay: 0, clipNorm: 10 } })
  })

  it('what is given holds, the rest follows the optimizer', () => {
    expect(chooseOptimizer({ optimizer: 'adam', weightDecay: 0.1, clip: 1 }, 'labels', { lr: 0.01 })).toEqual({ rate: 0.002, optimizer: { type: 'adam', relative: true, weightDecay: 0.1, clipNorm: 1 } })
    expect(chooseOptimizer({ optimizer: 'sgd', lr: 0.5, momentum: 0, weightDecay: 0 }, 'teacher', { lr: 0.01, clip: 3 })).toEqual({ rate: 0.5, optimizer: { type: 'sgd', momentum: 0, weightDecay: 0, clipNorm: 3 } })
  })
})

describe('training after a cut', () => {
  const finetune = (raw: Record<string, string>, follows: 'labels' | 'teacher') => finetuneOf({ ...parseOptions(finetuneFields, raw), batch: 8 }, follows)

  it('is that of the published runs where it follows labels', () => {
    expect(finetune({}, 'labels')).toEqual({ epochs: 8, batch: 8, rate: 0.02, warmup: 20, optimizer: { ...sgd, clipNorm: 10 }, totalPasses: undefined })
  })

  it('is Adam where it follows a teacher, as far as nothing else is asked for', () => {
    expect(finetune({}, 'teacher')).toMatchObject({ rate: 0.002, optimizer: { type: 'adam', relative: true, weightDecay: 0, clipNorm: 10 } })
    expect(finetune({ finetuneOptimizer: 'sgd' }, 'teacher')).toMatchObject({ rate: 0.02, optimizer: { ...sgd, clipNorm: 10 } })
    expect(finetune({ finetuneOptimizer: 'adam', finetuneLr: '0.01', finetuneWeightDecay: '0.2' }, 'labels')).toMatchObject({ rate: 0.01, optimizer: { type: 'adam', relative: true, weightDecay: 0.2 } })
  })
})

describe('train and finetune refuse', () => {
  it.each([['train', '--arch', 'ssd-small'], ['finetune', 'model.onnx']])('%s: a momentum with adam, and optimizers that are not there', async (...argv) => {
    const refused = async (...more: string[]) => {
      const { code, out, err } = await cli(...argv, '--data', 'shapes', '--out', 'never-written', ...more)
      expect({ code, out }).toEqual({ code: 2, out: '' })
      return err
    }
    expect(await refused('--optimizer', 'adam', '--momentum', '0.9')).toBe('espalier: --momentum has no meaning with adam, which averages gradients its own way; leave it out, or give --optimizer sgd\n')
    expect(await refused('--optimizer', 'lion')).toContain('--optimizer must be one of sgd, adam, not "lion"')
  })
})
