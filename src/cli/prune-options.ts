/** @file Options of pruning, and what they become. */
import { type LcpOptions, lcpDefaults, sweepOf } from '../pruning/lcp/options.ts'
import type { FinetuneOptions } from '../pruning/prune.ts'
import { UserError } from '../tensor/error.ts'
import { choice, flag, number, optionalChoice, type OptionsOf, optionalNumber, text } from './fields.ts'
import { chooseOptimizer, type Follows, optimizerField, optimizerFor, rateField, rateFor, weightDecayField } from './optimizer-options.ts'
import { keepField } from './training-options.ts'

/** SGD's, in the training after the cut. */
const finetuneSgd = { lr: 0.02, clip: 10 } as const
const count = { whole: true, min: 1 } as const
const countOrNone = { whole: true, min: 0 } as const
const weight = { min: 0 } as const

export const finetuneFields = {
  finetuneEpochs: number('N', 'epochs of training after the cut', 8, countOrNone),
  finetuneOptimizer: optimizerField('its optimizer'),
  finetuneLr: rateField('its peak learning rate', finetuneSgd.lr),
  finetuneWeightDecay: weightDecayField('its weight decay'),
  finetuneKeep: keepField,
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
  boxes: number('N', 'lcp: default boxes an image that the auxiliary network looks at', lcpDefaults.aux.boxes, { whole: true, min: 2 }),
  select: choice(['one-shot', 'greedy'], 'lcp: one ranking, or rounds of --select-block channels with an update after each', lcpDefaults.select),
  selectBlock: number('N', 'lcp: channels a greedy round', lcpDefaults.block, count),
  epsilon: optionalNumber('X', 'lcp: greedy selection stops where the loss changes by this share or less; with no other budget, this alone decides how many channels stay', weight),
  stages: text('NAMES', 'lcp: values at the stage ends, input to output, with commas between (default: those of the detector card)'),
  sweep: optionalChoice(['layer', 'stage'], 'lcp: score and update layer by layer, or a stage at once (default: stage; layer where scores start from zero weights)'),
  start: choice(['trained', 'zero'], 'lcp: weights that one-shot scores start from', lcpDefaults.start),
  images: number('N', 'lcp: images that score the channels', lcpDefaults.images, count),
  stageEpochs: number('N', 'lcp: epochs of fine-tuning before a stage is pruned', lcpDefaults.stageEpochs, countOrNone),
  stageOptimizer: optimizerField('lcp: its optimizer'),
  stageLr: rateField('lcp: its learning rate', lcpDefaults.stageRate),
  updateEpochs: number('N', 'lcp: epochs of updating the kept weights', lcpDefaults.updateEpochs, countOrNone),
  updateLr: number('RATE', 'lcp: its learning rate', lcpDefaults.updateRate, { above: 0 }),
  updateClip: number('NORM', 'lcp: gradients while pruning are clipped to this joint norm', lcpDefaults.updateClip, { above: 0 }),
  reconstruction: flag('lcp: leave the reconstruction loss out of scores and update', true),
}

/** Throws UserError where parts of the method would have nothing to work with. */
export function lcpOf(options: OptionsOf<typeof lcpFields>, follows: Follows): LcpOptions {
  const { batch, alpha, beta, gamma, m, roi, boxes, select, selectBlock, epsilon, sweep, start, images, stageEpochs, updateEpochs, updateClip, reconstruction } = options
  const stageOptimizer = options.stageOptimizer ?? optimizerFor(follows)
  const lcp: LcpOptions = {
    aux: { ...lcpDefaults.aux, m, roi, boxes },
    alpha, beta, gamma, select, epsilon, sweep, start, images, batch, stageEpochs, updateEpochs, updateClip, reconstruction,
    block: selectBlock,
    stageEnds: stagesFrom(options.stages),
    stageRate: options.stageLr ?? rateFor(stageOptimizer, lcpDefaults.stageRate),
    stageOptimizer,
    updateRate: options.updateLr,
  }
  sweepOf(lcp)
  const fault = faultOf(lcp)
  if (fault !== undefined) throw new UserError(fault)
  return lcp
}

function stagesFrom(text: string | undefined): string[] | undefined {
  const names = text?.split(',').map((name) => name.trim())
  if (names?.includes('')) throw new UserError(`--stages "${text}" has an empty name; give names of values with commas between`)
  return names
}

/** What is wrong with the combination, in words. */
function faultOf({ images, batch, reconstruction, alpha, gamma, select, start, stageEpochs, updateEpochs }: LcpOptions): string | undefined {
  if (images < batch) return `--images ${images} is less than a batch of ${batch}; give more images or a smaller --batch`
  if (!reconstruction && alpha === 0) return '--no-reconstruction with --alpha 0 leaves no loss to score channels by; drop one of them'
  if (!reconstruction && gamma === 0 && (updateEpochs > 0 || select === 'greedy')) return '--no-reconstruction with --gamma 0 leaves no loss to update the kept weights by; drop one of them'
  if (stageEpochs > 0) return undefined
  if (alpha > 0) return '--stage-epochs 0 leaves the auxiliary network untrained, so its loss says nothing; give --alpha 0 or --stage-epochs 1'
  if (gamma !== 0 && (updateEpochs > 0 || select === 'greedy')) return '--stage-epochs 0 leaves the auxiliary network untrained, so kept weights cannot be updated by its loss; give --gamma 0 too, or --stage-epochs 1'
  if (start === 'trained' && select === 'one-shot') return '--alpha 0 with --stage-epochs 0 leaves the detector as it came, so the reconstruction loss has no gradient; give --start zero or --stage-epochs 1'
  return undefined
}

export function finetuneOf(options: OptionsOf<typeof finetuneFields> & { readonly batch: number }, follows: Follows): FinetuneOptions {
  const { finetuneOptimizer: optimizer, finetuneLr: lr, finetuneWeightDecay: weightDecay } = options
  return {
    epochs: options.finetuneEpochs,
    batch: options.finetuneBatch ?? options.batch,
    ...chooseOptimizer({ optimizer, lr, weightDecay }, follows, finetuneSgd),
    warmup: options.finetuneWarmup,
    totalPasses: options.totalPasses,
  }
}
