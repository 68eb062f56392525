/** @file An experiment as its YAML file says it: checked, every fault told with its line. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'
import { type Path, type PlacedYaml, readYaml } from './places.ts'

/** Options of a command by name, as in "removeParams". */
export type Options = Readonly<Record<string, unknown>>

/** The commands that runs are made of. */
export type CommandName = 'train' | 'finetune' | 'prune'

export interface ModelSpec {
  /** Detector to train; undefined where there is a file. */
  readonly arch?: string
  /** A trained detector, as the YAML has it. */
  readonly file?: string
  /** File of a classifier that the trunk starts from, as the YAML has it. */
  readonly weights?: string
  /** Of `train`. */
  readonly train: Options
}

export interface DataSpec {
  /** As the YAML has it; "shapes" is built in. */
  readonly path: string
  readonly limit?: number
}

export interface MethodSpec {
  /** Of `prune --method`. */
  readonly method: string
  readonly options: Options
}

/** Rows beside the pruned ones. */
export const honestRows = ['unpruned', 'tuned', 'scratch'] as const
export type HonestRow = (typeof honestRows)[number]

export interface ExperimentSpec {
  readonly file: string
  readonly title: string
  readonly models: ReadonlyMap<string, ModelSpec>
  readonly data: ReadonlyMap<string, DataSpec>
  /** Options of `prune` that say how much goes. */
  readonly budgets: ReadonlyMap<string, Options>
  readonly methods: ReadonlyMap<string, MethodSpec>
  readonly seeds: readonly number[]
  /** Forward-backward passes over images of every pruned run, in all. */
  readonly passes: number
  /** Options of `prune` that all methods share. */
  readonly prune: Options
  readonly rows: readonly HonestRow[]
  /** The method that the others are compared with. */
  readonly reference: string
  /** Split to measure on. */
  readonly split?: string
  /** Split to train on. */
  readonly trainSplit?: string
  readonly threads?: number
  readonly ep?: string
  readonly resamples: number
  /** Timed runs of each row's first model; undefined: no latency. */
  readonly latencyRuns?: number
}

/** What the commands know of their options. */
export interface OptionRules {
  /** What is wrong with an option of a command (its key in camel case), in words that go on from the key; undefined: nothing. */
  fault(command: CommandName, key: string, value: unknown): string | undefined
}

const nameForm = /^[A-Za-z0-9][A-Za-z0-9.+-]*$/
const name = z.string().regex(nameForm, 'a name is made of letters, digits, ".", "+" and "-"; choose another one')
const named = <T extends z.ZodType>(schema: T) => z.record(name, schema).refine((v) => Object.keys(v).length > 0, 'is empty; give at least one')
// A key with nothing behind it is null in YAML: `l1:` alone is a method without options.
const options = z.record(z.string(), z.unknown()).nullable().transform((v) => v ?? {})
const whole = (min: number) => z.int(`must be a whole number from ${min}`).min(min, `must be a whole number from ${min}`)

const model = z.strictObject({ arch: z.string().optional(), file: z.string().min(1).optional(), weights: z.string().min(1).optional(), train: options.optional() })
  .refine((m) => (m.arch === undefined) !== (m.file === undefined), 'needs either "arch", a detector to train, or "file", a trained one')
  .refine((m) => m.file === undefined || (m.weights === undefined && m.train === undefined), '"weights" and "train" have no meaning beside "file", which is trained already; leave them out')
const data = z.union([z.string().min(1), z.strictObject({ path: z.string().min(1), limit: whole(1).optional() })], 'must be a folder (or the word shapes), or an object of path and limit')

const schema = z.strictObject({
  title: z.string().optional(),
  models: named(model),
  data: named(data),
  budgets: named(options),
  methods: named(options),
  seeds: z.array(whole(0)).min(1, 'is empty; give at least one seed').refine((v) => new Set(v).size === v.length, 'has a seed twice; leave one out'),
  passes: whole(1),
  prune: options.optional(),
  rows: z.array(z.enum(honestRows, `must be among ${honestRows.join(', ')}`)).optional(),
  reference: z.string().optional(),
  split: z.string().min(1).optional(),
  'train-split': z.string().min(1).optional(),
  threads: whole(1).optional(),
  ep: z.string().optional(),
  resamples: whole(100).default(1000),
  latency: z.strictObject({ runs: whole(1) }).optional(),
})

const known: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(schema.shape),
  models: Object.keys(model.shape),
  data: ['path', 'limit'],
  latency: ['runs'],
}

/** Reads the file's text; throws UserError naming file, line and key for the first fault. */
export function parseSpec(text: string, file: string, rules: OptionRules): ExperimentSpec {
  const yaml = readYaml(text, file)
  const parsed = schema.safeParse(yaml.value)
  if (!parsed.success) throw fault(parsed.error.issues[0]!, yaml)
  const raw = parsed.data
  const refuse = (path: Path, words: string): never => {
    throw new UserError(`${yaml.place(path)}: ${path.map(String).join('.')}: ${words}`)
  }
  const optionsAt = (command: CommandName, at: Path, given: Options): Options => Object.fromEntries(Object.entries(given).map(([key, value]) => {
    const camel = key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    const words = key === camel.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`) ? rules.fault(command, camel, value) : `is written as on the command line, with "-" between words; write "${camel.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}"`
    if (camel === 'method' || camel === 'arch') refuse([...at, key], `is said by "${camel === 'method' ? 'methods' : 'models'}"; leave it out here`)
    if (words !== undefined) refuse([...at, key], words)
    return [camel, value]
  }))
  const methods = mapOf(raw.methods, (given, key) => {
    const taken = [...honestRows, 'train'].find((row) => row === key)
    if (taken !== undefined) refuse(['methods', key], 'is the name of another row; choose another one')
    const { method = key, ...rest } = given
    const unknown = rules.fault('prune', 'method', method)
    if (unknown !== undefined) refuse(given.method === undefined ? ['methods', key] : ['methods', key, 'method'], `${given.method === undefined ? 'as a method, ' : ''}${unknown}${given.method === undefined ? '; or say which one it is, as in "method: lcp"' : ''}`)
    return { method: method as string, options: optionsAt('prune', ['methods', key], rest) }
  })
  const reference = raw.reference ?? (methods.has('lcp') ? 'lcp' : [...methods.keys()][0]!)
  if (!methods.has(reference)) refuse(['reference'], `"${reference}" is none of the methods ${[...methods.keys()].join(', ')}; name one of them`)
  // How a given detector was trained is not known, so nothing can be trained from scratch for as long.
  const given = Object.entries(raw.models).find(([, m]) => m.file !== undefined)?.[0]
  if (given !== undefined && raw.rows?.includes('scratch')) refuse(['rows'], `the row "scratch" is trained as the unpruned detector was, and the model "${given}" is given by its file; leave the row out, or give "arch"`)
  const rows = raw.rows ?? honestRows.filter((row) => given === undefined || row !== 'scratch')
  return {
    file,
    title: raw.title ?? file.replace(/^.*[/\\]/, '').replace(/\.ya?ml$/, ''),
    models: mapOf(raw.models, (m, key) => {
      const unknown = m.arch === undefined ? undefined : rules.fault('train', 'arch', m.arch)
      if (unknown !== undefined) refuse(['models', key, 'arch'], unknown)
      return { arch: m.arch, file: m.file, weights: m.weights, train: optionsAt('train', ['models', key, 'train'], m.train ?? {}) }
    }),
    data: mapOf(raw.data, (d) => (typeof d === 'string' ? { path: d } : d)),
    budgets: mapOf(raw.budgets, (b, key) => optionsAt('prune', ['budgets', key], b)),
    methods,
    seeds: raw.seeds,
    passes: raw.passes,
    prune: optionsAt('prune', ['prune'], raw.prune ?? {}),
    rows: honestRows.filter((row) => rows.includes(row)),
    reference,
    split: raw.split,
    trainSplit: raw['train-split'],
    threads: raw.threads,
    ep: raw.ep,
    resamples: raw.resamples,
    latencyRuns: raw.latency?.runs,
  }
}

function mapOf<T, U>(record: Readonly<Record<string, T>>, f: (value: T, key: string) => U): Map<string, U> {
  return new Map(Object.entries(record).map(([key, value]) => [key, f(value, key)]))
}

function fault(issue: z.core.$ZodIssue, yaml: PlacedYaml): UserError {
  const path = issue.path.map(String)
  const at = path.length > 0 ? `${path.join('.')}: ` : ''
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    const keys = known[path[0] ?? ''] ?? []
    return new UserError(`${yaml.place([...issue.path, key])}: ${at}"${key}" is no key of an experiment here; known are ${keys.join(', ')}`)
  }
  const missing = issue.code === 'invalid_type' && issue.input === undefined && path.length > 0 && !has(yaml.value, issue.path)
  if (missing) return new UserError(`${yaml.place(issue.path)}: ${at}is missing; see docs/experiments.md for the keys`)
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
  return new UserError(`${yaml.place(issue.path)}: ${at}${message.replace(/^Invalid input: expected /, 'must be of the kind ')}; see docs/experiments.md for the keys`)
}

function has(value: unknown, path: Path): boolean {
  let at = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !(key in at)) return false
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return true
}
