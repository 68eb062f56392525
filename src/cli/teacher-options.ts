/** @file Options of training without the detector's own loss: whom it follows, who labels, what is measured anew. */
import { decoderOf, type DetectorCard } from '../detection/card.ts'
import { outputFields } from '../detection/decoders/fields.ts'
import { valueNamed } from '../ir/walk.ts'
import type { PruneOptions, TeacherOptions } from '../pruning/prune.ts'
import { fits } from '../pruning/recalibrate.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distillTask, type OutputReading } from '../train/distill.ts'
import { assertTrainable } from '../train/train.ts'
import { choice, number, optionalChoice, type OptionsOf, optionalNumber } from './fields.ts'
import type { Follows } from './optimizer-options.ts'

/** Score from which a detection of the teacher is a label. */
const defaultThreshold = 0.4

export const teacherFields = {
  follow: optionalChoice(['labels', 'teacher'], 'what training follows: labels, by SSD\'s own loss; or the unpruned detector, on raw outputs and feature maps, without labels (default: labels where the card has default boxes, else teacher)'),
  background: number('X', 'teacher: weight of softmaxed class scores (SSD\'s) where it sees nothing, beside 1 where it is sure', 0.25, { min: 0, max: 1 }),
  hintWeight: number('X', 'teacher: weight of the feature maps at the stage ends in the last fine-tuning', 10, { min: 0 }),
  auxWeight: number('X', 'teacher: weight of the auxiliary networks\' loss at the stage ends in the last fine-tuning, on images with boxes; 0: none', 0, { min: 0 }),
  labels: choice(['data', 'teacher'], 'whose boxes count in the training images: the data\'s, or the unpruned detector\'s own detections; data without labels, or of other classes than the model\'s, is then measured against these too', 'data'),
  labelThreshold: optionalNumber('SCORE', `labels of the teacher: detections scored this or higher (default: ${defaultThreshold})`, { above: 0, below: 1 }),
  recalibrate: optionalNumber('N', 'images on which the cut detector is mended before it is trained (see --fit), BN statistics measured anew; 0: none (default: 128 where training follows the teacher or channels are selected backward, else 0)', { whole: true, min: 0 }),
  fit: optionalChoice(fits, 'what is fitted to the unpruned detector\'s features, layer by layer: weights and biases by least squares, biases alone by channel means, or none (default: weights; none where channels are selected backward, which fits weights itself)'),
}

type Options = OptionsOf<typeof teacherFields>

/** Whom training follows. Throws UserError for labels where the detector has no loss of its own. */
export function followsOf({ defaults }: Detector, { follow }: Options, file: string): Follows {
  if (follow === 'labels' && !defaults) throw new UserError(`${file}: has no default boxes in its detector card, so its own loss is not known; give --follow teacher`)
  return follow ?? (defaults ? 'labels' : 'teacher')
}

/** The detector as the teacher that the options ask for. Throws UserError where its outputs cannot teach. */
export function teacherOf(detector: Detector, { background, hintWeight, auxWeight }: Options, file: string): TeacherOptions {
  return { reading: readingOf(detector, file), background, hintWeight, auxWeight }
}

/** How the outputs of a teacher are read. Throws UserError where they say nothing entry by entry. */
export function readingOf({ model, card }: Detector, file: string): OutputReading {
  const rankOf = (output: string): number | undefined => valueNamed(model.graph, output).shape?.length
  try {
    return { fields: outputFields(card.decoder, { classes: card.classes.length, rankOf }), confidence: decoderOf(card).confidence }
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}`, { cause: error }) : error
  }
}

/** The score from which the teacher's detections are labels; undefined: the data labels itself. Throws UserError for one that says nothing. */
export function labelThresholdOf({ labels, labelThreshold }: Pick<Options, 'labels' | 'labelThreshold'>, { decoder }: DetectorCard): number | undefined {
  if (labels === 'data') {
    if (labelThreshold !== undefined) throw new UserError('--label-threshold has no meaning without --labels teacher: the data labels itself; give both, or leave it out')
    return undefined
  }
  const threshold = labelThreshold ?? defaultThreshold
  if (threshold < decoder.scoreThreshold) throw new UserError(`--label-threshold ${threshold} is below the decoder's own score threshold ${decoder.scoreThreshold}, under which nothing is detected; give a higher one, or --decoder "${decoder.type} scoreThreshold=${threshold}"`)
  return threshold
}

/** How the cut detector is mended without training, and on how many images. */
export function recalibrateOf({ recalibrate, fit }: Options, follows: Follows, backward: boolean): NonNullable<PruneOptions['recalibrate']> {
  return { images: recalibrate ?? (follows === 'teacher' || backward ? 128 : 0), fit: fit ?? (backward ? 'none' : 'weights') }
}

/** Throws UserError where an operator without a gradient is in the way of training with this teacher (or with the labels). */
export function assertTrainableWith(detector: Detector, teacher: TeacherOptions | undefined, batch: number): void {
  assertTrainable(detector, batch, teacher && distillTask(detector, teacher.reading, { ...teacher, runtime: nodeRuntime, batch, hints: [] }))
}
