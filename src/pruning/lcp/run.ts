/** @file LCP, stage by stage, input to output: { fine-tune with L_f; for the layers of the stage: select, cut, update }. */
import type { Dim } from '../../ir/graph.ts'
import { valuesOf } from '../../ir/walk.ts'
import { UserError } from '../../tensor/error.ts'
import { type AuxOptions, type AuxTask, auxDefaultBoxes, createAuxTask } from '../../train/aux-task.ts'
import { type Detector, withWeights } from '../../train/detector.ts'
import { type JointCriterion, weightAxes } from '../criteria/criterion.ts'
import { type ChannelGroup, findGroups, indicesOf } from '../groups.ts'
import { makePlan, without } from '../plan.ts'
import { chosenStageEnds, stagesOf } from '../stages.ts'
import { applyPlan } from '../surgery.ts'
import type { Layer } from './joint-loss.ts'
import { fitLayers } from './fit-layers.ts'
import { createUpdater } from './scoring.ts'
import { selectGreedy, selectOneShot } from './select.ts'
import { tuneStage } from './stage-tuning.ts'
import { type LcpOptions, sweepOf } from './options.ts'
import type { Workspace } from './workspace.ts'

/** What happened to one layer: the two gradient norms tell which term chose its channels. */
export interface LayerLog {
  readonly weight: string
  readonly group: string
  readonly before: number
  readonly after: number
  /** Norm of the accumulated dL_re/dW. */
  readonly gradientReconstruction: number
  /** Norm of the accumulated alpha dL_a/dW. */
  readonly gradientLocalization: number
}

export interface StageLog {
  readonly end: string
  readonly seconds: number
  readonly losses: Readonly<Record<string, number>>
  readonly layers: readonly LayerLog[]
  /** Loss L_re + gamma L_a at the end of each update. */
  readonly updates: readonly number[]
  readonly rounds: number
}

export interface LcpOutcome {
  /** The cut detector, its weights trained along the way. */
  readonly detector: Detector
  /** Units of the original that each group keeps. */
  readonly kept: ReadonlyMap<string, readonly number[]>
  readonly stages: readonly StageLog[]
}

/** Prunes `groups` of the baseline to `widths` (units kept, by group id); a group without a width keeps what greedy selection chooses until the loss settles. */
export async function runLcp(w: Workspace, criterion: JointCriterion, groups: readonly ChannelGroup[], widths: ReadonlyMap<string, number>): Promise<LcpOutcome> {
  const kept = new Map<string, readonly number[]>()
  const stages: StageLog[] = []
  let working = w.baseline
  let round = 0
  const sweep = sweepOf(w.options)
  const ends = stageEndsOf(w.baseline, w.options, groups)
  const boxes = auxDefaultBoxes(w.baseline, ends.map((end) => featureOf(working, end)).map(([, height, width]) => [width, height]))
  for (const stage of stagesOf(w.baseline.model, ends, groups)) {
    const start = performance.now()
    const aux = stage.end === undefined || !w.options.aux ? undefined : createAuxTask(w.baseline, boxes, stage.end, featureOf(working, stage.end), w.options.batch, w.options.aux, w.seed)
    const log = { layers: [] as LayerLog[], updates: [] as number[], rounds: 0 }
    const tuned = w.options.stageEpochs > 0 ? await tuneStage(w, working, aux, ++round) : { detector: working, losses: {} }
    working = tuned.detector
    const cuts = stage.groups.filter((g) => widths.get(g.id) !== g.channels)
    for (const set of sweep === 'stage' ? [cuts] : cuts.map((g) => [g])) {
      if (set.length === 0) continue
      const result = await pruneSet(w, criterion, working, set.map((g) => g.id), groups, widths, kept, aux, ++round)
      working = result.working
      log.layers.push(...result.layers)
      log.updates.push(...result.updates)
      log.rounds += result.rounds
    }
    stages.push({ end: stage.end ?? 'outputs', seconds: (performance.now() - start) / 1000, losses: tuned.losses, ...log })
  }
  return { detector: working, kept, stages }
}

/** Selects, cuts and updates some groups at once; adds to `kept`. */
async function pruneSet(
  w: Workspace, criterion: JointCriterion, working: Detector, ids: readonly string[], originals: readonly ChannelGroup[], widths: ReadonlyMap<string, number>,
  kept: Map<string, readonly number[]>, aux: AuxTask | undefined, round: number,
): Promise<{ working: Detector; layers: LayerLog[]; updates: number[]; rounds: number }> {
  const groups = findGroups(working.model).filter((g) => ids.includes(g.id))
  if (groups.length !== ids.length) throw new Error(`of the groups ${ids.join(', ')} the cut model still has ${groups.map((g) => g.id).join(', ')}`)
  const question = { criterion, groups, layers: layersOf(groups, originals, kept), widths }
  const selection = w.options.select === 'greedy' ? await selectGreedy(w, working, question, aux, round) : await selectOneShot(w, working, question, aux)
  const plan = makePlan(groups, selection.kept, { method: criterion.name })
  // None of these groups was cut before: their units are those of the original.
  for (const [id, units] of selection.kept) kept.set(id, units)
  let cut: Detector = { ...working, model: applyPlan(selection.working.model, plan) }
  const updates: number[] = []
  const left = layersOf(groups, originals, kept)
  if (w.options.update !== 'sgd') cut = await fitLayers(w, cut, left)
  if (w.options.update !== 'least-squares' && w.options.updateEpochs > 0) {
    const updater = await createUpdater(w, cut, left, aux)
    try {
      updates.push(await updater.run(w.options.updateEpochs, round))
      cut = { ...cut, model: withWeights(cut.model, updater.step.weights()) }
    } finally {
      await updater.release()
    }
  }
  const layers = groups.flatMap((g) => weightAxes(g.consumers).map((member) => {
    const norms = selection.scores.norms.get(member.value.name)!
    return { weight: member.value.name, group: g.id, before: g.channels, after: selection.kept.get(g.id)!.length, gradientReconstruction: norms.reconstruction, gradientLocalization: norms.localization }
  }))
  return { working: cut, layers, updates, rounds: selection.rounds }
}

/** The consumers of the groups, each once, with what is left of their outputs. */
function layersOf(groups: readonly ChannelGroup[], originals: readonly ChannelGroup[], kept: ReadonlyMap<string, readonly number[]>): Layer[] {
  const layers = new Map<string, Layer>()
  for (const g of groups) {
    for (const { node, member } of g.consumers) {
      const output = node.outputs[0]!.name
      layers.set(output, { weight: member.value.name, output, keep: keptOf(output, originals, kept) })
    }
  }
  return [...layers.values()]
}

/** What the cuts so far leave of a baseline value, by axis. */
function keptOf(name: string, originals: readonly ChannelGroup[], kept: ReadonlyMap<string, readonly number[]>): Layer['keep'] {
  const removed = new Map<number, number[]>()
  const lengths = new Map<number, Dim>()
  for (const g of originals) {
    const units = kept.get(g.id)
    if (!units) continue
    const stays = new Set(units)
    const gone = Array.from({ length: g.channels }, (_, k) => k).filter((k) => !stays.has(k))
    for (const member of g.members) {
      if (member.value.name !== name) continue
      removed.set(member.axis, [...(removed.get(member.axis) ?? []), ...indicesOf(member, gone)])
      lengths.set(member.axis, member.value.shape?.[member.axis])
    }
  }
  return [...removed].map(([axis, indices]) => ({ axis, indices: without(lengths.get(axis) as number, indices) }))
}

/** The stage ends, input to output. Throws UserError where there are none, or one is no feature map of known size. */
export function stageEndsOf(detector: Detector, options: Pick<LcpOptions, 'stageEnds' | 'stageCount'>, groups: readonly ChannelGroup[], file = 'the model'): readonly string[] {
  const ends = chosenStageEnds(detector, options, groups)
  if (ends.length === 0) throw new UserError(`${file}: has no feature map between its layers for an auxiliary network to look at; choose another method`)
  for (const end of ends) featureOf(detector, end, file)
  return ends
}

/** Fresh auxiliary networks at all `ends` of a detector that may be cut already; `original` knows the default boxes. */
export function auxTasks(original: Detector, working: Detector, ends: readonly string[], batch: number, options: AuxOptions, seed: number): AuxTask[] {
  const features = ends.map((end) => featureOf(working, end))
  const boxes = auxDefaultBoxes(original, features.map(([, height, width]) => [width, height]))
  return ends.map((end, i) => createAuxTask(original, boxes, end, features[i]!, batch, options, seed))
}

function featureOf(working: Detector, end: string, file = 'the model'): [number, number, number] {
  const value = [...valuesOf(working.model.graph)].find((v) => v.name === end)
  if (!value) throw new UserError(`${file}: has no value "${end}" to be a stage end; check --stages, or the detector card`)
  const [, c, h, w] = value.shape ?? []
  if (value.shape?.length !== 4 || typeof c !== 'number' || typeof h !== 'number' || typeof w !== 'number') throw new UserError(`${file}: "${end}" is no feature map [N,C,H,W] of known size, so it cannot be a stage end; check --stages, or the detector card`)
  return [c, h, w]
}
