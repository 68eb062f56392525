/** @file Sensitivity: how much the raw outputs suffer when one channel group alone is cut, for each group and for several shares. */
import { withOutputs } from '../ir/edit.ts'
import { valueNamed } from '../ir/walk.ts'
import type { Model, Value } from '../ir/graph.ts'
import { choiceBefore } from '../passes/choices.ts'
import type { Runtime, Session, SessionOptions, Tensors } from '../runtime/session.ts'
import { isFloat } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'
import { createRng } from '../tensor/rng.ts'
import { squaredDistance, type Tensor, toNumbers } from '../tensor/tensor.ts'
import type { Listener } from '../train/events.ts'
import { bestUnits } from './budget.ts'
import { nodeLabel } from './channel-links.ts'
import type { WeightCriterion } from './criteria/criterion.ts'
import { crossingsOf } from './crossings.ts'
import type { ChannelGroup } from './groups.ts'
import { type MaskedModel, withMaskInputs } from './zero-factor.ts'

/** Shares of a group's channels that are cut. */
export const sensitivityShares = [0.3, 0.5, 0.7] as const

export interface SensitivityOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Groups of the model that may be cut, of two units or more. */
  readonly groups: readonly ChannelGroup[]
  /** Ranks the channels; the lowest go first. */
  readonly criterion: WeightCriterion
  readonly shares: readonly number[]
  readonly seed: number
  /** Inputs of the model, a set for each run. */
  readonly inputs: AsyncIterable<Tensors>
  /** How many sets there will be, for progress. */
  readonly runs: number
  /** Squared harm of a run's outputs against the uncut model's, in place of the outputs' relative error. */
  readonly distance?: (reference: Tensors, outputs: Tensors) => Promise<number>
  /** Measures the model that a runtime loads in place of any other: AP, where there are labels. Default: not measured. */
  readonly score?: (runtime: Runtime) => Promise<number>
  readonly listener?: Listener
}

/** One group cut by one share, all others whole. */
export interface CutHarm {
  readonly share: number
  /** Units kept: at least one. */
  readonly kept: number
  /**
   * sqrt(sum (y - y0)^2 / sum y0^2) over all runs, averaged over the outputs; y0: the uncut model's; or the root of the mean of `distance`. Not
   * finite where outputs are not.
   */
  readonly harm: number
  /** What `score` gives. */
  readonly score?: number
}

export interface GroupSensitivity {
  readonly group: ChannelGroup
  /** In the order of the shares. */
  readonly cuts: readonly CutHarm[]
}

export interface Sensitivity {
  /** In the order of the groups asked for. */
  readonly groups: readonly GroupSensitivity[]
  /** The outputs that were compared, and values that stand in for outputs behind a choice. */
  readonly outputs: readonly string[]
  /** Outputs that were not, with the reason. */
  readonly leftOut: readonly string[]
  /** `score` of the uncut model. */
  readonly score?: number
}

interface Case {
  readonly group: number
  readonly share: number
  readonly kept: number
  readonly masks: Tensors
}

/**
 * Cuts every group alone, by every share, and compares the outputs with the uncut model's on the same inputs. One session serves all
 * cuts: the channels are multiplied by 0 or 1 where they are consumed, which is the same as cutting them (see certify), and the
 * factors are fed. Throws UserError where there is nothing to cut or to compare.
 */
export async function measureSensitivity(model: Model, options: SensitivityOptions): Promise<Sensitivity> {
  const { runtime, groups, score, listener } = options
  if (groups.length === 0) throw new UserError('the model has no channel group to cut, so there is no sensitivity to measure; see inspect')
  const { names, leftOut } = comparable(model)
  if (names.length === 0) throw new UserError(`the model has no output to compare: ${leftOut.join('; ')}`)
  const masked = withMaskInputs(model, groups)
  const cases = casesOf(masked, options)
  const session = await runtime.load(withOutputs(masked.model, names.map((name) => valueNamed(masked.model.graph, name))), options.session)
  try {
    const harms = options.distance ? await askAll(session, masked, cases, options.distance, options) : await compareAll(session, masked, cases, names, options)
    const scoreOf = (masks: Tensors): Promise<number> => score!(maskedRuntime(runtime, session, masks))
    if (score) listener?.({ type: 'phase', name: 'score', total: cases.length + 1, unit: 'cuts' })
    const whole = score && (await scoreOf(masked.feeds()))
    const cuts: CutHarm[] = []
    for (const [i, { share, kept, masks }] of cases.entries()) {
      cuts.push({ share, kept, harm: harms.of(i), ...(score && { score: await scoreOf(masks) }) })
      if (score) listener?.({ type: 'progress', done: i + 2, values: {} })
    }
    if (score) listener?.({ type: 'end', summary: `${cases.length} cuts` })
    return {
      groups: groups.map((group, index) => ({ group, cuts: cuts.filter((_, i) => cases[i]!.group === index) })),
      outputs: harms.names,
      leftOut: [...leftOut, ...harms.leftOut],
      ...(whole !== undefined && { score: whole }),
    }
  } finally {
    await session.release()
  }
}

function casesOf(masked: MaskedModel, { groups, criterion, shares, seed }: SensitivityOptions): Case[] {
  const rng = createRng(`${seed}/${criterion.name}`)
  return groups.flatMap((group, index) => {
    if (group.channels < 2) throw new Error(`group "${group.id}" has one unit only`)
    const scores = criterion.score(group, { rng })
    return shares.map((share): Case => {
      const kept = Math.min(group.channels - 1, Math.max(1, Math.round(group.channels * (1 - share))))
      return { group: index, share, kept, masks: masked.feeds(index, bestUnits(scores, kept)) }
    })
  })
}

/**
 * Float outputs that depend on no choice (TopK, NonMaxSuppression ...): behind one, what is compared would change places. In the place
 * of those behind one: the values that enter it.
 */
function comparable({ graph }: Model): { names: string[]; leftOut: string[] } {
  const isFree = (v: Value): boolean => !!v.dtype && isFloat(v.dtype) && choiceBefore(graph, v) === undefined
  const leftOut = graph.outputs.filter((v) => !isFree(v)).map((v) => {
    const choice = choiceBefore(graph, v)
    return `output "${v.name}" ${choice ? `depends on what ${nodeLabel(choice)} chooses` : `is no float output (${v.dtype ?? 'type not known'})`}`
  })
  const entering = crossingsOf(graph).map((c) => c.value).filter(isFree)
  return { names: [...new Set([...graph.outputs.filter(isFree), ...entering])].map((v) => v.name), leftOut }
}

interface Visitor {
  /** The outputs of the uncut model on the next inputs, before those of the cuts. */
  whole(outputs: Tensors): void
  cut(index: number, outputs: Tensors): void | Promise<void>
}

/** Runs the uncut model and every cut on all inputs; returns the number of runs. */
async function runAll(session: Session, masked: MaskedModel, cases: readonly Case[], { inputs, runs, listener }: SensitivityOptions, visit: Visitor): Promise<number> {
  listener?.({ type: 'phase', name: 'sensitivity', total: runs * cases.length, unit: 'runs' })
  let done = 0
  for await (const feeds of inputs) {
    visit.whole(await session.run({ ...feeds, ...masked.feeds() }))
    for (const [i, { masks }] of cases.entries()) {
      await visit.cut(i, await session.run({ ...feeds, ...masks }))
      done += 1
      listener?.({ type: 'progress', done, values: {} })
    }
  }
  if (done === 0) throw new Error('no inputs were given')
  const taken = done / cases.length
  listener?.({ type: 'end', summary: `${cases.length} cuts on ${taken} runs` })
  return taken
}

interface Harms {
  /** Of the case with that index. */
  of(index: number): number
  readonly names: readonly string[]
  readonly leftOut: readonly string[]
}

/** Means of a distance over the runs, by case. */
async function askAll(session: Session, masked: MaskedModel, cases: readonly Case[], distance: NonNullable<SensitivityOptions['distance']>, options: SensitivityOptions): Promise<Harms> {
  const sums = new Float64Array(cases.length)
  let reference: Tensors = {}
  const runs = await runAll(session, masked, cases, options, {
    whole: (outputs) => void (reference = outputs),
    cut: async (i, outputs) => void (sums[i]! += await distance(reference, outputs)),
  })
  return { of: (i) => Math.sqrt(sums[i]! / runs), names: [], leftOut: [] }
}

/** Sums over runs, by case and output. */
async function compareAll(session: Session, masked: MaskedModel, cases: readonly Case[], names: readonly string[], options: SensitivityOptions): Promise<Harms> {
  const squares = new Float64Array(names.length)
  const differences = cases.map(() => new Float64Array(names.length))
  let reference: ReturnType<typeof valuesOf> = []
  await runAll(session, masked, cases, options, {
    whole(outputs) {
      reference = valuesOf(outputs, names)
      reference.forEach((values, o) => {
        squares[o]! += squaredDistance(values)
      })
    },
    cut(i, outputs) {
      valuesOf(outputs, names).forEach((values, o) => {
        if (values.length !== reference[o]!.length) throw new Error(`output "${names[o]}" has ${values.length} elements after a cut, ${reference[o]!.length} before`)
        differences[i]![o]! += squaredDistance(values, reference[o]!)
      })
    },
  })
  names.forEach((name, o) => {
    if (!Number.isFinite(squares[o])) throw new UserError(`output "${name}" of the uncut model is not finite on these images, so nothing can be compared with it`)
  })
  // An output that is 0 throughout has no scale to measure by.
  const scaled = names.flatMap((_, o) => (squares[o]! > 0 ? [o] : []))
  if (scaled.length === 0) throw new UserError('all outputs of the model are 0 on these images, so there is nothing to measure harm by')
  return {
    of: (i: number): number => scaled.reduce((sum, o) => sum + Math.sqrt(differences[i]![o]! / squares[o]!), 0) / scaled.length,
    names: scaled.map((o) => names[o]!),
    leftOut: names.filter((_, o) => !scaled.includes(o)).map((name) => `output "${name}" is 0 on all images`),
  }
}

function valuesOf(results: Tensors, names: readonly string[]): (Float32Array | readonly number[])[] {
  return names.map((name) => numbersOf(results[name]!))
}

function numbersOf(t: Tensor): Float32Array | readonly number[] {
  return t.data instanceof Float32Array ? t.data : toNumbers(t)
}

/** A runtime whose every session is the given one with `masks` fed; releasing it does nothing. */
function maskedRuntime(runtime: Runtime, session: Session, masks: Tensors): Runtime {
  const own: Session = {
    inputNames: session.inputNames.filter((name) => !(name in masks)),
    outputNames: session.outputNames,
    run: (feeds, into) => session.run({ ...feeds, ...masks }, into),
    release: async () => {},
  }
  return { ...runtime, load: async () => own }
}
