/** @file A command as data, and how it is put on commander. */
import { type Command, Option } from 'commander'
import { type Context, createContext } from './context.ts'
import { type Field, type Fields, flag, flagName, number, optionalChoice, optionalNumber, type OptionsOf, parseOptions } from './fields.ts'
import { providerNames } from '../runtime/providers.ts'
import { assertProvider } from './session.ts'
import type { Streams } from './streams.ts'

/** Options that every command has. */
export const commonFields = {
  seed: number('N', 'seed of everything random', 0, { whole: true, min: 0 }),
  threads: optionalNumber('N', 'threads within an operator (default: all cores)', { whole: true, min: 1 }),
  ep: optionalChoice(providerNames, 'execution provider of ONNX Runtime (default: cpu)'),
  json: flag('print one JSON object on stdout; everything else goes to stderr'),
  quiet: flag('no progress and no notes on stderr'),
  debug: flag('show the stack of an error'),
}

export type CommonOptions = OptionsOf<typeof commonFields>

export interface CommandSpec<F extends Fields> {
  /** Positional arguments in commander's notation, with what they are. */
  readonly arguments: readonly (readonly [name: string, about: string])[]
  readonly fields: F
  /** Command lines without "espalier". */
  readonly examples: readonly string[]
  /** A paragraph under the summary in help. */
  readonly details?: string
  /** `given`: the options that the user named, beside those that have their default. */
  run(options: OptionsOf<F> & CommonOptions, args: readonly string[], context: Context, given: ReadonlySet<string>): Promise<void>
}

export interface LoadedCommand {
  configure(sub: Command, streams: Streams): void
  /** By name, those that every command has among them. */
  readonly fields: Fields
  /** Runs within another command, with options by name; throws what the command line reports. */
  invoke(options: Readonly<Record<string, unknown>>, args: readonly string[], context: Context): Promise<void>
}

export function defineCommand<F extends Fields>(spec: CommandSpec<F>): LoadedCommand {
  const fields: F & typeof commonFields = { ...spec.fields, ...commonFields }
  return {
    fields,
    async invoke(raw, args, context) {
      await spec.run(parseOptions(fields, raw) as OptionsOf<F> & CommonOptions, args, context, new Set(Object.keys(raw)))
    },
    configure(sub, streams) {
      sub.helpOption('-h, --help', 'print this help')
      if (spec.details !== undefined) sub.description(`${sub.description()} ${spec.details}`)
      for (const [name, about] of spec.arguments) sub.argument(name, about)
      for (const [key, field] of Object.entries(fields)) sub.addOption(optionOf(key, field))
      sub.addHelpText('after', `\nExamples:\n${spec.examples.map((line) => `  espalier ${line}`).join('\n')}`)
      sub.action(async () => {
        const options = parseOptions(fields, sub.opts()) as OptionsOf<F> & CommonOptions
        const given = new Set(Object.keys(fields).filter((key) => sub.getOptionValueSource(key) === 'cli'))
        const context = createContext(options, streams)
        try {
          if (options.ep !== undefined) await assertProvider(options)
          await spec.run(options, sub.args, context, given)
        } finally {
          context.close()
        }
      })
    },
  }
}

function optionOf(key: string, field: Field<unknown>): Option {
  const name = flagName(key)
  if (field.kind === 'flag') return new Option(field.fallback === true ? `--no-${name}` : `--${name}`, field.about)
  const option = new Option(`--${name} <${field.value}>`, field.about)
  if (field.fallback !== undefined) option.default(field.fallback)
  if (field.repeated) option.argParser((value, before: readonly string[] | undefined) => [...(before ?? []), value])
  return option.makeOptionMandatory(field.required)
}
