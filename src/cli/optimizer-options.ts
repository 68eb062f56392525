/** @file Which optimizer trains, and how: whom training follows decides the optimizer, the optimizer decides the rest, where not given. */
import type { OptimizerOptions } from '../autodiff/optimizers.ts'
import { UserError } from '../tensor/error.ts'
import { type Field, optionalChoice, optionalNumber } from './fields.ts'

/** Whom training follows: the labels, by the detector's own loss; or a teacher's outputs. */
export type Follows = 'labels' | 'teacher'

type Name = OptimizerOptions['type']

/** What SGD does in a command where the user says nothing. */
export interface SgdDefaults {
  /** Peak learning rate. */
  readonly lr: number
  /** Joint norm that gradients are clipped to; undefined: not at all. */
  readonly clip?: number
}

const sgd = { momentum: 0.9, weightDecay: 5e-4 } as const
/** The same in all commands. */
const adam = { lr: 0.002, weightDecay: 0, clip: 10 } as const

/** Small detectors without BatchNormalization hardly move by SGD. */
export function optimizerFor(follows: Follows): Name {
  return follows === 'labels' ? 'sgd' : 'adam'
}

export function rateFor(name: Name, sgdRate: number): number {
  return name === 'sgd' ? sgdRate : adam.lr
}

const byName = (ofSgd: number | string, ofAdam: number): string => `(default: ${ofSgd} with sgd, ${ofAdam} with adam)`

export function optimizerField(about: string): Field<Name | undefined> {
  return optionalChoice(['sgd', 'adam'], `${about}; adam in steps relative to each weight's size (default: ${optimizerFor('labels')} where training follows labels, ${optimizerFor('teacher')} where it follows a teacher)`)
}

export function rateField(about: string, sgdRate: number): Field<number | undefined> {
  return optionalNumber('RATE', `${about} ${byName(sgdRate, adam.lr)}`, { above: 0 })
}

export function weightDecayField(about: string): Field<number | undefined> {
  return optionalNumber('D', `${about} ${byName(sgd.weightDecay, adam.weightDecay)}`, { min: 0 })
}

/** What train and finetune ask of an optimizer beside its rate. */
export function optimizerFields({ clip }: SgdDefaults) {
  return {
    momentum: optionalNumber('M', `momentum of SGD (default: ${sgd.momentum})`, { min: 0, below: 1 }),
    weightDecay: weightDecayField('weight decay'),
    clip: optionalNumber('NORM', `gradients are clipped to this joint norm ${byName(clip ?? 'not at all', adam.clip)}`, { above: 0 }),
  }
}

/** What the user said; undefined where the default holds. */
export interface OptimizerRequest {
  readonly optimizer?: Name
  readonly lr?: number
  readonly momentum?: number
  readonly weightDecay?: number
  readonly clip?: number
}

export interface OptimizerChoice {
  /** Peak learning rate. */
  readonly rate: number
  readonly optimizer: OptimizerOptions
}

/** Throws UserError for a momentum with Adam. */
export function chooseOptimizer({ optimizer, lr, momentum, weightDecay, clip }: OptimizerRequest, follows: Follows, defaults: SgdDefaults): OptimizerChoice {
  const type = optimizer ?? optimizerFor(follows)
  const rate = lr ?? rateFor(type, defaults.lr)
  if (type === 'sgd') return { rate, optimizer: { type, momentum: momentum ?? sgd.momentum, weightDecay: weightDecay ?? sgd.weightDecay, clipNorm: clip ?? defaults.clip } }
  if (momentum !== undefined) throw new UserError('--momentum has no meaning with adam, which averages gradients its own way; leave it out, or give --optimizer sgd')
  return { rate, optimizer: { type, relative: true, weightDecay: weightDecay ?? adam.weightDecay, clipNorm: clip ?? adam.clip } }
}
