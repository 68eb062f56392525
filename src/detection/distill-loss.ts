/** @file What a student detector loses against its teacher on their raw outputs: Kullback-Leibler terms for scores, smooth L1 for boxes. */
import { dimsOf, type Value } from '../ir/graph.ts'
import type { Builder } from '../ops/builder.ts'
import { smoothL1 } from './losses.ts'

/**
 * How the entries of a stretch of an output are to be read:
 * "probability": each its own, 0 to 1; "logit": the same before a sigmoid; "softmax": rows of `bins` entries, before a softmax;
 * "regression": numbers, compared in units of `scale`.
 */
export type FieldKind = 'probability' | 'logit' | 'softmax' | 'regression'

/** A stretch `from`..`to` (exclusive) along an axis of an output: class scores, objectness, box numbers. */
export interface OutputField {
  readonly output: string
  readonly axis: number
  readonly from: number
  readonly to: number
  readonly kind: FieldKind
  /** Entries of a softmax row; default: the whole stretch. */
  readonly bins?: number
  /** What counts as one unit of a regression; default 1. */
  readonly scale?: number
  /** Locations that share the output's axis, one behind the other; default 1. */
  readonly locations?: number
  /** Whether the field says what is there or where it is. */
  readonly purpose: 'class' | 'box'
  /** Class scores beside an objectness, which mean something only where there is an object; default false. */
  readonly conditional?: boolean
}

export interface DistillInputs {
  /** The student's output of that name, and the teacher's, of equal dims. */
  readonly student: (output: string) => Value
  readonly teacher: (output: string) => Value
  /** The teacher's confidence at the location that each entry belongs to, 0 to 1; dims of the output. */
  readonly confidence: (output: string) => Value
}

export interface DistillOptions {
  /** Weight of softmaxed class rows where the teacher sees nothing, beside 1 where it is sure: without it nothing would keep false alarms down. */
  readonly background: number
}

/**
 * Scores that are coins of their own count by how far student and teacher are apart, |s - t|^2, as in the quality focal loss (Li et al., "Generalized
 * Focal Loss", NeurIPS 2020, equation 2): a detector says some hundred thousand next to nothing an image, and matching those to the last digit would
 * outweigh the few that matter. The factor makes up for the squares: it brings the terms to the size of the boxes'.
 */
const focusFactor = 40

/** Keeps logarithms finite; float32 resolves 1 - 1e-6. */
const tiny = 1e-6

/**
 * Sums over all locations, divided by the teacher's total confidence (at least 1), so that images with many objects weigh no more than others.
 * Box fields count the teacher's confidence; softmaxed class rows `background` + (1 - background) confidence; other class scores by how far the two are
 * apart, and where they stand beside an objectness, by the confidence too: of empty places they say anything. Zero where student and teacher agree.
 */
export function distillLoss(b: Builder, fields: readonly OutputField[], inputs: DistillInputs, { background }: DistillOptions): { classification: Value; localization: Value } {
  const mass = confidenceMass(b, fields, inputs)
  const total = { class: b.scalar(0), box: b.scalar(0) }
  for (const field of fields) {
    const part = (v: Value): Value => stretch(b, v, field)
    const [student, teacher, confidence] = [part(inputs.student(field.output)), part(inputs.teacher(field.output)), part(inputs.confidence(field.output))]
    const weight = weightOf(b, field, student, teacher, confidence, background)
    total[field.purpose] = b.add(total[field.purpose], b.sum(divergence(b, field, student, teacher, weight)))
  }
  return { classification: b.div(total.class, mass, 'distill_classification'), localization: b.div(total.box, mass, 'distill_localization') }
}

/**
 * How far outputs are from a reference's, to compare cuts by: the relative squared error |s - t|^2 / |t|^2 of what they say (probabilities where they are
 * scores or bins), averaged over the fields. Boxes, and class scores beside an objectness, count by the reference's confidence. 0 where they agree, 1
 * where all is 0. Unlike the loss it has no logarithms, which small scores would rule.
 */
export function relativeError(b: Builder, fields: readonly OutputField[], inputs: DistillInputs): Value {
  let sum = b.scalar(0)
  for (const field of fields) {
    const said = (v: Value): Value => probabilities(b, field, stretch(b, v, field))
    const [s, t] = [said(inputs.student(field.output)), said(inputs.teacher(field.output))]
    const weight = errorWeight(b, field, inputs)
    const apart = b.sub(s, t)
    const squares = b.mul(apart, apart)
    sum = b.add(sum, b.div(b.sum(weight ? b.mul(weight, squares) : squares), energyOf(b, t, weight)))
  }
  return b.mul(sum, b.scalar(1 / fields.length))
}

/**
 * A number whose gradient shows what errors inside the detector do to what it says: sum over the entries of sign * sqrt(weight / energy) * s, with the
 * weights and energies of `relativeError`. Over random signs of +1 and -1 the mean of the squared gradient by any value y is the second
 * derivative of relativeError by y, halved, where student and reference agree (the diagonal of J^T J, J the Jacobian of the weighted entries; Gauss-Newton).
 * `signs` gives, for each field, a value of the given dims.
 */
export function outputSketch(b: Builder, fields: readonly OutputField[], inputs: DistillInputs, signs: (field: number, dims: readonly number[]) => Value): Value {
  let sum = b.scalar(0)
  fields.forEach((field, i) => {
    const said = (v: Value): Value => probabilities(b, field, stretch(b, v, field))
    const [s, t] = [said(inputs.student(field.output)), said(inputs.teacher(field.output))]
    const weight = errorWeight(b, field, inputs)
    const signed = b.mul(signs(i, dimsOf(s)), s)
    const total = b.sum(weight ? b.mul(signed, b.op('Sqrt', [weight])) : signed)
    sum = b.add(sum, b.div(total, b.op('Sqrt', [b.mul(energyOf(b, t, weight), b.scalar(fields.length))])))
  })
  return sum
}

/** By what entries of a field count in an error; undefined: all alike. */
function errorWeight(b: Builder, field: OutputField, { confidence }: DistillInputs): Value | undefined {
  return field.purpose === 'box' || field.conditional ? stretch(b, confidence(field.output), field) : undefined
}

/** The weighted sum of squares, at least so much that it can be divided by. */
function energyOf(b: Builder, v: Value, weight: Value | undefined): Value {
  const squares = b.mul(v, v)
  return b.op('Max', [b.sum(weight ? b.mul(weight, squares) : squares), b.scalar(tiny)])
}

/** What the numbers of a field stand for: probabilities of logits and of softmax rows, all others themselves. */
function probabilities(b: Builder, field: OutputField, v: Value): Value {
  if (field.kind === 'logit') return b.op('Sigmoid', [v])
  return field.kind === 'softmax' ? b.reshape(b.op('Softmax', [rowsOf(b, field, v)], { axis: field.axis + 1 }), dimsOf(v)) : v
}

/** The rows of a softmax along an axis of their own, the one behind the field's. */
function rowsOf(b: Builder, { axis, from, to, bins = to - from }: OutputField, v: Value): Value {
  const dims = dimsOf(v)
  return b.reshape(v, [...dims.slice(0, axis), dims[axis]! / bins, bins, ...dims.slice(axis + 1)])
}

function weightOf(b: Builder, field: OutputField, student: Value, teacher: Value, confidence: Value, background: number): Value {
  const { purpose, kind, conditional } = field
  if (purpose === 'box') return confidence
  if (kind === 'softmax' || kind === 'regression') return b.add(b.mul(confidence, b.scalar(1 - background)), b.scalar(background))
  const apart = b.sub(probabilities(b, field, student), probabilities(b, field, teacher))
  const focus = b.mul(b.mul(apart, apart), b.scalar(focusFactor))
  return conditional ? b.mul(focus, confidence) : focus
}

/** The teacher's confidence, each location once: those of the outputs that hold class fields, else of all. */
function confidenceMass(b: Builder, fields: readonly OutputField[], { confidence }: DistillInputs): Value {
  const classes = fields.filter((f) => f.purpose === 'class')
  const fieldOf = new Map((classes.length > 0 ? classes : fields).map((f) => [f.output, f]))
  let mass = b.scalar(0)
  for (const [output, { axis, locations = 1 }] of fieldOf) {
    const v = confidence(output)
    mass = b.add(mass, b.mul(b.sum(v), b.scalar(locations / dimsOf(v)[axis]!)))
  }
  return b.op('Max', [mass, b.scalar(1)])
}

function stretch(b: Builder, v: Value, { axis, from, to }: OutputField): Value {
  return from === 0 && to === dimsOf(v)[axis] ? v : b.op('Slice', [v, b.ints([from]), b.ints([to]), b.ints([axis])])
}

/** Weighted terms; the dims are the stretch's, or one entry a softmax row. */
function divergence(b: Builder, field: OutputField, student: Value, teacher: Value, weight: Value): Value {
  switch (field.kind) {
    case 'probability': return b.mul(weight, bernoulli(b, student, teacher))
    case 'logit': return b.mul(weight, bernoulliLogits(b, student, teacher))
    case 'softmax': return categorical(b, field, student, teacher, weight)
    case 'regression': {
      const scale = b.scalar(1 / (field.scale ?? 1))
      return b.mul(weight, smoothL1(b, b.mul(student, scale), b.mul(teacher, scale)))
    }
  }
}

/** KL(t || s) of coins: t ln(t/s) + (1-t) ln((1-t)/(1-s)). */
function bernoulli(b: Builder, student: Value, teacher: Value): Value {
  const one = b.scalar(1)
  const inside = (v: Value): Value => b.op('Clip', [v, b.scalar(tiny), b.scalar(1 - tiny)])
  const [s, t] = [inside(student), inside(teacher)]
  const ratio = (x: Value, y: Value): Value => b.mul(x, b.sub(b.op('Log', [x]), b.op('Log', [y])))
  return b.add(ratio(t, s), ratio(b.sub(one, t), b.sub(one, s)))
}

/** The same from logits: sigmoid(t) (t - s) + softplus(s) - softplus(t). */
function bernoulliLogits(b: Builder, s: Value, t: Value): Value {
  const linear = b.mul(b.op('Sigmoid', [t]), b.sub(t, s))
  return b.add(linear, b.sub(b.op('Softplus', [s]), b.op('Softplus', [t])))
}

/** KL of softmax rows; a row's weight is the mean of its entries' (they belong to one location). */
function categorical(b: Builder, field: OutputField, student: Value, teacher: Value, weight: Value): Value {
  const axis = field.axis + 1
  const log = (v: Value): Value => b.op('LogSoftmax', [rowsOf(b, field, v)], { axis })
  const [s, t] = [log(student), log(teacher)]
  const kl = b.sum(b.mul(b.op('Exp', [t]), b.sub(t, s)), [axis])
  return b.mul(kl, b.op('ReduceMean', [rowsOf(b, field, weight), b.ints([axis])], { keepdims: 0 }))
}

/** Relative squared distance of a feature map from its teacher's, |s - t|^2 / |t|^2: 1 for a map of zeros. */
export function hintLoss(b: Builder, student: Value, teacher: Value): Value {
  const energy = b.op('Max', [b.op('ReduceSumSquare', [teacher], { keepdims: 0 }), b.scalar(tiny)])
  return b.div(b.op('ReduceSumSquare', [b.sub(student, teacher)], { keepdims: 0 }), energy)
}
