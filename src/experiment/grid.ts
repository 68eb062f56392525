/** @file From an experiment to its runs: which command, with which options, on what model, in what order. */
import { UserError } from '../tensor/error.ts'
import type { CommandName, ExperimentSpec, Options } from './spec.ts'

/** "given": the unpruned detector, where it is a file, measured; "train": the unpruned detector; "tuned": it, trained further for as long; "scratch": the pruned shape from fresh weights. */
export type RunKind = 'given' | 'train' | 'tuned' | 'scratch' | 'prune'

export interface Run {
  /** Of its folder; says what the run is. */
  readonly name: string
  readonly kind: RunKind
  readonly model: string
  readonly data: string
  /** Runs that prune, and those from scratch. */
  readonly budget?: string
  /** Row of the table: a method of the experiment, or one of the rows beside them. */
  readonly row: string
  readonly seed: number
  /** "measure" has no command line of its own. */
  readonly command: CommandName | 'measure'
  /** Of the command, but for the data's path, the model and the folder. */
  readonly options: Options
  /** Run whose model this one starts from, or whose shape it takes. */
  readonly from?: string
  /** Forward-backward passes over images that it will take, its own alone. */
  readonly passes: number
  /** Those of one epoch of its training: totals come in whole epochs. */
  readonly epoch: number
}

/** What the commands know of their options. */
export interface CommandDefaults {
  /** The options with the defaults of the command filled in. */
  complete(command: CommandName, options: Options): Options
  /** Options of `finetune` that train as `prune` with these (complete) options does after its cut; but for the epochs. */
  tuned(prune: Options): Options
}

/**
 * All runs, each behind those that it starts from; seed by seed, so that whoever stops early has whole comparisons. `images`: how many
 * there are to train on, by data.
 */
export function makeGrid(spec: ExperimentSpec, images: ReadonlyMap<string, number>, commands: CommandDefaults): Run[] {
  const runs: Run[] = []
  for (const seed of spec.seeds) {
    for (const model of spec.models.keys()) for (const data of spec.data.keys()) runs.push(...cellsOf(spec, model, data, seed, images.get(data)!, commands))
  }
  return runs
}

/** All runs of one model on one data set with one seed. */
function cellsOf(spec: ExperimentSpec, model: string, data: string, seed: number, images: number, commands: CommandDefaults): Run[] {
  const { arch, file, train: own, weights } = spec.models.get(model)!
  const cell = { model, data, seed }
  const common = { seed, limit: spec.data.get(data)!.limit, split: spec.split, trainSplit: spec.trainSplit, threads: spec.threads, ep: spec.ep }
  const name = (...parts: string[]): string => [model, data, ...parts, `s${seed}`].join('_')
  const epochOf = (command: CommandName, options: Options, key = 'batch'): number => {
    const complete = commands.complete(command, options)
    return passesAnEpoch(images, (complete[key] ?? complete.batch) as number, `${spec.file}: data "${data}"`)
  }
  const from = name(file === undefined ? 'train' : 'given')
  const train = { arch, weights, ...own, ...common }
  const trainEpoch = file === undefined ? epochOf('train', train) : 0
  const trainEpochs = file === undefined ? (commands.complete('train', train).epochs as number) : 0
  const runs: Run[] = [file === undefined
    ? { ...cell, name: from, kind: 'train', row: 'unpruned', command: 'train', options: train, passes: trainEpochs * trainEpoch, epoch: trainEpoch }
    : { ...cell, name: from, kind: 'given', row: 'unpruned', command: 'measure', options: common, passes: 0, epoch: 0 }]

  if (spec.rows.includes('tuned')) {
    const base = { ...commands.tuned(commands.complete('prune', { ...spec.prune, ...common })), ...common }
    const epoch = epochOf('finetune', base)
    const epochs = Math.ceil(spec.passes / epoch)
    runs.push({ ...cell, name: name('tuned'), kind: 'tuned', row: 'tuned', command: 'finetune', options: { ...base, epochs }, from, passes: epochs * epoch, epoch })
  }
  for (const [budget, asked] of spec.budgets) {
    for (const [row, { method, options }] of spec.methods) {
      const all = { method, ...spec.prune, ...asked, ...options, ...common, totalPasses: spec.passes }
      runs.push({ ...cell, budget, name: name(budget, row), kind: 'prune', row, command: 'prune', options: all, from, passes: spec.passes, epoch: epochOf('prune', all, 'finetuneBatch') })
    }
    if (spec.rows.includes('scratch')) {
      const { arch: _, weights: __, size: ___, ...training } = train as Options & { size?: unknown }
      // As many epochs as the unpruned detector and a pruned one together.
      const epochs = trainEpochs + Math.ceil(spec.passes / trainEpoch)
      runs.push({ ...cell, budget, name: name(budget, 'scratch'), kind: 'scratch', row: 'scratch', command: 'train', options: { ...training, epochs }, from: name(budget, spec.reference), passes: epochs * trainEpoch, epoch: trainEpoch })
    }
  }
  return runs
}

/** Images that are passed in an epoch: whole batches alone. */
function passesAnEpoch(images: number, batch: number, what: string): number {
  if (images < batch) throw new UserError(`${what} has ${images} images to train on, less than a batch of ${batch}; choose a smaller batch`)
  return Math.floor(images / batch) * batch
}

/** File of the model that a run leaves in its folder. */
export function modelFile(kind: RunKind): string {
  return kind === 'prune' ? 'pruned.onnx' : 'model.onnx'
}
