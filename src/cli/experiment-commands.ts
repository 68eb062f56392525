/** @file The commands that an experiment is made of, and what their options allow in its file. */
import type { CommandDefaults, Run } from '../experiment/grid.ts'
import type { CommandName, OptionRules, Options } from '../experiment/spec.ts'
import type { LoadedCommand } from './command.ts'
import finetune from './commands/finetune.ts'
import prune from './commands/prune.ts'
import train from './commands/train.ts'
import { flagName, parseOptions } from './fields.ts'
import { finetuneOf } from './prune-options.ts'

const commands: Readonly<Record<CommandName, LoadedCommand>> = { train, finetune, prune }

/** Options that the experiment sets itself, and how the file says them. */
const ownKeys: Readonly<Record<string, string>> = {
  out: 'is set by --out and the name of the run; leave it out',
  force: 'is decided run by run; leave it out, or give --force on the command line',
  data: 'is set under "data"; leave it out',
  limit: 'is set under "data", as in "data: {cells: {path: cells, limit: 100}}"; leave it out here',
  seed: 'is set by "seeds"; leave it out',
  split: 'is a key of its own, beside "seeds"; leave it out here',
  trainSplit: 'is a key of its own, "train-split" beside "seeds"; leave it out here',
  moreImages: 'would let pruned detectors see more than the others; leave it out, or put all images into one data set',
  threads: 'is a key of its own, beside "seeds"; leave it out here',
  ep: 'is a key of its own, beside "seeds"; leave it out here',
  json: 'has no meaning here; leave it out',
  quiet: 'has no meaning here; leave it out',
  debug: 'has no meaning here; leave it out',
  weights: 'is a key of the model itself, beside "arch"; leave it out here',
  like: 'is what the row "scratch" is made with; leave it out',
  plan: 'replays a cut, and an experiment compares choices; leave it out',
  dryRun: 'has no meaning here; give --dry-run on the command line',
  totalPasses: 'is set by "passes", the same for all; leave it out',
  finetuneEpochs: 'follows from "passes", the same for all; leave it out',
}

export const optionRules: OptionRules = {
  fault(command, key, value) {
    const field = commands[command].fields[key]
    if (!field) return `is no option of "espalier ${command}"; "espalier help ${command}" lists them`
    if (ownKeys[key] !== undefined) return ownKeys[key]
    const parsed = field.schema.safeParse(value)
    if (parsed.success && value !== undefined) return undefined
    const message = parsed.error?.issues[0]?.message ?? 'must be given'
    return `${message.replace(/^Invalid input: expected /, 'must be of the kind ')}, not ${JSON.stringify(value)}`
  },
}

export const commandDefaults: CommandDefaults = {
  complete,
  tuned(options) {
    const { batch, warmup, rate, optimizer } = finetuneOf(options as Parameters<typeof finetuneOf>[0], 'labels')
    const { type, clipNorm } = optimizer
    return { batch, warmup, lr: rate, optimizer: type, clip: clipNorm, weightDecay: optimizer.weightDecay, momentum: optimizer.type === 'sgd' ? optimizer.momentum : undefined, augment: options.augment, keep: options.finetuneKeep }
  },
}

/** All options of a command; the folder and the data stand for those to come. */
function complete(command: CommandName, options: Options): Options {
  return parseOptions(commands[command].fields, { ...given(options), data: 'data', out: 'out' })
}

export function invoke(command: CommandName, options: Options, args: readonly string[], context: Parameters<LoadedCommand['invoke']>[2]): Promise<void> {
  return commands[command].invoke(given(options), args, context)
}

/** As on the command line: "prune cells_train_s0 --method lcp --alpha 1", with the run that it starts from, without what the experiment sets for all. */
export function commandText({ command, options, from }: Pick<Run, 'command' | 'options' | 'from'>): string {
  const start = from === undefined ? [] : command === 'train' ? [`--like ${from}`] : [from]
  const shown = Object.entries(given(options)).filter(([key]) => !['seed', 'threads', 'ep', 'split', 'trainSplit', 'limit'].includes(key))
  return [command, ...start, ...shown.map(([key, value]) => (value === true ? `--${flagName(key)}` : value === false ? `--no-${flagName(key)}` : `--${flagName(key)} ${String(value)}`))].join(' ')
}

function given(options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}
