/** @file The task of a student: what its teacher says of each image, on raw outputs and on feature maps. Needs no labels. */
import { distillLoss, hintLoss, type OutputField, relativeError } from '../detection/distill-loss.ts'
import { withOutputs } from '../ir/edit.ts'
import { createModel, dimsOf, Graph, type Model, type Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import { Builder } from '../ops/builder.ts'
import type { Runtime, Session, SessionOptions, Tensors } from '../runtime/session.ts'
import { floats, type Tensor } from '../tensor/tensor.ts'
import type { Detector } from './detector.ts'
import { type DetectorTask, imageFeeds, type ImportedDetector } from './task.ts'
import { workingCopy } from './working-copy.ts'

/** How a teacher's outputs are read; a decoder says it. */
export interface OutputReading {
  readonly fields: readonly OutputField[]
  /** The confidence at the location of each entry, 0 to 1, for a batch of raw outputs; by output name, of the output's size. */
  confidence(outputs: Tensors): Readonly<Record<string, Float32Array>>
}

/** A feature map that the student should keep. */
export interface Hint {
  readonly name: string
  /** What of the teacher's map the student still has, by axis; empty where it is whole. */
  readonly keep: readonly { readonly axis: number; readonly indices: readonly number[] }[]
}

export interface DistillOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly batch: number
  /** Weight of class entries where the teacher sees nothing (see distillLoss). */
  readonly background: number
  readonly hints: readonly Hint[]
  readonly hintWeight: number
}

const studentOf = (name: string): string => `student/${name}`
const teacherOf = (name: string): string => `teacher/${name}`
const confidenceOf = (name: string): string => `confidence/${name}`

/** For batches of `options.batch` images. The teacher is loaded when it is first asked, so a task that is only built costs nothing. */
export function distillTask(teacher: Detector, reading: OutputReading, options: DistillOptions): DetectorTask {
  const { batch, background, hints, hintWeight } = options
  const alone = workingCopy(teacher.model, batch)
  const model = withOutputs(alone, hints.map((h) => valueNamed(alone.graph, h.name)))
  const input = model.graph.inputs.find((v) => !v.initializer)!.name
  const outputs = [...new Set(reading.fields.map((f) => f.output))]
  let session: Session | undefined
  return {
    add(b, working, imported) {
      const student = (name: string): Value => copyOf(imported, working, name)
      const fed = (port: string, name: string): Value => b.input(port, 'float32', dimsOf(student(name)))
      const teachers = new Map(outputs.map((name) => [name, fed(teacherOf(name), name)]))
      const confidences = new Map(outputs.map((name) => [name, fed(confidenceOf(name), name)]))
      const losses = distillLoss(b, reading.fields, { student, teacher: (name) => teachers.get(name)!, confidence: (name) => confidences.get(name)! }, { background })
      return hints.length > 0 && hintWeight > 0 ? { ...losses, hint: addHints(b, model, hints, student, hintWeight) } : losses
    },
    wanted: (working) => hints.map((h) => valueNamed(working.graph, h.name)),
    async feeds(data) {
      const image = imageFeeds(teacher.card, data)
      session ??= await options.runtime.load(model, options.session)
      const said = await session.run({ [input]: Object.values(image)[0]! })
      const confidence = reading.confidence(said)
      const feeds: Record<string, Tensor> = { ...image }
      for (const name of outputs) {
        feeds[teacherOf(name)] = said[name]!
        feeds[confidenceOf(name)] = { dtype: 'float32', dims: said[name]!.dims, data: confidence[name]! }
      }
      for (const { name } of hints) feeds[teacherOf(name)] = said[name]!
      return feeds
    },
    release: async () => session?.release(),
  }
}

/** How far outputs are from a reference's (see relativeError). */
export interface OutputDistance {
  of(reference: Tensors, outputs: Tensors): Promise<number>
  release(): Promise<void>
}

/** For runs whose outputs have the dims of `like`. */
export async function createOutputDistance({ fields, confidence }: OutputReading, like: Tensors, { runtime, session: options }: Pick<DistillOptions, 'runtime' | 'session'>): Promise<OutputDistance> {
  const b = new Builder(new Graph('distance'))
  const names = [...new Set(fields.map((f) => f.output))]
  const inputs = (port: (name: string) => string): Map<string, Value> => new Map(names.map((name) => [name, b.input(port(name), 'float32', like[name]!.dims)]))
  const [students, teachers, confidences] = [inputs(studentOf), inputs(teacherOf), inputs(confidenceOf)]
  const error = relativeError(b, fields, { student: (name) => students.get(name)!, teacher: (name) => teachers.get(name)!, confidence: (name) => confidences.get(name)! })
  const output = b.output(error, 'distance').name
  const session = await runtime.load(createModel(b.graph, b.opset), options)
  return {
    async of(reference, outputs) {
      const sure = confidence(reference)
      const feeds = names.flatMap((name): [string, Tensor][] => [[studentOf(name), outputs[name]!], [teacherOf(name), reference[name]!], [confidenceOf(name), { dtype: 'float32', dims: reference[name]!.dims, data: sure[name]! }]])
      return floats((await session.run(Object.fromEntries(feeds)))[output]!)[0]!
    },
    release: () => session.release(),
  }
}

/** The mean of the hint losses, weighted. */
function addHints(b: Builder, teacher: Model, hints: readonly Hint[], student: (name: string) => Value, weight: number): Value {
  let sum = b.scalar(0)
  for (const { name, keep } of hints) {
    const own = dimsOf(student(name))
    // The teacher's map is wider where the student was cut; its batch may be free.
    const dims = own.map((d, axis) => (keep.some((k) => k.axis === axis) ? (valueNamed(teacher.graph, name).shape![axis] as number) : d))
    let reference = b.input(teacherOf(name), 'float32', dims)
    for (const { axis, indices } of keep) reference = b.op('Gather', [reference, b.ints(indices)], { axis })
    sum = b.add(sum, hintLoss(b, student(name), reference))
  }
  return b.mul(sum, b.scalar(weight / hints.length))
}

function copyOf(imported: ImportedDetector, working: Model, name: string): Value {
  const copy = imported.values.get(valueNamed(working.graph, name))
  if (!copy) throw new Error(`"${name}" is not in the training graph`)
  return copy
}
