/** @file What finetune follows: labels by the detector's own loss; or a teacher, the detector that the model was cut from. */
import type { CardRequest } from '../detection/recognise.ts'
import { preprocessOf } from '../detection/preprocess.ts'
import { suppression } from '../detection/decoders/decoder.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from '../train/detector.ts'
import { distillTask } from '../train/distill.ts'
import { multiboxTask } from '../train/multibox.ts'
import type { DetectorTask } from '../train/task.ts'
import type { CommonOptions } from './command.ts'
import { choice, flagName, type OptionsOf, text, texts } from './fields.ts'
import { openDetector } from './open-model.ts'
import { sessionOptions } from './session.ts'
import { readingOf, teacherFields } from './teacher-options.ts'

/** Options that say nothing without a teacher. */
const taughtFields = {
  background: teacherFields.background,
  labels: choice(['data', 'teacher'], 'whose boxes AP is measured against: the data\'s, or, where it has no labels or other classes than the model\'s, the teacher\'s own detections', 'data'),
  labelThreshold: teacherFields.labelThreshold,
  moreImages: texts('DIR', 'a further folder of images to train on, labelled or not; may be given again'),
}

export const finetuneTeacherFields = {
  teacher: text('FILE', 'ONNX detector whose raw outputs training follows, without labels: the one that MODEL was cut from'),
  ...taughtFields,
}

type Options = OptionsOf<typeof finetuneTeacherFields> & CommonOptions & { readonly batch: number }

/** Throws UserError for options that are given without a teacher. */
export function refuseUntaught(options: Pick<Options, 'teacher'>, given: ReadonlySet<string>): void {
  const idle = options.teacher === undefined ? Object.keys(taughtFields).find((key) => given.has(key)) : undefined
  if (idle !== undefined) throw new UserError(`--${flagName(idle)} has no meaning without --teacher, whom it is about; give both, or leave it out`)
}

/** The teacher that the options name, of which `student`, of file `file`, must be a cut copy: UserError where their outputs cannot be compared. */
export async function openTeacher(path: string, student: Detector, file: string, options: Options, request: CardRequest, note: (text: string) => void): Promise<Detector> {
  const { detector: teacher } = await openDetector(path, { request, session: sessionOptions(options, path), note })
  const [own, its] = [traitsOf(student), traitsOf(teacher)]
  const other = [...new Set([...own.keys(), ...its.keys()])].find((trait) => own.get(trait) !== its.get(trait))
  if (other !== undefined) throw new UserError(`${file} and its teacher ${path} differ: ${other} is ${own.get(other) ?? 'absent'} in the one, ${its.get(other) ?? 'absent'} in the other; the teacher must be the detector that the model was cut from (--decoder, --preprocess and --classes hold for both)`)
  return teacher
}

/** All that must be alike for raw outputs to be compared entry by entry; weights and widths within may differ. */
function traitsOf({ model, card }: Detector): Map<string, string> {
  const outputs = model.graph.outputs.map((v): [string, string] => [`output "${v.name}"`, `${v.dtype} [N,${v.shape?.slice(1).join(',') ?? '?'}]`])
  const flat = (name: string, value: object): [string, string][] => Object.entries(value).map(([key, part]) => [`${name} ${key}`, JSON.stringify(part)])
  // Which detections stay has no bearing on raw outputs.
  const reading = Object.fromEntries(Object.entries(card.decoder).filter(([key]) => !(key in suppression)))
  return new Map([...outputs, ...flat('input', preprocessOf(card)), ...flat('class', card.classes), ...flat('decoder', reading), ...flat('default boxes of level', card.defaultBoxes ?? [])])
}

/** What `detector` is trained for. Throws UserError where it has no loss of its own, and no teacher. */
export function finetuneTask(detector: Detector, file: string, teacher: Detector | undefined, options: Options): DetectorTask {
  const { batch, background, teacher: path } = options
  if (teacher && path !== undefined) {
    return distillTask(teacher, readingOf(teacher, path), { runtime: nodeRuntime, session: sessionOptions(options, path), batch, background, hints: [], hintWeight: 0 })
  }
  try {
    return multiboxTask(detector, batch)
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}; give --teacher ORIGINAL.onnx, the detector that it was cut from, to train it on that one's outputs`, { cause: error }) : error
  }
}
