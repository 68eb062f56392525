/** @file Options of how much is pruned, from which groups and in how many steps, and what they become. */
import { savedSize, saveModel } from '../onnx/save.ts'
import type { Model } from '../ir/graph.ts'
import { fileSizeText } from '../pruning/goals.ts'
import type { RoundsOptions } from '../pruning/prune.ts'
import { type BudgetRequest, rankings } from '../pruning/request.ts'
import { widthRules } from '../pruning/widths.ts'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { choice, flagName, number, type OptionsOf, optionalNumber, text, texts } from './fields.ts'
import { asksLatency, cacheField, latencyFields, parseTime } from './latency.ts'

const defaultWidthImages = 32
const defaultRoundEpochs = 1
const share = { above: 0, below: 1 } as const
const count = { whole: true, min: 1 } as const

export const budgetFields = {
  removeParams: optionalNumber('SHARE', 'share of the parameters to remove, between 0 and 1', share),
  removeMacs: optionalNumber('SHARE', 'share of the multiply-accumulates to remove, between 0 and 1', share),
  removeChannels: optionalNumber('SHARE', 'share of the channels to remove, between 0 and 1, of the groups that may be cut', share),
  maxSize: text('SIZE', 'what the written ONNX file may take: 3MB (3,000,000 bytes), 500KB, 3MiB'),
  ...latencyFields,
  ...cacheField,
  round: number('N', 'widths are multiples of this', 8, count),
  ranking: choice(rankings, 'uniform: each channel group keeps the best of its own; global: the channels of all groups stand in one order, by score over the mean of the group, so that groups differ in what they lose', 'uniform'),
  widths: choice(widthRules, 'uniform: one ratio for all channel groups; sensitive: groups that the outputs can spare lose more, as measured by cutting each alone on images of --data; curvature: the same by what the outputs would lose if the kept weights made up for the others, on --images images', 'uniform'),
  widthImages: optionalNumber('N', `images that sensitive widths are measured on (default: ${defaultWidthImages})`, count),
  widthLimit: optionalNumber('SHARE', 'share of its channels that sensitive widths and those by curvature take of no group more (default: all but the least width)', share),
  groups: choice(['inner', 'all'], 'inner: channels that one layer makes, as in the paper; all: residual streams too', 'inner'),
  keep: texts('NAMES', 'layers to leave as they are, inputs and outputs: names of nodes, weights or groups (see inspect), with commas between, * for any letters; may be given again'),
}

export const roundFields = {
  rounds: number('N', 'steps in which the budget is reached, with training between them', 1, count),
  roundEpochs: optionalNumber('N', `epochs of training between steps (default: ${defaultRoundEpochs})`, { whole: true, min: 0 }),
}

/** Options of which some say how much must go. All that are given are met; but a time is given once. */
export const budgetKeys = ['removeParams', 'removeMacs', 'removeChannels', 'maxSize', 'latency', 'speedup'] as const satisfies readonly (keyof typeof budgetFields)[]

/** `epsilon`: where nothing else is asked for, greedy selection decides by it how much goes. */
export function budgetOf(options: OptionsOf<typeof budgetFields>, epsilon?: number): BudgetRequest {
  const { removeParams, removeMacs, removeChannels, round, ranking, groups, widths, widthImages, widthLimit } = options
  const idle = (['widthImages', 'widthLimit'] as const).find((key) => options[key] !== undefined && (widths === 'uniform' || (key === 'widthImages' && widths === 'curvature')))
  if (idle !== undefined) throw new UserError(`--${flagName(idle)} has no meaning with --widths ${widths}; give --widths sensitive too, or leave it out`)
  const measured = widths !== 'uniform'
  if (measured && ranking === 'global') throw new UserError(`--ranking global and --widths ${widths} both decide what each group loses, the one by scores, the other by what outputs suffer; give one of them`)
  const adaptive = budgetKeys.every((key) => options[key] === undefined)
  if (adaptive && epsilon === undefined) throw new UserError('no budget: give --remove-params or --remove-macs, for instance --remove-params 0.7; or --remove-channels; --max-size, for instance 3MB; --latency or --speedup, for instance --speedup 2; or --epsilon, with greedy selection')
  if (adaptive && (measured || ranking === 'global')) throw new UserError(`--${measured ? `widths ${widths}` : 'ranking global'} shares out a budget, and --epsilon alone sets none; give --remove-params or another one too, or leave it out`)
  if (options.latency !== undefined && options.speedup !== undefined) throw new UserError('--latency and --speedup are both given; give one of them')
  if (!options.cache && !asksLatency(options)) throw new UserError('--no-cache has no meaning without --latency or --speedup; give one of them, or leave it out')
  if (options.latency !== undefined) parseTime(options.latency)
  const maxSize = options.maxSize === undefined ? undefined : parseSize(options.maxSize)
  return { removeParams, removeMacs, removeChannels, maxSize, adaptive, round, ranking, groups, keep: keptNames(options.keep), widths: { rule: widths, images: widthImages ?? defaultWidthImages, limit: widthLimit } }
}

/** Throws UserError where training between steps is asked for, and there is one step; or several have no budget to divide. */
export function roundsOf({ rounds, roundEpochs }: OptionsOf<typeof roundFields>, { adaptive = false }: BudgetRequest): RoundsOptions {
  if (rounds === 1 && roundEpochs !== undefined) throw new UserError('--round-epochs has no meaning with a single step; give --rounds too, or leave it out')
  if (rounds > 1 && adaptive) throw new UserError('--rounds divides a budget into steps, and --epsilon alone sets none; give --remove-params or another one too, or leave --rounds out')
  return { count: rounds, epochs: roundEpochs ?? defaultRoundEpochs }
}

function keptNames(given: readonly string[] | undefined): string[] {
  const names = (given ?? []).flatMap((text) => text.split(',')).map((name) => name.trim())
  if (names.includes('')) throw new UserError(`--keep "${given!.join('", "')}" has an empty name; give names with commas between`)
  return names
}

const sizeUnits: Readonly<Record<string, number>> = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 }

/** "3MB" (10^6), "3MiB" (2^20), "500 KB", "120000" -> bytes. Throws UserError. */
export function parseSize(given: string): number {
  const [, digits, unit = 'b'] = /^(\d+(?:\.\d+)?|\.\d+) ?([kmg]i?b|b)?$/i.exec(given.trim()) ?? []
  const bytes = Math.floor(Number(digits) * sizeUnits[unit.toLowerCase()]!)
  if (digits === undefined || !(bytes > 0)) throw new UserError(`--max-size must be a size above 0 such as 3MB, 500KB or 3MiB, not "${given}"`)
  return bytes
}

/** What the record says of a file whose size was limited. */
export function sizeJson(model: Model, { maxSize }: Pick<BudgetRequest, 'maxSize'>) {
  return maxSize === undefined ? undefined : { limitBytes: maxSize, bytes: savedSize(model) }
}

export function sizeText({ limitBytes, bytes }: { readonly limitBytes: number; readonly bytes: number }): string {
  return `file ${fileSizeText(bytes)}, ${fileSizeText(limitBytes)} allowed`
}

/** Writes the pruned model. What is on the disk then keeps the size that was allowed, or is removed and UserError thrown. */
export async function savePruned(path: string, model: Model, { maxSize }: Pick<BudgetRequest, 'maxSize'>): Promise<void> {
  const store = nodeStore()
  await saveModel(store, path, model)
  if (maxSize === undefined) return
  const written = [path, `${path}.data`]
  let bytes = 0
  for (const file of written) bytes += (await store.stat(file))?.size ?? 0
  if (bytes <= maxSize) return
  for (const file of written) await store.remove(file)
  throw new UserError(`${path}: takes ${fileSizeText(bytes)} as written, more than --max-size ${maxSize} bytes; it is removed again. Ask for a little less`)
}
