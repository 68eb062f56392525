/** @file The command line: finds the command, loads it, runs it, turns what it throws into a message and an exit code. */
import { Command, CommanderError } from 'commander'
import { UserError } from '../tensor/error.ts'
import type { LoadedCommand } from './command.ts'
import type { Streams } from './streams.ts'
import { packageVersion } from './version.ts'

interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly default: LoadedCommand }>
}

/** Modules are loaded when their command is asked for, so that help comes at once. */
const commands: Readonly<Record<string, Entry>> = {
  train: { summary: 'train a detector from nothing, or from a classifier\'s weights', load: () => import('./commands/train.ts') },
  eval: { summary: 'measure a detector by COCO\'s protocol', load: () => import('./commands/eval.ts') },
  score: { summary: 'COCO\'s numbers for a ground truth file and a results file', load: () => import('./commands/score.ts') },
  predict: { summary: 'detect in images and draw what was found', load: () => import('./commands/predict.ts') },
  card: { summary: 'how a detector\'s outputs are read; written into its file', load: () => import('./commands/card.ts') },
  inspect: { summary: 'what a model costs and which channels can be removed', load: () => import('./commands/inspect.ts') },
  prune: { summary: 'remove channels, fine-tune, measure; or replay a plan', load: () => import('./commands/prune.ts') },
  finetune: { summary: 'train a detector further', load: () => import('./commands/finetune.ts') },
  bench: { summary: 'latency of one model, or of two side by side', load: () => import('./commands/bench.ts') },
  profile: { summary: 'how long the layers of a model take on this machine as their channels shrink', load: () => import('./commands/profile.ts') },
  export: { summary: 'a model in half precision or in 8 bits, measured beside the float one', load: () => import('./commands/export.ts') },
  data: { summary: 'public data sets: what to download, where to put it, whether it is all there', load: () => import('./commands/data.ts') },
  report: { summary: 'runs as one page of HTML, alone or compared', load: () => import('./commands/report.ts') },
  experiment: { summary: 'a grid of runs from a file, resumed run by run, and one table of results', load: () => import('./commands/experiment.ts') },
  demo: { summary: 'the whole way on built-in images: measure, prune, fine-tune, compare', load: () => import('./commands/demo.ts') },
}

const examples = `
Examples:
  espalier demo
  espalier train --arch ssd300-resnet18 --data data/bccd --out runs/base
  espalier prune runs/base/model.onnx --data data/bccd --method lcp --remove-params 0.7 --out runs/pruned
  espalier bench runs/base/model.onnx runs/pruned/pruned.onnx

"espalier help COMMAND" shows the options of a command.`

/** Runs the command line; returns the exit code. Writes to the given streams only (default: the process's). */
export async function main(argv: readonly string[], streams: Streams = process): Promise<number> {
  try {
    const program = await buildProgram(argv, streams)
    if (argv.length === 0) {
      program.outputHelp({ error: true })
      return 2
    }
    await program.parseAsync([...argv], { from: 'user' })
    return 0
  } catch (error) {
    return report(error, argv, streams)
  }
}

async function buildProgram(argv: readonly string[], streams: Streams): Promise<Command> {
  const program = new Command('espalier')
    .description('Structural channel pruning for ONNX object detectors.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'espalier: ')),
    })
    .addHelpText('after', examples)
  // Only the named one is needed in full: `espalier train ...`, `espalier help train`.
  const named = new Set(argv.slice(0, 2))
  for (const [name, { summary, load }] of Object.entries(commands)) {
    const sub = program.command(name).summary(summary).description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
    sub.showHelpAfterError(`(its options: espalier help ${name})`)
    if (named.has(name)) (await load()).default.configure(sub, streams)
  }
  return program
}

function report(error: unknown, argv: readonly string[], streams: Streams): number {
  // Help and version end this way too; commander has already written its message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const debug = argv.includes('--debug')
  const message = error instanceof Error ? error.message : String(error)
  const stack = debug && error instanceof Error ? `${error.stack ?? ''}\n` : ''
  if (error instanceof UserError) {
    streams.stderr.write(`espalier: ${message}\n${stack}`)
    return error.exitCode
  }
  streams.stderr.write(`espalier: unexpected error: ${message}\n${stack || 'Run again with --debug to see where it arose.\n'}`)
  return 1
}
