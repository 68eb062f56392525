/** @file Options of pruning, and what they become. */
import type { Criterion } from '../pruning/criteria/criterion.ts'
import { type LcpOptions, lcpDefaults, selections, sweepOf, updateRules } from '../pruning/lcp/options.ts'
import type { FinetuneOptions } from '../pruning/prune.ts'
import { UserError } from '../tensor/error.ts'
import { flag, flagName, number, optionalChoice, type OptionsOf, optionalNumber, text } from './fields.ts'
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

/** The methods that these options are for. */
const staged = 'lcp, dcp, reconstruction'

/** Options of the methods that prune stage by stage. Without a value here, a method has a default of its own (its criterion's, else pruning/lcp/options.ts's). */
export const lcpFields = {
  batch: number('N', 'images a step while pruning', lcpDefaults.batch, count),
  images: number('N', `${staged}, taylor, thinet, and --widths curvature with any method: images that score the channels`, lcpDefaults.images, count),
  alpha: optionalNumber('X', 'lcp, dcp: weight of the auxiliary loss beside the reconstruction loss in the scores (default: 1)', weight),
  beta: optionalNumber('X', 'lcp, dcp: weight of the auxiliary loss in stage fine-tuning (default: 1/m; dcp: 1)', weight),
  gamma: optionalNumber('X', 'lcp, dcp: weight of the auxiliary loss in the update of kept weights (default: 1/m; dcp: 1)', weight),
  m: optionalNumber('X', 'lcp, dcp: weight of 1 - GIoU in the auxiliary loss; 0 leaves it out (default: 50; dcp: 0)', weight),
  roi: optionalChoice(['contextual', 'plain', 'truth'], 'lcp, dcp: RoIAlign of matched default boxes with or without the enclosing box, or of the objects\' own boxes (default: contextual; dcp: truth)'),
  auxReduction: optionalChoice(['mean', 'sum'], 'lcp, dcp: the auxiliary loss as a mean over boxes, or as a sum over the boxes of an image (default: mean)'),
  boxes: optionalNumber('N', `lcp, dcp: boxes an image that the auxiliary network looks at (default: ${lcpDefaults.aux.boxes})`, { whole: true, min: 2 }),
  select: optionalChoice(selections, `${staged}: one ranking, or rounds of --select-block channels with an update after each (default: one-shot; dcp: greedy); or backward from all channels, without stages or training, by what the detector would say if the kept weights made up for each (lcp, reconstruction)`),
  selectBlock: optionalNumber('N', `${staged}: channels a greedy round (default: 8); 1 is DCP as published`, count),
  epsilon: optionalNumber('X', `${staged}: greedy selection stops where the loss changes by this share or less; with no other budget, this alone decides how many channels stay`, weight),
  stages: text('NAMES', `${staged}: values at the stage ends, input to output, with commas between (default: those of the detector card)`),
  stageCount: optionalNumber('N', `${staged}: in place of names, how many stage ends, evenly spaced over the layers`, count),
  sweep: optionalChoice(['layer', 'stage'], `${staged}: score and update layer by layer, or a stage at once (default: stage; layer where scores start from zero weights)`),
  start: optionalChoice(['trained', 'zero'], `${staged}: weights that one-shot scores start from (default: trained)`),
  stageEpochs: number('N', `${staged}: epochs of fine-tuning before a stage is pruned`, lcpDefaults.stageEpochs, countOrNone),
  stageOptimizer: optimizerField(`${staged}: its optimizer`),
  stageLr: rateField(`${staged}: its learning rate`, lcpDefaults.stageRate),
  update: optionalChoice(updateRules, `${staged}: kept weights go by SGD on the joint loss, to the least-squares minimum of the reconstruction loss, or first there and on by SGD (default: sgd)`),
  updateEpochs: optionalNumber('N', `${staged}: epochs of updating the kept weights by SGD (default: ${lcpDefaults.updateEpochs})`, countOrNone),
  updateLr: number('RATE', `${staged}: its learning rate`, lcpDefaults.updateRate, { above: 0 }),
  updateClip: number('NORM', `${staged}: gradients while pruning are clipped to this joint norm`, lcpDefaults.updateClip, { above: 0 }),
  reconstruction: flag('lcp, dcp: leave the reconstruction loss out of scores and update', true),
}

type LcpFields = OptionsOf<typeof lcpFields>

/** The options of a method; those that prune by one look at the model take no more than the images of it. Throws UserError where parts of the method would have nothing to work with. */
export function lcpOf(options: LcpFields, follows: Follows, criterion: Criterion): LcpOptions {
  const { batch, images, stageEpochs, updateClip, reconstruction, beta, epsilon, stageCount, sweep } = options
  if (images < batch && (criterion.needs === 'joint' || criterion.needs === 'loss')) throw new UserError(`--images ${images} is less than a batch of ${batch}; give more images or a smaller --batch`)
  if (criterion.needs !== 'joint') return { ...lcpDefaults, images, batch }
  const own: LcpOptions = { ...lcpDefaults, ...criterion.defaults }
  const stageOptimizer = options.stageOptimizer ?? optimizerFor(follows)
  const { alpha = own.alpha, gamma = own.gamma, select = own.select, selectBlock: block = own.block, start = own.start, update = own.update, updateEpochs = own.updateEpochs } = options
  const lcp: LcpOptions = {
    aux: own.aux && { ...own.aux, m: options.m ?? own.aux.m, roi: options.roi ?? own.aux.roi, boxes: options.boxes ?? own.aux.boxes, reduction: options.auxReduction ?? own.aux.reduction },
    alpha, beta, gamma, select, block, epsilon, sweep, start, images, batch, stageCount, stageEpochs, update, updateEpochs, updateClip, reconstruction,
    stageEnds: stagesFrom(options.stages),
    stageRate: options.stageLr ?? rateFor(stageOptimizer, lcpDefaults.stageRate),
    stageOptimizer,
    updateRate: options.updateLr,
  }
  if (select === 'backward') {
    const idle = reconstruction ? (Object.keys(lcpFields) as (keyof LcpFields)[]).find((key) => key !== 'select' && lcpFields[key].fallback === undefined && options[key] !== undefined) : 'no-reconstruction'
    if (idle !== undefined) throw new UserError(`--${flagName(idle)} has no meaning with --select backward, which has no stages, auxiliary networks or updates; leave it out`)
    if (criterion.name === 'dcp') throw new UserError('--select backward has no meaning with --method dcp, whose channels are judged by its auxiliary networks alone; choose lcp or reconstruction')
    return lcp
  }
  const fault = idleOption(options, lcp, criterion.name) ?? faultOf(lcp)
  if (fault !== undefined) throw new UserError(fault)
  sweepOf(lcp)
  return lcp
}

/** An option that was given and would change nothing, in words. */
function idleOption(options: LcpFields, { aux, select, update }: LcpOptions, method: string): string | undefined {
  const given = (keys: readonly (keyof LcpFields)[]): string | undefined => {
    const key = keys.find((k) => options[k] !== undefined)
    return key && `--${flagName(key)}`
  }
  const idle = aux ? undefined : given(['alpha', 'beta', 'gamma', 'm', 'roi', 'auxReduction', 'boxes'])
  if (idle !== undefined) return `${idle} has no meaning with --method ${method}, which has no auxiliary network; leave it out, or choose lcp`
  if (select === 'one-shot' && options.selectBlock !== undefined) return '--select-block has no meaning with one-shot selection; give --select greedy, or leave it out'
  if (select === 'greedy' && options.start === 'trained') return '--start trained has no meaning with greedy selection, which starts from zero weights; give --select one-shot, or leave it out'
  if (update === 'least-squares' && options.updateEpochs !== undefined) return '--update-epochs has no meaning with --update least-squares, which takes no steps; give --update both, or leave it out'
  if (options.stages !== undefined && options.stageCount !== undefined) return '--stages and --stage-count both say where stages end; give one of them'
  return undefined
}

function stagesFrom(text: string | undefined): string[] | undefined {
  const names = text?.split(',').map((name) => name.trim())
  if (names?.includes('')) throw new UserError(`--stages "${text}" has an empty name; give names of values with commas between`)
  return names
}

/** What is wrong with the combination, in words. */
function faultOf({ aux, reconstruction, alpha, gamma, select, start, stageEpochs, update, updateEpochs }: LcpOptions): string | undefined {
  const sgd = (update !== 'least-squares' && updateEpochs > 0) || select === 'greedy'
  if (aux?.roi === 'truth' && aux.m > 0) return '--roi truth looks at the objects\' own boxes, so there is no box to find: give --m 0 too, or another --roi'
  if (!reconstruction && update !== 'sgd') return `--no-reconstruction leaves nothing to fit for --update ${update}; drop one of them`
  if (!reconstruction && alpha === 0) return `--no-reconstruction with ${aux ? '--alpha 0' : 'a method that has no other loss'} leaves no loss to score channels by; drop one of them`
  if (!reconstruction && gamma === 0 && sgd) return '--no-reconstruction with --gamma 0 leaves no loss to update the kept weights by; drop one of them'
  if (stageEpochs > 0) return undefined
  if (alpha > 0) return '--stage-epochs 0 leaves the auxiliary network untrained, so its loss says nothing; give --alpha 0 or --stage-epochs 1'
  if (gamma !== 0 && sgd) return '--stage-epochs 0 leaves the auxiliary network untrained, so kept weights cannot be updated by its loss; give --gamma 0 too, or --stage-epochs 1'
  if (start === 'trained' && select === 'one-shot') return `${aux ? '--alpha 0 with ' : ''}--stage-epochs 0 leaves the detector as it came, so the reconstruction loss has no gradient; give --start zero or --stage-epochs 1`
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
