/** @file Selection of the channels to keep: one-shot, or greedy in rounds (DCP's way). */
import { floats, type Tensor, zeros } from '../../tensor/tensor.ts'
import { createRng } from '../../tensor/rng.ts'
import type { AuxTask } from '../../train/aux-task.ts'
import { type Detector, withWeights } from '../../train/detector.ts'
import { initializerOf } from '../../train/train.ts'
import { bestUnits } from '../budget.ts'
import type { Criterion } from '../criteria/criterion.ts'
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
  readonly criterion: Criterion
  readonly groups: readonly ChannelGroup[]
  readonly layers: readonly Layer[]
  readonly widths: ReadonlyMap<string, number>
}

/** One accumulation, the best K of each group. */
export async function selectOneShot(w: Workspace, working: Detector, question: Question, aux: AuxTask | undefined): Promise<Selection> {
  const scorer = await createScorer(w, working, question.layers, aux)
  try {
    const trained = initializerOf(working.model)
    const scores = await scorer.accumulate(w.options.start === 'trained' ? trained : (name) => zeros('float32', trained(name).dims))
    const kept = new Map(question.groups.map((g) => [g.id, bestUnits(scoresOf(w, question.criterion, g, scores), question.widths.get(g.id)!)]))
    return { kept, scores, rounds: 1, working }
  } finally {
    await scorer.release()
  }
}

/**
 * DCP's greedy selection, `block` channels a round and group: from zero weights; accumulate, add the best channels not yet chosen with their trained
 * weights, one pass of SGD on the chosen ones; until every group has its width or the loss settles (epsilon).
 */
export async function selectGreedy(w: Workspace, working: Detector, question: Question, aux: AuxTask | undefined, round: number): Promise<Selection> {
  const { block, epsilon } = w.options
  const trained = initializerOf(working.model)
  const empty = new Map(question.layers.map((l) => [l.weight, zeros('float32', trained(l.weight).dims)]))
  const scorer = await createScorer(w, working, question.layers, aux)
  const updater = await createUpdater(w, working, question.layers, aux, (name) => empty.get(name)!)
  const chosen = new Map(question.groups.map((g) => [g.id, new Set<number>()]))
  const open = (g: ChannelGroup): number => question.widths.get(g.id)! - chosen.get(g.id)!.size
  const mask = (state: ReadonlyMap<string, Tensor>): void => {
    for (const g of question.groups) {
      const left = unitsWithout(g, chosen.get(g.id)!)
      for (const { member } of g.consumers) for (const [name, t] of state) if (name === member.value.name || name.startsWith(`${member.value.name}/`)) copySlices(member, left, undefined, floats(t))
    }
  }
  try {
    let first: Scores | undefined
    const losses: number[] = []
    let rounds = 0
    while (question.groups.some((g) => open(g) > 0)) {
      const current = updater.step.state()
      const scores = await scorer.accumulate((name) => current.get(name)!)
      first ??= scores
      for (const g of question.groups) {
        const done = chosen.get(g.id)!
        const values = scoresOf(w, question.criterion, g, scores)
        for (const unit of done) values[unit] = -Infinity
        const added = bestUnits(values, Math.min(block, open(g)))
        for (const { member } of g.consumers) copySlices(member, added, floats(trained(member.value.name)), floats(current.get(member.value.name)!))
        for (const unit of added) done.add(unit)
      }
      losses.push(await updater.run(1, 1000 * round + rounds, mask))
      rounds += 1
      if (epsilon !== undefined && losses.length > 1 && Math.abs(losses.at(-2)! - losses.at(-1)!) / losses[0]! <= epsilon) break
    }
    const weights = new Map([...updater.step.weights()])
    return {
      kept: new Map([...chosen].map(([id, units]) => [id, [...units].sort((a, b) => a - b)])),
      scores: first!,
      rounds,
      working: { ...working, model: withWeights(working.model, weights) },
    }
  } finally {
    await scorer.release()
    await updater.release()
  }
}

function scoresOf(w: Workspace, criterion: Criterion, group: ChannelGroup, scores: Scores): Float64Array {
  const gradient = (weight: string): Float32Array => {
    const g = scores.gradients.get(weight)
    if (!g) throw new Error(`no gradient was accumulated for "${weight}"`)
    return g
  }
  return criterion.score(group, { rng: createRng(`${w.seed}/${criterion.name}`), gradient })
}

function unitsWithout(group: ChannelGroup, gone: ReadonlySet<number>): number[] {
  return Array.from({ length: group.channels }, (_, k) => k).filter((k) => !gone.has(k))
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
