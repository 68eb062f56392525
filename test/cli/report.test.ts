/** @file espalier report: pages of real runs, with their sample images, and what is wrong with others. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHTML } from 'linkedom'
import { beforeAll, describe, expect, it } from 'vitest'
import { cli, cliJson, drawing, put, putModel, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const run = join(folder, 'runs/l1')
let data = ''

beforeAll(async () => {
  const model = await putModel(folder, 'small.onnx', smallDetector())
  data = await yoloFolder(join(folder, 'data'), shapesClasses, { train: await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((i) => drawing(i, 'jpeg'))), test: await Promise.all([8, 9].map((i) => drawing(i, 'jpeg'))) })
  await cliJson('prune', model, '--data', data, '--method', 'l1', '--remove-params', '0.3', '--finetune-epochs', '0', '--out', run)
})

function open(file: string): Document {
  return parseHTML(readFileSync(file, 'utf8')).document
}

describe('report', () => {
  it('makes the page of a run, with pictures of what was found', async () => {
    const out = join(folder, 'report.html')
    const json = await cliJson('report', run, '--out', out, '--samples', '1', '--threshold', '0')
    expect(json).toMatchObject({ file: out, runs: [{ name: 'l1', path: run, method: 'l1', seed: 0 }], samples: [{ run: 'l1', images: 1 }] })
    const dom = open(out)
    const pictures = [...dom.querySelectorAll('.sample img')]
    expect(pictures.map((p) => p.getAttribute('alt')!.replace(/^.*?, (\w+):.*/, '$1'))).toEqual(['labels', 'before', 'after'])
    for (const p of pictures) expect(Buffer.from(p.getAttribute('src')!.split(',')[1]!, 'base64').subarray(8, 12).toString()).toBe('WEBP')
    expect(dom.querySelector('#errors figure')).not.toBeNull()
    expect(dom.querySelector('#samples')!.textContent).toContain('Of 2 images of split "test"')
    // A report may replace a report.
    expect((await cli('report', run, '--out', out, '--samples', '0')).code).toBe(0)
  })

  it('measures latency where it is asked to', async () => {
    const out = join(folder, 'timed.html')
    await cliJson('report', run, '--out', out, '--samples', '0', '--bench', '2', '--threads', '1')
    expect(open(out).querySelector('#trade-off')!.textContent).toContain('AP against latency')
  })

  it('does without pictures where model or images are gone, and says so', async () => {
    const record = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')) as Record<string, unknown>
    const moved = join(folder, 'moved')
    await put(moved, 'run.json', JSON.stringify(record))
    const out = join(folder, 'moved.html')
    const { code, err } = await cli('report', moved, run, '--out', out, '--data', join(folder, 'nowhere'))
    expect(code).toBe(0)
    expect(err).toMatch(/moved: no sample images: .*moved: has neither pruned.onnx nor model.onnx; keep the model/)
    const { err: gone } = await cli('report', run, '--out', out, '--data', join(folder, 'nowhere'))
    expect(gone).toMatch(/l1: no sample images: .*nowhere/)
    expect(open(out).querySelector('#samples')!.textContent).toMatch(/l1: no sample images: .*nowhere/)
  })

  it.each([
    ['missing', () => join(folder, 'none'), /none: no such folder; name the folder of a run/],
    ['no run', () => data, /data: holds no run\.json/],
  ])('refuses a folder that is %s', async (_, path, message) => {
    const { code, err } = await cli('report', path(), '--out', join(folder, 'x.html'))
    expect(code).toBe(2)
    expect(err).toMatch(message)
    expect(existsSync(join(folder, 'x.html'))).toBe(false)
  })

  it('refuses a broken record, and to replace what is no report', async () => {
    await put(folder, 'broken/run.json', '{')
    expect(await cli('report', join(folder, 'broken'), '--out', join(folder, 'x.html'))).toMatchObject({ code: 2, err: expect.stringMatching(/broken\/run\.json: is no JSON .*; run again what wrote it/) })
    const mine = join(folder, 'mine.txt')
    writeFileSync(mine, 'mine')
    expect(await cli('report', run, '--out', mine)).toMatchObject({ code: 2, err: expect.stringMatching(/mine\.txt: is there already and is no report/) })
    expect(readFileSync(mine, 'utf8')).toBe('mine')
    expect(await cli('report', run, '--out', folder)).toMatchObject({ code: 2, err: expect.stringMatching(/is a folder, --out wants a file/) })
  })
})
