/** @file What lies in the folder of a run: a finished run, with the options that it was to have; or less than that. */
import { z } from 'zod'
import { detectionsName } from '../metrics/detections-file.ts'
import type { Store } from '../storage/store.ts'
import { modelFile, type Run } from './grid.ts'
import type { Options } from './spec.ts'

const numbers = z.object({
  params: z.number(), macs: z.number(),
  AP: z.number(), AP50: z.number(), AP75: z.number(), APs: z.number(), APm: z.number(), APl: z.number(),
})
const options = z.record(z.string(), z.unknown())
const trained = numbers.extend({ passes: z.number(), seconds: z.number(), options, modelSha256: z.string().optional() })
const pruned = z.object({
  after: numbers, cut: numbers, passes: z.object({ total: z.number() }), seconds: z.number(), options,
  widths: z.record(z.string(), z.object({ after: z.number() })),
})
const plan = z.object({ model: z.object({ sha256: z.string() }) })

/** What a finished run says, in one form for all commands. */
export interface RunRecord extends z.infer<typeof numbers> {
  /** AP just after the cut; of runs that prune. */
  readonly cutAP?: number
  readonly passes: number
  readonly seconds: number
  /** Bytes of the model on disk. */
  readonly bytes: number
  /** Channels kept, by group; of runs that prune. */
  readonly widths?: Readonly<Record<string, number>>
}

export type RunState =
  | { readonly type: 'absent' }
  /** `why`: what is missing or broken. */
  | { readonly type: 'unfinished'; readonly why: string }
  /** Finished, but otherwise than asked for: `what`, in words. */
  | { readonly type: 'differs'; readonly what: string; readonly record: RunRecord }
  | { readonly type: 'finished'; readonly record: RunRecord }

export interface Expected {
  /** The options, complete. */
  readonly options: Options
  /** Checksum of the model that the run starts from; undefined: it is not made yet. */
  readonly sha256?: string
}

/** Begins `why` of a run that failed. */
export const failedPrefix = 'failed: '

/** Options that do not change what comes out, or that name files by a path, which may differ from place to place: the checksum of the model, and that of the data, say more. */
const pathsAndManners = new Set(['out', 'force', 'data', 'like', 'json', 'quiet', 'debug'])

/** Looks into the run's folder `path`. Never throws for what lies there. */
export async function stateOf(store: Store, path: string, run: Run, expected: Expected): Promise<RunState> {
  if (!(await store.stat(path))) return { type: 'absent' }
  const unfinished = (why: string): RunState => ({ type: 'unfinished', why })
  const text = (name: string): Promise<string | undefined> => store.readText(`${path}/${name}`).catch(() => undefined)
  const recordText = await text('run.json')
  if (recordText === undefined) return unfinished(failureOf(await text('log.txt')) ?? 'was interrupted')
  const json = parseJson(recordText)
  const parsed = run.kind === 'prune' ? pruned.safeParse(json) : trained.safeParse(json)
  if (!parsed.success) return unfinished('its run.json is broken')
  const model = await store.stat(`${path}/${modelFile(run.kind)}`)
  if (!model) return unfinished(`its ${modelFile(run.kind)} is missing`)
  if (!(await store.stat(`${path}/${detectionsName}`))) return unfinished(`its ${detectionsName} is missing`)
  const bytes = model.size + ((await store.stat(`${path}/${modelFile(run.kind)}.data`))?.size ?? 0)
  const { data } = parsed
  const record: RunRecord = 'after' in data
    ? { ...data.after, cutAP: data.cut.AP, passes: data.passes.total, seconds: data.seconds, bytes, widths: Object.fromEntries(Object.entries(data.widths).map(([group, { after }]) => [group, after])) }
    : { ...numbers.parse(data), passes: data.passes, seconds: data.seconds, bytes }
  const made = 'after' in data ? plan.safeParse(parseJson((await text('plan.json')) ?? '')).data?.model.sha256 : data.modelSha256
  const what = differenceOf(data.options, expected.options, run.options)
    ?? (expected.sha256 !== undefined && made !== expected.sha256 ? `${run.from === undefined ? 'its model is not the file that the experiment names' : `it was made from another model than that of ${run.from}`}` : undefined)
  return what === undefined ? { type: 'finished', record } : { type: 'differs', what, record }
}

/** The first option that is not as expected. One that the record does not know and nobody gave has its default: it is newer than the run. */
function differenceOf(made: Options, expected: Options, given: Options): string | undefined {
  const plain = JSON.parse(JSON.stringify(expected)) as Options
  for (const key of new Set([...Object.keys(made), ...Object.keys(plain)])) {
    if (pathsAndManners.has(key) || (made[key] === undefined && given[key] === undefined)) continue
    const [had, wanted] = [made[key], plain[key]].map((v) => (v === undefined ? 'not given' : JSON.stringify(v)))
    if (had !== wanted) return `its option ${key} is ${had}, the experiment's is ${wanted}`
  }
  return undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** How the last attempt failed, by its log: the first line of the message. */
function failureOf(log: string | undefined): string | undefined {
  const last = log?.split('\n').reverse().find((line) => /^\S+ (failed: |done$|interrupted$)/.test(line))
  const message = last && /failed: (?:\w*Error: )?(.*)$/.exec(last)?.[1]
  return message ? `${failedPrefix}${message}` : undefined
}
