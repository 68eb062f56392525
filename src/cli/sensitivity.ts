/** @file inspect --sensitivity: each channel group cut alone, the harm to the outputs measured on images, told and drawn. */
import { basename } from 'node:path'
import type { Dataset } from '../detection/annotation.ts'
import { l1 } from '../pruning/criteria/l1.ts'
import { findGroups, wholeReason } from '../pruning/groups.ts'
import { type CutHarm, measureSensitivity, type Sensitivity, sensitivityShares } from '../pruning/sensitivity.ts'
import { widthCost } from '../pruning/width-cost.ts'
import { nodeRuntime } from '../runtime/node.ts'
import { createRng, shuffled } from '../tensor/rng.ts'
import type { Detector } from '../train/detector.ts'
import { evaluate } from '../train/evaluate.ts'
import { imageRuns, type ImageSource } from '../train/source.ts'
import type { Context } from './context.ts'
import { listed } from './group-table.ts'
import { allSkipped, skippedJson, tellSkipped } from './measures.ts'
import { openData } from './open-source.ts'
import { both, openRunFolder, versionsOf } from './run-folder.ts'
import type { SensitivityOptions } from './sensitivity-options.ts'
import { sessionOptions } from './session.ts'
import { percent, score, shortened, table } from './table.ts'
import { assertTakesImages } from './takes-images.ts'

const files = ['sensitivity.json', 'sensitivity.svg']

export interface SensitivityRequest {
  readonly detector: Detector
  readonly path: string
  readonly options: SensitivityOptions & { readonly data: string }
  readonly context: Context
  /** Whether the model's multiply-accumulates can be counted. */
  readonly countMacs: boolean
}

/** Measures, and writes what --out asks for. Returns what --json and the text show. */
export async function runSensitivity({ detector, path, options, context, countMacs }: SensitivityRequest) {
  const run = options.out === undefined ? undefined : await openRunFolder(options.out, { force: options.force, files, command: `inspect ${path} ${JSON.stringify(options)}` })
  const { model, card } = detector
  assertTakesImages(model, card.input, path, 'sensitivity')
  const groups = findGroups(model).filter((g) => wholeReason(g) === undefined)
  const source = await openImages(options, options.ap ? card.classes : undefined, context, run?.log)
  const { loader, batch, runs, inputs } = imageRuns(detector, source)
  const session = sessionOptions(options, path)
  const work = async () => {
    const start = performance.now()
    const found = await measureSensitivity(model, {
      runtime: nodeRuntime,
      session,
      groups,
      criterion: l1,
      shares: sensitivityShares,
      seed: options.seed,
      inputs: inputs(),
      runs,
      ...(options.ap && { score: async (runtime) => (await evaluate(detector, source, { runtime, session, batch: batch })).AP }),
      listener: run ? both(context.listener, run.listener) : context.listener,
    })
    const skipped = allSkipped(source.dataset.skipped, loader.skipped)
    tellSkipped(skipped, context, run?.log)
    const json = {
      ...sensitivityJson(found, countMacs ? widthCost(model, groups) : undefined),
      split: source.dataset.split,
      images: source.dataset.samples.length - loader.skipped.length,
      seed: options.seed,
      seconds: (performance.now() - start) / 1000,
      ...skippedJson(skipped),
    }
    if (run) {
      const { sensitivitySvg } = await import('./sensitivity-svg.ts')
      const picture = sensitivitySvg({ title: `Sensitivity of ${basename(path)}`, subtitle: about(json), groups: plotted(json.groups), ...(json.AP !== undefined && { score: json.AP }) })
      const record = { model: path, data: options.data, split: json.split, images: json.images, seed: options.seed, seconds: json.seconds, ...skippedJson(skipped), options, versions: await versionsOf(options) }
      await run.finish({ 'sensitivity.json': `${JSON.stringify({ model: path, ...json }, null, 2)}\n`, 'sensitivity.svg': picture }, record)
    }
    return { json, text: `${tableOf(json)}${run ? `\n\nwritten to ${run.path}` : ''}` }
  }
  if (!run) return work()
  let result: Awaited<ReturnType<typeof work>> | undefined
  await run.during(async () => void (result = await work()))
  return result!
}

/** A fixed set of images, drawn by seed; never the test split unless it is asked for, since widths may be chosen by what is found. */
async function openImages(options: SensitivityRequest['options'], classes: readonly string[] | undefined, context: Context, log?: (text: string) => void): Promise<ImageSource> {
  const data = await openData({ data: options.data }, context, log, classes === undefined)
  const split = options.split ?? ['val', 'train'].find((name) => data.splits.includes(name)) ?? 'all'
  const source = await data.open(split, classes)
  const samples = shuffled(source.dataset.samples, createRng(`${options.seed}/sensitivity`)).slice(0, options.images)
  const dataset: Dataset = { ...source.dataset, samples }
  // Scoring reads the images once for every cut.
  const read = new Map<string, ReturnType<ImageSource['readImage']>>()
  const readImage: ImageSource['readImage'] = (sample) => read.get(sample.id) ?? read.set(sample.id, source.readImage(sample)).get(sample.id)!
  return { ...source, dataset, ...(classes && { readImage, pixels: undefined }) }
}

type CutJson = Omit<CutHarm, 'score'> & { readonly params?: number; readonly macs?: number; readonly AP?: number }
interface GroupJson {
  readonly id: string
  readonly channels: number
  readonly coupled: boolean
  readonly cuts: readonly CutJson[]
}

/** The most harmful group first, by its middle cut. */
function sensitivityJson(found: Sensitivity, width: ReturnType<typeof widthCost> | undefined) {
  const full = found.groups.map(({ group }) => group.channels)
  const middle = sensitivityShares.length >> 1
  const groups = found.groups.map(({ group, cuts }, i): GroupJson => ({
    id: group.id,
    channels: group.channels,
    coupled: group.coupled,
    cuts: cuts.map(({ score: AP, ...cut }) => ({ ...cut, ...width?.(full.map((n, k) => (k === i ? cut.kept : n))), ...(AP !== undefined && { AP }) })),
  }))
  const rank = ({ cuts }: GroupJson): number => (Number.isFinite(cuts[middle]!.harm) ? cuts[middle]!.harm : Infinity)
  return {
    criterion: l1.name,
    shares: sensitivityShares,
    outputs: found.outputs,
    leftOut: found.leftOut,
    ...(width && { params: width(full).params, macs: width(full).macs }),
    ...(found.score !== undefined && { AP: found.score }),
    groups: [...groups].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a))),
  }
}

type SensitivityJson = ReturnType<typeof sensitivityJson> & { readonly split: string; readonly images: number; readonly seed: number }

function about({ images, split, seed, outputs }: SensitivityJson): string {
  return `${images} images of split "${split}", seed ${seed}; ${outputs.length === 1 ? `output ${outputs[0]}` : `mean over ${outputs.length} outputs`}`
}

function plotted(groups: readonly GroupJson[]) {
  return groups.map(({ id, channels, cuts }) => ({ id, channels, cuts: cuts.map(({ share, harm, AP }) => ({ share, harm, ...(AP !== undefined && { score: AP }) })) }))
}

function tableOf(json: SensitivityJson): string {
  const shares = sensitivityShares.map((s) => `${Math.round(s * 100)}%`)
  const middle = shares.length >> 1
  const header = ['group', 'channels', 'kind', ...shares.map((s) => `harm ${s}`), ...(json.AP === undefined ? [] : shares.map((s) => `AP ${s}`)), ...(json.params === undefined ? [] : ['params', 'MACs'])]
  const rows = json.groups.map(({ id, channels, coupled, cuts }) => {
    const { params = 0, macs = 0 } = cuts[middle]!
    return [
      shortened(id, 32), String(channels), coupled ? 'coupled' : 'inner',
      ...cuts.map((c) => (Number.isFinite(c.harm) ? c.harm.toFixed(3) : 'not finite')),
      ...(json.AP === undefined ? [] : cuts.map((c) => score(c.AP ?? -1))),
      ...(json.params === undefined ? [] : [`-${percent(1 - params / json.params)}`, `-${percent(1 - macs / json.macs!)}`]),
    ]
  })
  return [
    'sensitivity: each group cut alone, the channels of lowest L1 norm first',
    about(json),
    '',
    table(header, rows, [true, false, true]),
    '',
    `harm: relative RMS difference of the outputs (${listed(json.outputs, 40)}) from the uncut model's; sorted by ${shares[middle]}`,
    ...(json.params === undefined ? [] : [`params, MACs: what the model loses by the cut of ${shares[middle]}`]),
    ...(json.AP === undefined ? [] : [`AP of the uncut model on these images: ${score(json.AP)}`]),
    ...json.leftOut.map((why) => `not compared: ${why}`),
  ].join('\n')
}
