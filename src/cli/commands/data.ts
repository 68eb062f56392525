/** @file espalier data: what to download of a public data set, where to put it, and whether it is all there. Downloads nothing. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { imageSize } from '../../data/image-node.ts'
import { openDataset } from '../../data/open.ts'
import { nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { flag, text } from '../fields.ts'
import { type Archive, type PublicData, publicData, publicNames, type SplitFacts } from '../public-data.ts'
import { table } from '../table.ts'

/** Problems of the files that are told one by one. */
const toldProblems = 5

export default defineCommand({
  arguments: [['<name>', `public data set: ${publicNames.join(' or ')}`]],
  fields: {
    dir: text('DIR', 'folder that the data is in, or is to be in; without it, only what to download is told'),
    sums: flag('check the MD5 sums of the archives in DIR too (reads them whole)'),
  },
  examples: ['data voc', 'data voc --dir data/voc', 'data coco --dir data/coco --sums'],
  details: 'Says what to download and how it must lie; with --dir, counts the images and boxes of every split. Downloads nothing. The exit code is 2 where something is missing.',
  async run({ dir, sums }, [name = ''], context) {
    const known = publicNames.find((other) => other === name)
    if (known === undefined) throw new UserError(`data set "${name}" is not known; known are ${publicNames.join(' and ')}. Any other folder of labelled images (VOC, COCO or YOLO) is opened by --data as it is`)
    if (dir === undefined && sums) throw new UserError('--sums checks the archives in a folder; give --dir too')
    const facts: PublicData = publicData[known]
    const about = { name, title: facts.title, archives: facts.archives, unpack: facts.unpack.map((line) => at(line, dir)), layout: facts.layout.map((line) => at(line, dir)) }
    if (dir === undefined) return context.result(about, instructions(facts, dir))
    const splits: SplitState[] = []
    for (const split of facts.splits) splits.push(await checkSplit(dir, split, context))
    const archives = sums ? await Promise.all(facts.archives.map((archive) => checkArchive(dir, archive))) : undefined
    const faults = [
      ...splits.flatMap(({ folder, split, images, wanted, error }) => (images === wanted ? [] : [`${join(folder, split)}: ${images} of ${wanted} images${error === undefined ? '' : ` (${error})`}`])),
      ...(archives ?? []).flatMap(({ file, state }) => (state === 'differs' ? [`${file}: its MD5 sum is not the published one; download it again`] : [])),
    ]
    const complete = faults.length === 0
    const tables = [splitTable(splits), ...(archives ? [table(['archive', 'MD5'], archives.map(({ file, state }) => [file, state]), true)] : [])]
    context.result({ ...about, dir, complete, splits, ...(archives && { sums: archives }) }, [...(complete ? [] : [instructions(facts, dir)]), ...tables, ...(complete ? [`${facts.title} is complete: ${at(facts.next, dir)}`] : [])].join('\n\n'))
    if (!complete) throw new UserError(`${dir}: ${facts.title} is not complete: ${faults.join('; ')}. Download and unpack what "espalier data ${name}" lists`)
  },
})

function at(line: string, dir: string | undefined): string {
  return dir === undefined ? line : line.replaceAll('DIR', dir)
}

function instructions(facts: PublicData, dir: string | undefined): string {
  return [
    `${facts.title}: download into ${dir ?? 'a folder DIR'} (MD5 sums beside)`,
    ...facts.archives.map(({ url, md5 }) => `  ${url}  ${md5}`),
    'unpack:',
    ...facts.unpack.map((line) => `  ${at(line, dir)}`),
    'then there are:',
    ...facts.layout.map((line) => `  ${at(line, dir)}`),
    `use: ${at(facts.next, dir)}`,
  ].join('\n')
}

interface SplitState {
  readonly folder: string
  readonly split: string
  /** Images that are there with their annotation. */
  readonly images: number
  readonly wanted: number
  readonly boxes: number
  readonly classes: number
  /** Images and boxes that were mended or dropped. */
  readonly problems: number
  /** Why the split cannot be opened. */
  readonly error?: string
}

async function checkSplit(dir: string, { folder, split, images: wanted }: SplitFacts, context: Context): Promise<SplitState> {
  const root = folder === '' ? dir : join(dir, folder)
  try {
    const { samples, classes, problems } = await openDataset(nodeStore(), root, { split, imageSize })
    for (const problem of problems.slice(0, toldProblems)) context.note(problem)
    if (problems.length > toldProblems) context.note(`... and ${problems.length - toldProblems} more problems in split "${split}" of ${root}`)
    return { folder, split, images: samples.length, wanted, boxes: samples.reduce((sum, s) => sum + s.truth.labels.length, 0), classes: classes.length, problems: problems.length }
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return { folder, split, images: 0, wanted, boxes: 0, classes: 0, problems: 0, error: error.message }
  }
}

function splitTable(splits: readonly SplitState[]): string {
  const rows = splits.map((s) => [join(s.folder, s.split), String(s.images), String(s.wanted), String(s.boxes), String(s.classes), String(s.problems), s.images === s.wanted ? 'ok' : 'NOT COMPLETE'])
  return table(['split', 'images', 'of', 'boxes', 'classes', 'problems', ''], rows, [true, false, false, false, false, false, true])
}

/** An archive may be gone once it is unpacked. */
async function checkArchive(dir: string, { file, md5 }: Archive): Promise<{ readonly file: string; readonly state: 'ok' | 'differs' | 'not there' }> {
  const path = join(dir, file)
  if (!(await nodeStore().stat(path))) return { file, state: 'not there' }
  const hash = createHash('md5')
  for await (const part of createReadStream(path)) hash.update(part as Uint8Array)
  return { file, state: hash.digest('hex') === md5 ? 'ok' : 'differs' }
}
