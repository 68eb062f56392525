/** @file The task of a student: what its teacher says of each image, on raw outputs and on feature maps. Needs no labels. */
import { type DistillInputs, distillLoss, hintLoss, type OutputField, relativeError } from '../detection/distill-loss.ts'
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

const outputsOf = ({ fields }: OutputReading): string[] => [...new Set(fields.map((f) => f.output))]

/** Inputs of a graph for what a reference says and how sure it is, of outputs with the given dims; `referenceFeeds` fills them. */
export function addReference(b: Builder, reading: OutputReading, dims: (output: string) => readonly number[]): Pick<DistillInputs, 'teacher' | 'confidence'> {
  const fed = (port: (name: string) => string): Map<string, Value> => new Map(outputsOf(reading).map((name) => [name, b.input(port(name), 'float32', dims(name))]))
  const [teachers, confidences] = [fed(teacherOf), fed(confidenceOf)]
  return { teacher: (name) => teachers.get(name)!, confidence: (name) => confidences.get(name)! }
}

/** What the reference said, and how sure it was. */
export function referenceFeeds(reading: OutputReading, said: Tensors): Tensors {
  const confidence = reading.confidence(said)
  return Object.fromEntries(outputsOf(reading).flatMap((name): [string, Tensor][] => [[teacherOf(name), said[name]!], [confidenceOf(name), { dtype: 'float32', dims: said[name]!.dims, data: confidence[name]! }]]))
}

/** For batches of `options.batch` images. The teacher is loaded when it is first asked, so a task that is only built costs nothing. */
export function distillTask(teacher: Detector, reading: OutputReading, options: DistillOptions): DetectorTask {
  const { batch, background, hints, hintWeight } = options
  const alone = workingCopy(teacher.model, batch)
  const model = withOutputs(alone, hints.map((h) => valueNamed(alone.graph, h.name)))
  const input = model.graph.inputs.find((v) => !v.initializer)!.name
  let session: Session | undefined
  return {
    add(b, working, imported) {
      const student = (name: string): Value => copyOf(imported, working, name)
      const losses = distillLoss(b, reading.fields, { student, ...addReference(b, reading, (name) => dimsOf(student(name))) }, { background })
      return hints.length > 0 && hintWeight > 0 ? { ...losses, hint: addHints(b, model, hints, student, hintWeight) } : losses
    },
    wanted: (working) => hints.map((h) => valueNamed(working.graph, h.name)),
    async feeds(data) {
      const image = imageFeeds(teacher.card, data)
      session ??= await options.runtime.load(model, options.session)
      const said = await session.run({ [input]: Object.values(image)[0]! })
      const feeds: Record<string, Tensor> = { ...image, ...referenceFeeds(reading, said) }
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
export async function createOutputDistance(reading: OutputReading, like: Tensors, { runtime, session: options }: Pick<DistillOptions, 'runtime' | 'session'>): Promise<OutputDistance> {
  const b = new Builder(new Graph('distance'))
  const names = outputsOf(reading)
  const dims = (name: string): readonly number[] => like[name]!.dims
  const students = new Map(names.map((name) => [name, b.input(studentOf(name), 'float32', dims(name))]))
  const error = relativeError(b, reading.fields, { student: (name) => students.get(name)!, ...addReference(b, reading, dims) })
  const output = b.output(error, 'distance').name
  const session = await runtime.load(createModel(b.graph, b.opset), options)
  return {
    async of(reference, outputs) {
      const feeds = { ...referenceFeeds(reading, reference), ...Object.fromEntries(names.map((name) => [studentOf(name), outputs[name]!])) }
      return floats((await session.run(feeds))[output]!)[0]!
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
