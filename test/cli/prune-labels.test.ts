/** @file prune's images: whose boxes count in them (--labels), and further folders (--more-images). Few images, the demo's trained detector. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { shared, sharedIt } from '../support/shared.ts'
import { cli, cliJson, drawing, filesIn, type Json, put, putModel, readJson, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const model = fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url))
const folder = temporaryFolder()
const l1 = ['--method', 'l1', '--remove-params', '0.3', '--threads', '1']
const small = ['--finetune-epochs', '1', '--batch', '4']
let drawings: readonly Uint8Array[] = []
/** Images alone. */
let plain = ''

beforeAll(async () => {
  drawings = await Promise.all(Array.from({ length: 9 }, (_, i) => drawing(i, 'jpeg')))
  plain = join(folder, 'plain')
  for (const [i, bytes] of drawings.entries()) await put(plain, `${i}.jpg`, bytes)
})

const log = (run: string): string => readFileSync(join(run, 'log.txt'), 'utf8')

/** How many boxes `predict` finds in images, image by image: the oracle for labels. */
async function detected(paths: readonly string[], threshold: number): Promise<number[]> {
  const { images } = await cliJson('predict', model, ...paths, '--threads', '1', '--out', join(folder, 'predicted')) as unknown as { images: { detections: { score: number }[] }[] }
  return images.map(({ detections }) => detections.filter((d) => d.score >= threshold).length)
}

const countOf = (found: readonly number[]): string => `${found.reduce((sum, n) => sum + n, 0)} boxes in ${found.filter((n) => n > 0).length} of ${found.length} images`

describe('--labels teacher', () => {
  it('labels images without labels by the unpruned detector, to train on and to measure with', async () => {
    const run = join(folder, 'plain-run')
    const { code, out, err } = await cli('prune', model, '--data', plain, '--labels', 'teacher', ...l1, ...small, '--out', run)
    expect(code, err).toBe(0)
    const found = await detected(drawings.map((_, i) => join(plain, `${i}.jpg`)), 0.4)
    expect(found.some((n) => n > 0)).toBe(true)
    const record = readJson(join(run, 'run.json')) as Json & { before: { AP: number; images: number }; after: { AP: number } }
    // The detector agrees with itself, since its labels are its best detections; what is left of it does less.
    expect(record).toMatchObject({ labels: 'teacher', split: 'all', passes: { finetune: 8 }, certificate: { ok: true }, before: { images: 9, AP: expect.closeTo(1, 6) } })
    expect(record.after.AP).toBeLessThan(1)
    for (const text of [err, log(run)]) {
      expect(text).toContain(`${plain}: has no labels, so split "all" is labelled with the unpruned detector's own detections scored 0.4 or higher: AP is agreement with the unpruned detector, not with the truth`)
      expect(text).toContain(`split "all": ${countOf(found)}: the unpruned detector's own detections`)
    }
    expect(out).toContain('measured on split "all" against the unpruned detector\'s own detections; written to')
    // A cut is proven on images; labels say nothing of it.
    const replay = ['--plan', join(run, 'plan.json'), '--data', plain, '--threads', '1', '--out', join(folder, 'plain-replayed')]
    expect(await cliJson('prune', model, ...replay)).toMatchObject({ certificate: { ok: true, images: 2, sameWeights: true } })
  })

  it('leaves the measured split its own labels where the model knows their classes', async () => {
    const few = ['--data', 'shapes', '--limit', '8', '--threads', '1']
    const run = join(folder, 'shapes-run')
    const json = await cliJson('prune', model, ...few, '--labels', 'teacher', '--label-threshold', '0.6', ...l1, ...small, '--out', run)
    const { AP, AP50 } = await cliJson('eval', model, ...few)
    expect(AP).toBeLessThan(0.99)
    expect(json).toMatchObject({ labels: 'data', before: { AP, AP50 } })
    expect(log(run)).toMatch(/split "train": \d+ boxes in \d of 8 images: .* scored 0\.6 or higher/)
    expect(log(run)).not.toMatch(/split "test": \d+ boxes/)
  })

  it('takes data whose classes the model lacks; all of it is measured against the detector then', async () => {
    const data = await yoloFolder(join(folder, 'zebras'), ['zebra', 'disc'], { train: drawings.slice(0, 4), val: drawings.slice(4, 6), test: drawings.slice(4, 9) })
    const run = join(folder, 'zebras-run')
    const { code, err } = await cli('prune', model, '--data', data, '--labels', 'teacher', ...l1, ...small, '--out', run)
    expect(code, err).toBe(0)
    expect(err).toContain(`${data}: its class zebra is unknown to the model, so split "test" is labelled`)
    expect(readJson(join(run, 'run.json'))).toMatchObject({ labels: 'teacher', before: { AP: expect.closeTo(1, 6) } })
    for (const split of ['train', 'val', 'test']) expect(log(run)).toMatch(new RegExp(`split "${split}": \\d+ boxes in`))
  })

  it('serves lcp, whose auxiliary networks see the images in which something was found', async () => {
    const found = await detected(drawings.map((_, i) => join(plain, `${i}.jpg`)), 0.93)
    expect(found).toContain(0)
    const run = join(folder, 'lcp')
    const json = await cliJson('prune', model, '--data', plain, '--labels', 'teacher', '--label-threshold', '0.93', '--remove-params', '0.3', '--batch', '2', '--images', '2',
      '--stages', 'layer2.0.out', '--stage-epochs', '1', '--update-epochs', '0', '--boxes', '8', '--threads', '1', '--dry-run', '--out', run)
    // One stage end and what follows, an epoch each; a batch that is not full is left out.
    expect(json).toMatchObject({ measured: false, passes: { stage: 2 * 2 * Math.floor(found.filter((n) => n > 0).length / 2) } })
    expect(json.labels).toBeUndefined()
  })

  it('leaves nothing but the log where the detector finds nothing', async () => {
    const run = join(folder, 'nothing')
    const blind = await putModel(folder, 'random.onnx', smallDetector())
    const { code, err } = await cli('prune', blind, '--data', plain, '--labels', 'teacher', '--label-threshold', '0.999', ...l1, ...small, '--out', run)
    expect(code).toBe(2)
    expect(err).toContain('finds nothing scored 0.999 or higher in the 9 images of split "all"')
    expect(filesIn(run)).toEqual(['log.txt'])
  })

  const photos = shared('data/voc15')
  if (photos === undefined) it.skip('faces in photographs (needs shared/data/voc15)', () => {})
  else sharedIt('models/version-RFB-320.onnx', 'prunes a face detector on photographs that have labels of other things', async (faces) => {
    const run = join(folder, 'faces')
    const argv = ['prune', faces, '--data', photos, '--method', 'l1', '--remove-macs', '0.3', '--finetune-epochs', '1', '--limit', '16', '--threads', '1', '--out', run]
    const refusal = await cli(...argv)
    expect(refusal.code).toBe(2)
    expect(refusal.err).toMatch(/class ".+" \(in .*\) is unknown to the model; its classes are face; give --labels teacher to/)
    expect(await cliJson(...argv, '--labels', 'teacher')).toMatchObject({ labels: 'teacher', before: { AP: expect.closeTo(1, 6), perClass: { face: {} } }, certificate: { ok: true } })
  }, 120_000)
})

describe('--more-images', () => {
  const few = ['--data', 'shapes', '--limit', '8']

  it('are trained on beside the data\'s own: the split "train" of a labelled folder, all of a plain one', async () => {
    const labelled = await yoloFolder(join(folder, 'more'), shapesClasses, { train: drawings.slice(0, 3), val: drawings.slice(3, 9) })
    const run = join(folder, 'more-run')
    const argv = ['prune', model, ...few, '--follow', 'teacher', ...l1, ...small, '--finetune-batch', '1']
    const json = await cliJson(...argv, '--more-images', labelled, '--more-images', plain, '--out', run)
    // 8, 3, and of the nine the first eight, for --limit holds here too.
    expect(json).toMatchObject({ labels: 'data', passes: { finetune: 19, total: 19 }, before: { images: 8 } })
    expect(readJson(join(run, 'run.json'))).toMatchObject({ options: { moreImages: [labelled, plain] } })
    expect(log(run)).toContain(`${labelled}: 3 images of split "train" are trained on too`)
    expect(log(run)).toContain(`${plain}: 8 images without labels of split "all" are trained on too`)
  })

  it('without labels do not enter the auxiliary networks of lcp, unless the detector labels them', async () => {
    const lcp = ['--follow', 'teacher', '--remove-params', '0.3', '--batch', '1', '--images', '2', '--stages', 'layer2.0.out', '--stage-epochs', '1', '--update-epochs', '0', '--boxes', '8', '--threads', '1', '--dry-run']
    const data = await yoloFolder(join(folder, 'two'), shapesClasses, drawings.slice(0, 2))
    const stage = async (name: string, ...more: string[]) => ((await cliJson('prune', model, '--data', data, ...lcp, ...more, '--out', join(folder, name))) as Json & { passes: { stage: number } }).passes.stage
    expect(await stage('lcp-alone')).toBe(2 * 2)
    expect(await stage('lcp-more', '--more-images', plain)).toBe(2 * 2)
    const found = await detected(drawings.map((_, i) => join(plain, `${i}.jpg`)), 0.93)
    // The two of --data are the first two again.
    const labelled = [...found.slice(0, 2), ...found].filter((n) => n > 0).length
    expect(labelled).toBeLessThan(11)
    expect(await stage('lcp-labelled', '--more-images', plain, '--labels', 'teacher', '--label-threshold', '0.93')).toBe(2 * labelled)
  })

  it('that are measured on too are told', async () => {
    const data = await yoloFolder(join(folder, 'shared-images'), shapesClasses, drawings.slice(0, 4))
    const { err } = await cli('prune', model, '--data', data, '--more-images', join(data, 'images'), '--follow', 'teacher', ...l1, '--dry-run', '--out', join(folder, 'shared-run'))
    expect(err).toContain(`4 images of --more-images are measured on too (${join(data, 'images/0.jpg')})`)
  })
})

describe('bad input', () => {
  const shapes = ['--data', 'shapes', '--limit', '8']
  const refused = async (...argv: string[]): Promise<string> => {
    const out = join(folder, 'out')
    const { code, out: stdout, err } = await cli('prune', model, ...l1, ...small, ...argv, '--out', out)
    expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 2, stdout: '', files: [] })
    return err
  }

  it('a threshold without a teacher, or that says nothing', async () => {
    expect(await refused(...shapes, '--label-threshold', '0.5')).toContain('--label-threshold has no meaning without --labels teacher')
    expect(await refused(...shapes, '--labels', 'teacher', '--label-threshold', '1')).toContain('--label-threshold must be a number above 0 and below 1, not "1"')
    expect(await refused(...shapes, '--labels', 'teacher', '--label-threshold', '0.005')).toContain('--label-threshold 0.005 is below the decoder\'s own score threshold 0.01')
    expect(await refused(...shapes, '--labels', 'me')).toContain('--labels must be one of data, teacher')
  })

  it('data without labels, or of other classes', async () => {
    expect(await refused('--data', plain)).toMatch(/plain: holds images, but no labels that are known; .*; give --labels teacher to have them labelled by the unpruned detector/)
    const zebras = await yoloFolder(join(folder, 'only-zebras'), ['zebra'], drawings.slice(0, 4))
    expect(await refused('--data', zebras)).toMatch(/class "zebra" .* is unknown to the model; its classes are disc.*; give --labels teacher/)
    expect(await refused(...shapes, '--more-images', zebras)).toMatch(/class "zebra" .*; give --labels teacher .*, or name a folder of the images alone/)
  })

  it('further images that are not there, or have no labels where training follows labels', async () => {
    expect(await refused(...shapes, '--more-images', join(folder, 'absent'))).toContain('absent: no such folder; check the path')
    expect(await refused(...shapes, '--more-images', '')).toContain('--more-images must not be empty')
    for (const follow of [[], ['--follow', 'labels']]) {
      expect(await refused(...shapes, ...follow, '--more-images', plain)).toMatch(/plain: its images have no labels, and training follows labels; give --labels teacher .*, or --follow teacher/)
    }
    await put(folder, 'unreadable/a.jpg', 'no image')
    expect(await refused(...shapes, '--follow', 'teacher', '--more-images', join(folder, 'unreadable'))).toMatch(/none of the 1 images of split "all" can be read; the first: .*a\.jpg/)
  })

  it('have no meaning without --data', async () => {
    expect(await refused('--labels', 'teacher')).toMatch(/^espalier: --(finetune-epochs|batch|labels) has no meaning without images/)
    const { err } = await cli('prune', model, ...l1, '--more-images', plain, '--out', join(folder, 'out'))
    expect(err).toContain('--more-images has no meaning without images')
  })
})
