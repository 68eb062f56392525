/** @file Options of commands that train, and what they become. */
import { type AugmentOptions, augmentPresets } from '../data/augment.ts'
import type { OptimizerOptions } from '../autodiff/optimizers.ts'
import { choice, flag, number, optionalNumber, required } from './fields.ts'

export const outFields = {
  out: required('RUN', 'folder of the run: model, run.json and log.txt are written there'),
  force: flag('replace a run that is in the folder already'),
}

export const augmentField = {
  augment: choice(['light', 'ssd', 'none'], 'how training images are varied: light (flips, brightness), ssd (also expand, crop, colour), none', 'light'),
}

/** Options of plain training, with the defaults of the command. */
export function trainingFields(defaults: { readonly epochs: number; readonly lr: number; readonly warmup: number }) {
  return {
    epochs: number('N', 'passes over the training images', defaults.epochs, { whole: true, min: 1 }),
    batch: number('N', 'images a step', 8, { whole: true, min: 1 }),
    lr: number('RATE', 'peak learning rate; a cosine brings it down to 0', defaults.lr, { above: 0 }),
    warmup: number('N', 'steps of linear warm-up', defaults.warmup, { whole: true, min: 0 }),
    momentum: number('M', 'momentum of SGD', 0.9, { min: 0, below: 1 }),
    weightDecay: number('D', 'weight decay', 5e-4, { min: 0 }),
    clip: optionalNumber('NORM', 'gradients are clipped to this joint norm (default: not at all)', { above: 0 }),
    ...augmentField,
  }
}

export function augmentOf(options: { readonly augment: 'light' | 'ssd' | 'none' }): AugmentOptions {
  return augmentPresets[options.augment]
}

export function optimizerOf(options: { readonly momentum: number; readonly weightDecay: number; readonly clip?: number }): OptimizerOptions {
  return { type: 'sgd', momentum: options.momentum, weightDecay: options.weightDecay, clipNorm: options.clip }
}
