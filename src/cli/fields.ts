/** @file Options of a command as data: one flat typed object, checked by schema, from which the flags and their help follow. */
import { z } from 'zod'
import { UserError } from '../tensor/error.ts'

/** One option. `T` is its type in the options object. */
export interface Field<T> {
  readonly schema: z.ZodType<T>
  readonly kind: 'text' | 'number' | 'flag'
  /** Name of the value in help: "DIR". */
  readonly value: string
  readonly about: string
  readonly fallback?: T
  readonly required: boolean
  /** May be given several times; the values in their order. */
  readonly repeated?: boolean
}

export type Fields = Readonly<Record<string, Field<unknown>>>
export type OptionsOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never }

/** Text that must be given. */
export function required(value: string, about: string): Field<string> {
  return { schema: z.string().min(1, 'must not be empty'), kind: 'text', value, about, required: true }
}

export function text(value: string, about: string): Field<string | undefined> {
  return { schema: z.string().min(1, 'must not be empty').optional(), kind: 'text', value, about, required: false }
}

/** Text that may be given several times. */
export function texts(value: string, about: string): Field<readonly string[] | undefined> {
  return { schema: z.array(z.string().min(1, 'must not be empty')).optional(), kind: 'text', value, about, required: false, repeated: true }
}

/** One of some words. */
export function choice<T extends string>(values: readonly T[], about: string, fallback: T): Field<T> {
  return { ...word(values), schema: word(values).schema.default(fallback as never), about, fallback, required: false }
}

export function optionalChoice<T extends string>(values: readonly T[], about: string): Field<T | undefined> {
  return { ...word(values), schema: word(values).schema.optional(), about, required: false }
}

function word<T extends string>(values: readonly T[]) {
  const schema = z.custom<T>((v) => values.some((known) => known === v), { error: `must be one of ${values.join(', ')}` })
  return { schema, kind: 'text', value: values.join('|') } as const
}

/** What a number must be; `above` and `below` exclude the bound itself. */
export interface NumberRule {
  readonly min?: number
  readonly max?: number
  readonly above?: number
  readonly below?: number
  readonly whole?: boolean
}

export function number(value: string, about: string, fallback: number, rule: NumberRule = {}): Field<number> {
  return { schema: ruled(rule).default(fallback), kind: 'number', value, about, fallback, required: false }
}

export function optionalNumber(value: string, about: string, rule: NumberRule = {}): Field<number | undefined> {
  return { schema: ruled(rule).optional(), kind: 'number', value, about, required: false }
}

function ruled({ min, max, above, below, whole }: NumberRule): z.ZodType<number> {
  const bounds = [min !== undefined && `from ${min}`, above !== undefined && `above ${above}`, max !== undefined && `to ${max}`, below !== undefined && `below ${below}`]
  const error = `must be ${whole ? 'a whole number' : 'a number'} ${bounds.filter((x) => x !== false).join(' and ')}`.trimEnd()
  const fits = (v: number): boolean =>
    (!whole || Number.isSafeInteger(v)) && v >= (min ?? -Infinity) && v <= (max ?? Infinity) && v > (above ?? -Infinity) && v < (below ?? Infinity)
  return z.number({ error }).refine(fits, { error })
}

/** A switch, off unless given; with `fallback` true it is on, and its flag is `--no-...`. */
export function flag(about: string, fallback = false): Field<boolean> {
  return { schema: z.boolean().default(fallback), kind: 'flag', value: '', about, fallback, required: false }
}

/** "remove-params" for "removeParams". */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)
}

/** Options as the command line gives them (numbers still as text) -> checked options. Throws UserError naming the flag. */
export function parseOptions<F extends Fields>(fields: F, raw: Readonly<Record<string, unknown>>): OptionsOf<F> {
  const given = Object.fromEntries(Object.entries(raw).map(([key, value]) => {
    const asNumber = fields[key]?.kind === 'number' && typeof value === 'string'
    return [key, asNumber ? (value.trim() === '' ? Number.NaN : Number(value)) : value]
  }))
  const parsed = z.strictObject(Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.schema]))).safeParse(given)
  if (parsed.success) return parsed.data as OptionsOf<F>
  const issue = parsed.error.issues[0]!
  const key = String(issue.path[0] ?? '')
  if (key === '') throw new UserError(`unknown options: ${issue.message}`)
  throw new UserError(`--${flagName(key)} ${issue.message}, not "${String(raw[key])}"`)
}
