/** @file Options of training without the detector's own loss: whom it follows, who labels, what is measured anew. */
import { decoderOf } from '../detection/card.ts'
import { outputFields } from '../detection/decoders/fields.ts'
import type { TeacherOptions } from '../pruning/prune.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distillTask } from '../train/distill.ts'
import { assertTrainable } from '../train/train.ts'
import { number, optionalChoice, type OptionsOf, optionalNumber } from './fields.ts'

export const teacherFields = {
  follow: optionalChoice(['labels', 'teacher'], 'what training follows: labels, by SSD\'s own loss; or the unpruned detector, on raw outputs and feature maps, without labels (default: labels where the card has default boxes, else teacher)'),
  background: number('X', 'teacher: weight of class scores where it sees nothing, beside 1 where it is sure', 0.25, { min: 0, max: 1 }),
  hintWeight: number('X', 'teacher: weight of the feature maps at the stage ends in the last fine-tuning', 1, { min: 0 }),
  recalibrate: optionalNumber('N', 'images on which BN statistics and biases are measured anew after the cut; 0: none (default: 64 where training follows the teacher, else 0)', { whole: true, min: 0 }),
}

type Options = OptionsOf<typeof teacherFields>

/** The teacher that the options ask for; undefined: the labels. Throws UserError where the detector cannot do it. */
export function teacherOf({ card, defaults }: Detector, { follow, background, hintWeight }: Options, file: string): TeacherOptions | undefined {
  if (follow === 'labels' && !defaults) throw new UserError(`${file}: has no default boxes in its detector card, so its own loss is not known; give --follow teacher`)
  if ((follow ?? (defaults ? 'labels' : 'teacher')) === 'labels') return undefined
  try {
    return { reading: { fields: outputFields(card.decoder, { classes: card.classes.length }), confidence: decoderOf(card).confidence }, background, hintWeight }
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}`, { cause: error }) : error
  }
}

/** Images that statistics are measured on after the cut. */
export function recalibrateOf({ recalibrate }: Options, teacher: TeacherOptions | undefined): number {
  return recalibrate ?? (teacher ? 64 : 0)
}

/** Throws UserError where an operator without a gradient is in the way of training with this teacher (or with the labels). */
export function assertTrainableWith(detector: Detector, teacher: TeacherOptions | undefined, batch: number): void {
  assertTrainable(detector, batch, teacher && distillTask(detector, teacher.reading, { ...teacher, runtime: nodeRuntime, batch, hints: [] }))
}
