/** @file The options of localization-aware channel pruning and of the methods that share its way; the defaults follow the paper where it is known. */
import { UserError } from '../../tensor/error.ts'
import { type AuxOptions, lcpAux } from '../../train/aux-task.ts'

/** How kept weights are updated: by SGD on L_re + gamma L_a; to the least-squares minimum of L_re; or first the one, from there the other. */
export const updateRules = ['sgd', 'least-squares', 'both'] as const

export const selections = ['one-shot', 'greedy', 'backward'] as const

export interface LcpOptions {
  /** Undefined: no auxiliary networks. Stages are tuned by the detector's own loss, and L_re alone judges: alpha and gamma are 0. */
  readonly aux: AuxOptions | undefined
  /** Weight of L_a beside L_re in the scores (DCP's lambda). */
  readonly alpha: number
  /** Whether L_re takes part in the scores and in the update. */
  readonly reconstruction: boolean
  /** Weight of L_a in stage fine-tuning; undefined: 1 / m. */
  readonly beta: number | undefined
  /** Weight of L_a in the update of the kept weights; undefined: 1 / m, and 1 after the last stage end, where L_c + L_r has no m to undo. */
  readonly gamma: number | undefined
  /**
   * One accumulation and the best K, or rounds of `block` channels with an update after each (DCP: block 1); or from all channels backward, on the detector as it came: without
   * stages, auxiliary networks and updates, by what each channel does to what the detector says once the kept weights make up for it (see curvature/elimination.ts).
   */
  readonly select: (typeof selections)[number]
  readonly block: number
  /** Greedy: stop early where |L_prev - L_now| / L_0 falls to this or below; undefined: never. */
  readonly epsilon: number | undefined
  /**
   * Score and update layer by layer, or all layers of a stage at once. Undefined: by stage for one-shot scores at trained weights; by layer where
   * weights start from zero, for a zeroed layer hides those below it from L_a and feeds constants to those above.
   */
  readonly sweep: 'layer' | 'stage' | undefined
  /** Names of the values at the stage ends, input to output; undefined: those of the detector's card. */
  readonly stageEnds: readonly string[] | undefined
  /** In place of names: how many, evenly spaced over the layers. */
  readonly stageCount?: number | undefined
  /** Weights of the layers when scores are taken (one-shot): the trained ones, or zero. Greedy always starts from zero. */
  readonly start: 'trained' | 'zero'
  /** Images whose gradients score the channels. */
  readonly images: number
  readonly batch: number
  /** Epochs of stage fine-tuning (L_f) before a stage is pruned, and their learning rate. */
  readonly stageEpochs: number
  readonly stageRate: number
  readonly stageOptimizer: 'sgd' | 'adam'
  readonly update: (typeof updateRules)[number]
  /** Epochs of updating the kept weights by SGD: over the training images (sweep by stage) or the selection images (sweep by layer). */
  readonly updateEpochs: number
  readonly updateRate: number
  /** Gradients of the update are clipped to this joint norm. */
  readonly updateClip: number
}

export const lcpDefaults: LcpOptions & { readonly aux: AuxOptions } = {
  aux: lcpAux,
  alpha: 1,
  reconstruction: true,
  beta: undefined,
  gamma: undefined,
  select: 'one-shot',
  block: 8,
  epsilon: undefined,
  sweep: undefined,
  stageEnds: undefined,
  start: 'trained',
  images: 96,
  batch: 8,
  // Chosen on the validation split of BCCD (SSD300-ResNet18): 2 epochs at 0.005 against 1 at 0.002.
  stageEpochs: 2,
  stageRate: 0.005,
  stageOptimizer: 'sgd',
  update: 'sgd',
  updateEpochs: 1,
  updateRate: 0.01,
  updateClip: 10,
}

/** The sweep that the options come to. Throws UserError for a sweep by stage from zero weights. */
export function sweepOf(options: LcpOptions): 'layer' | 'stage' {
  const fromZero = options.select === 'greedy' || options.start === 'zero'
  if (fromZero && options.sweep === 'stage') throw new UserError('greedy selection and scores from zero weights need a sweep by layer: a stage of zeroed layers passes no gradient on; leave --sweep out, or choose layer')
  return options.sweep ?? (fromZero ? 'layer' : 'stage')
}

/** 1 / m, or 1 where the box loss is left out. */
export function perM(aux: AuxOptions | undefined): number {
  return aux && aux.m > 0 ? 1 / aux.m : 1
}
