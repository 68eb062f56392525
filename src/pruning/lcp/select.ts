/** @file Selection of the channels to keep: one-shot, or greedy in rounds (DCP's way). */
import { assertRanked } from '../criteria/assert-ranked.ts'
import { f32, floats, type Tensor } from '../../tensor/tensor.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import { type Detector, withWeights } from '../../train/detector.ts'
import { initializerOf } from '../../train/train.ts'
import { bestUnits } from '../budget.ts'
import { type JointCriterion, weightAxes } from '../criteria/criterion.ts'
import { type ChannelGroup, type GroupMember, indicesOf } from '../groups.ts'
import type { Layer } from './joint-loss.ts'
import { createScorer, createUpdater, type Scores } from './scoring.ts'
import type { Workspace } from './workspace.ts'

export interface Selection {
  /** Units to keep by group id, ascending, in the units of the working copy. */
  readonly kept: ReadonlyMap<string, readonly number[]>
  /** What the scores were taken from; greedy: of the first round. */
  readonly scores: Scores
  /** Rounds of accumulation. */
  readonly rounds: number
  /** The working copy, still uncut; greedy selection has updated the kept weights on its way. */
  readonly working: Detector
}

/** What is selected from: the groups and their layers, with how many units each group keeps. */
export interface Question {
  readonly criterion: JointCriterion
  readonly groups: readonly ChannelGroup[]
  readonly layers: readonly Layer[]
  /** Units to keep, by group id; without one, greedy selection stops where the loss settles. */
  readonly widths: ReadonlyMap<string, number>
}

/** One accumulation, the best K of each group. */
export async function selectOneShot(w: Workspace, working: Detector, question: Question, aux: AuxTask | undefined): Promise<Selection> {
  const scorer = await createScorer(w, working, question.layers, aux)
  try {
    const trained = initializerOf(working.model)
    const zeroed = w.options.start === 'zero' ? zeroedWeights(question, trained) : undefined
    const scores = await scorer.accumulate((name) => zeroed?.get(name) ?? trained(name))
    const kept = new Map(question.groups.map((g) => [g.id, bestUnits(scoresOf(question.criterion, g, scores), question.widths.get(g.id)!)]))
    return { kept, scores, rounds: 1, working }
  } finally {
    await scorer.release()
  }
}

/**
 * DCP's greedy selection, `block` channels a round and group: from zero weights; accumulate, add the best channels not yet chosen with their trained
 * weights, one pass of SGD on the chosen ones; until every group has its width, or the joint loss settles: |L_prev - L_now| / L_0 <= epsilon,
 * L_0 being the loss with no channel chosen.
 */
export async function selectGreedy(w: Workspace, working: Detector, question: Question, aux: AuxTask | undefined, round: number): Promise<Selection> {
  const { block, epsilon, alpha } = w.options
  const trained = initializerOf(working.model)
  const zeroed = zeroedWeights(question, trained)
  const masks = gradientMasks(question)
  const scorer = await createScorer(w, working, question.layers, aux)
  const updater = await createUpdater(w, working, question.layers, aux, { initial: (name) => zeroed.get(name)!, masks: new Map([...masks].map(([weight, t]) => [weight, t.dims])) })
  const chosen = new Map(question.groups.map((g) => [g.id, new Set<number>()]))
  const open = (g: ChannelGroup): number => (question.widths.get(g.id) ?? g.channels) - chosen.get(g.id)!.size
  try {
    let first: Scores | undefined
    const losses: number[] = []
    while (question.groups.some((g) => open(g) > 0)) {
      const current = updater.step.weights()
      const scores = await scorer.accumulate((name) => current.get(name)!)
      first ??= scores
      losses.push(scores.losses.reconstruction + alpha * (scores.losses.classification + scores.losses.localization))
      if (epsilon !== undefined && losses.length > 2 && Math.abs(losses.at(-2)! - losses.at(-1)!) / losses[0]! <= epsilon) break
      for (const g of question.groups) {
        const done = chosen.get(g.id)!
        const values = scoresOf(question.criterion, g, scores)
        for (const unit of done) values[unit] = -Infinity
        const added = bestUnits(values, Math.min(block, open(g)))
        for (const member of weightAxes(g.consumers)) {
          const name = member.value.name
          copySlices(member, added, floats(trained(name)), floats(current.get(name)!))
          const mask = floats(masks.get(name)!)
          for (const index of indicesOf(member, added)) mask[index] = 1
        }
        for (const unit of added) done.add(unit)
      }
      await updater.run(1, 1000 * round + losses.length, masks)
    }
    return {
      kept: new Map([...chosen].map(([id, units]) => [id, [...units].sort((x, y) => x - y)])),
      scores: first!,
      rounds: losses.length,
      working: { ...working, model: withWeights(working.model, updater.step.weights()) },
    }
  } finally {
    await scorer.release()
    await updater.release()
  }
}

/** The layers' weights with the slices of the groups in question at zero; what belongs to other groups stays. */
function zeroedWeights(question: Question, trained: (name: string) => Tensor): Map<string, Tensor> {
  const out = new Map(question.layers.map((l) => [l.weight, { ...trained(l.weight), data: floats(trained(l.weight)).slice() }]))
  for (const g of question.groups) for (const member of weightAxes(g.consumers)) copySlices(member, allUnits(g), undefined, out.get(member.value.name)!.data)
  return out
}

/** 0/1 factors along each weight's consuming axis: 0 for all channels of the groups in question, until they are chosen. */
function gradientMasks(question: Question): Map<string, Tensor> {
  const masks = new Map<string, Tensor>()
  for (const g of question.groups) {
    for (const member of weightAxes(g.consumers)) {
      const dims = member.value.initializer!.dims
      const shape = dims.map((d, axis) => (axis === member.axis ? d : 1))
      const mask = masks.get(member.value.name) ?? f32(new Float32Array(dims[member.axis]!).fill(1), shape)
      for (const index of indicesOf(member, allUnits(g))) floats(mask)[index] = 0
      masks.set(member.value.name, mask)
    }
  }
  return masks
}

function scoresOf(criterion: JointCriterion, group: ChannelGroup, scores: Scores): Float64Array {
  const gradient = (weight: string): Float32Array => {
    const g = scores.gradients.get(weight)
    if (!g) throw new Error(`no gradient was accumulated for "${weight}"`)
    return g
  }
  const values = criterion.score(group, { gradient })
  assertRanked(group, values)
  return values
}

function allUnits(group: ChannelGroup): number[] {
  return Array.from({ length: group.channels }, (_, k) => k)
}

/** Copies the slices of `units` along a member's axis from `from`, or zeroes them. */
function copySlices(member: GroupMember, units: readonly number[], from: Float32Array | undefined, to: Float32Array): void {
  const dims = member.value.initializer!.dims
  const inner = dims.slice(member.axis + 1).reduce((a, b) => a * b, 1)
  const length = dims[member.axis]!
  const outer = to.length / (inner * length)
  for (const index of indicesOf(member, units)) {
    for (let o = 0; o < outer; o++) {
      const at = (o * length + index) * inner
      if (from) to.set(from.subarray(at, at + inner), at)
      else to.fill(0, at, at + inner)
    }
  }
}
