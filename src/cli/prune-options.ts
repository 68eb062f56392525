/** @file Options of pruning, and what they become. */
import { type LcpOptions, lcpDefaults } from '../pruning/lcp/options.ts'
import type { BudgetRequest, FinetuneOptions } from '../pruning/prune.ts'
import { UserError } from '../tensor/error.ts'
import { choice, flag, number, type OptionsOf, optionalNumber } from './fields.ts'

const share = { above: 0, below: 1 } as const
const count = { whole: true, min: 1 } as const
const countOrNone = { whole: true, min: 0 } as const
const weight = { min: 0 } as const

export const budgetFields = {
  removeParams: optionalNumber('SHARE', 'share of the parameters to remove, between 0 and 1', share),
  removeMacs: optionalNumber('SHARE', 'share of the multiply-accumulates to remove, between 0 and 1', share),
  round: number('N', 'widths are multiples of this', 8, count),
  groups: choice(['inner', 'all'], 'inner: channels that one layer makes, as in the paper; all: residual streams too', 'inner'),
}

export const finetuneFields = {
  finetuneEpochs: number('N', 'epochs of training after the cut', 8, countOrNone),
  finetuneLr: number('RATE', 'its peak learning rate', 0.005, { above: 0 }),
  finetuneBatch: optionalNumber('N', 'its images a step (default: --batch)', count),
  finetuneWarmup: number('N', 'its steps of linear warm-up', 20, countOrNone),
  totalPasses: optionalNumber('N', 'forward-backward passes over images in all, those of pruning included; decides the epochs in place of --finetune-epochs', count),
}

/** Options of LCP; the defaults are pruning/lcp/options.ts's. */
export const lcpFields = {
  batch: number('N', 'images a step while pruning', lcpDefaults.batch, count),
  alpha: number('X', 'lcp: weight of the auxiliary loss beside the reconstruction loss in the scores', lcpDefaults.alpha, weight),
  beta: optionalNumber('X', 'lcp: weight of the auxiliary loss in stage fine-tuning (default: 1/m)', weight),
  gamma: optionalNumber('X', 'lcp: weight of the auxiliary loss in the update of kept weights (default: 1/m)', weight),
  m: number('X', 'lcp: weight of 1 - GIoU in the auxiliary loss; 0 leaves it out', lcpDefaults.aux.m, weight),
  roi: choice(['contextual', 'plain'], 'lcp: RoIAlign with or without the enclosing box', lcpDefaults.aux.roi),
  boxes: number('N', 'lcp: default boxes an image that the auxiliary network looks at', lcpDefaults.aux.boxes, count),
  select: choice(['one-shot', 'greedy'], 'lcp: one ranking, or rounds of --block channels with an update after each', lcpDefaults.select),
  block: number('N', 'lcp: channels a greedy round', lcpDefaults.block, count),
  epsilon: optionalNumber('X', 'lcp: greedy selection stops early where the loss changes by this share or less', weight),
  sweep: choice(['layer', 'stage'], 'lcp: score and update layer by layer, or a stage at once', lcpDefaults.sweep),
  start: choice(['trained', 'zero'], 'lcp: weights that one-shot scores start from', lcpDefaults.start),
  images: number('N', 'lcp: images that score the channels', lcpDefaults.images, count),
  stageEpochs: number('N', 'lcp: epochs of fine-tuning before a stage is pruned', lcpDefaults.stageEpochs, countOrNone),
  stageLr: number('RATE', 'lcp: its learning rate', lcpDefaults.stageRate, { above: 0 }),
  updateEpochs: number('N', 'lcp: epochs of updating the kept weights', lcpDefaults.updateEpochs, countOrNone),
  updateLr: number('RATE', 'lcp: its learning rate', lcpDefaults.updateRate, { above: 0 }),
  updateClip: number('NORM', 'lcp: gradients while pruning are clipped to this joint norm', lcpDefaults.updateClip, { above: 0 }),
  reconstruction: flag('lcp: leave the reconstruction loss out of scores and update', true),
}

export function budgetOf(options: OptionsOf<typeof budgetFields>): BudgetRequest {
  const { removeParams, removeMacs, round, groups } = options
  if ((removeParams === undefined) === (removeMacs === undefined)) {
    throw new UserError(removeParams === undefined ? 'no budget: give --remove-params or --remove-macs, for instance --remove-params 0.7' : '--remove-params and --remove-macs are both given; give one of them')
  }
  return { removeParams, removeMacs, round, groups }
}

export function lcpOf(options: OptionsOf<typeof lcpFields>): LcpOptions {
  const { batch, alpha, beta, gamma, m, roi, boxes, select, block, epsilon, sweep, start, images, stageEpochs, updateEpochs, updateClip, reconstruction } = options
  if (images < batch) throw new UserError(`--images ${images} is less than a batch of ${batch}; give more images or a smaller --batch`)
  if (!reconstruction && alpha === 0) throw new UserError('--no-reconstruction with --alpha 0 leaves no loss to score channels by; drop one of them')
  return {
    aux: { ...lcpDefaults.aux, m, roi, boxes },
    alpha, beta, gamma, select, block, epsilon, sweep, start, images, batch, stageEpochs, updateEpochs, updateClip, reconstruction,
    stageRate: options.stageLr,
    updateRate: options.updateLr,
  }
}

export function finetuneOf(options: OptionsOf<typeof finetuneFields> & { readonly batch: number }): FinetuneOptions {
  return { epochs: options.finetuneEpochs, batch: options.finetuneBatch ?? options.batch, rate: options.finetuneLr, warmup: options.finetuneWarmup, totalPasses: options.totalPasses }
}
