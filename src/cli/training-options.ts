/** @file Options of commands that train, and what they become. */
import { type AugmentOptions, augmentPresets } from '../data/augment.ts'
import { choice, flag, number, required } from './fields.ts'
import { optimizerField, optimizerFields, rateField, type SgdDefaults } from './optimizer-options.ts'

export const outFields = {
  out: required('RUN', 'folder of the run: model, run.json and log.txt are written there'),
  force: flag('replace a run that is in the folder already'),
}

export const augmentField = {
  augment: choice(['light', 'ssd', 'none'], 'how training images are varied: light (flips, brightness), ssd (also expand, crop, colour), none', 'light'),
}

export const keepField = choice(['best', 'last'], 'the epoch whose weights are kept: best on split "val", or last, for which val is not looked at', 'best')

/** Options of plain training, with the defaults of the command. */
export function trainingFields(defaults: SgdDefaults & { readonly epochs: number; readonly warmup: number }) {
  return {
    epochs: number('N', 'passes over the training images', defaults.epochs, { whole: true, min: 1 }),
    batch: number('N', 'images a step', 8, { whole: true, min: 1 }),
    optimizer: optimizerField('how weights follow their gradients'),
    lr: rateField('peak learning rate; a cosine brings it down to 0', defaults.lr),
    warmup: number('N', 'steps of linear warm-up', defaults.warmup, { whole: true, min: 0 }),
    ...optimizerFields(defaults),
    ...augmentField,
    keep: keepField,
  }
}

export function augmentOf(options: { readonly augment: 'light' | 'ssd' | 'none' }): AugmentOptions {
  return augmentPresets[options.augment]
}
