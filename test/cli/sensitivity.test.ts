/** @file inspect --sensitivity: what it prints and writes, and what it refuses. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import sharp from 'sharp'
import { modelCost } from '../../src/passes/cost.ts'
import { bestUnits } from '../../src/pruning/budget.ts'
import { l1 } from '../../src/pruning/criteria/l1.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { cli, cliJson, drawing, filesIn, put, putModel, readJson, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const folder = temporaryFolder()
const two = ['--sensitivity', '--data', 'shapes', '--images', '2', '--threads', '1']
let model = ''

interface Cut {
  readonly share: number
  readonly kept: number
  readonly harm: number
  readonly params: number
  readonly macs: number
  readonly AP?: number
}
interface Found {
  readonly images: number
  readonly split: string
  readonly outputs: string[]
  readonly AP?: number
  readonly groups: { readonly id: string; readonly channels: number; readonly cuts: Cut[] }[]
}

beforeAll(async () => {
  model = await putModel(folder, 'small.onnx', smallDetector())
})

describe('inspect --sensitivity', () => {
  it('ranks the groups by harm, with what each cut saves, and writes data and picture', async () => {
    const out = join(folder, 'run')
    const json = await cliJson('inspect', model, ...two, '--out', out)
    const found = json.sensitivity as Found
    expect(found).toMatchObject({ images: 2, split: 'val', outputs: ['scores', 'boxes'] })
    expect(found).not.toHaveProperty('AP')
    const prunable = (json.groups as { id: string; prunable: boolean }[]).filter((g) => g.prunable).map((g) => g.id)
    expect(found.groups.map((g) => g.id).sort()).toEqual(prunable.sort())
    const middle = found.groups.map((g) => g.cuts[1]!.harm)
    expect(middle).toEqual([...middle].sort((a, b) => b - a))
    expect(middle.at(-1)).toBeGreaterThan(0)

    const detector = smallDetector()
    const groups = findGroups(detector)
    const { id, cuts } = found.groups[0]!
    const group = groups.find((g) => g.id === id)!
    const kept = bestUnits(l1.score(group, { rng: createRng(0) }), cuts[2]!.kept)
    expect(modelCost(applyPlan(detector, makePlan(groups, new Map([[id, kept]]), { method: 'l1' })))).toMatchObject({ params: cuts[2]!.params, macs: cuts[2]!.macs })

    expect(filesIn(out)).toEqual(['log.txt', 'run.json', 'sensitivity.json', 'sensitivity.svg'])
    expect(readJson(join(out, 'sensitivity.json'))).toEqual({ model, ...found })
    expect(readJson(join(out, 'run.json'))).toMatchObject({ model, data: 'shapes', split: 'val', images: 2, seed: 0, options: { images: 2, sensitivity: true } })
    const svg = readFileSync(join(out, 'sensitivity.svg'))
    for (const { id: name } of found.groups) expect(svg.toString()).toContain(`>${name}<`)
    expect((await sharp(svg).metadata()).width).toBeGreaterThan(500)

    expect((await cli('inspect', model, ...two, '--out', out)).err).toContain(`${out}: holds a run already; give --force`)
  })

  it('takes the same images by the same seed, and others by another', async () => {
    const [a, b, c] = [await cliJson('inspect', model, ...two), await cliJson('inspect', model, ...two), await cliJson('inspect', model, ...two, '--seed', '5')].map((json) => (json.sensitivity as Found).groups)
    expect(a).toEqual(b)
    expect(c).not.toEqual(a)
  })

  it('--ap measures every cut on labelled images', async () => {
    const { code, out, err } = await cli('inspect', 'assets/shapes-detector.onnx', ...two, '--ap', '--json')
    expect(code, err).toBe(0)
    const { groups, AP } = (JSON.parse(out) as { sensitivity: Found }).sensitivity
    expect(AP).toBeGreaterThan(0.3)
    for (const g of groups) for (const cut of g.cuts) expect(cut.AP).toBeLessThanOrEqual(1)
    expect(Math.min(...groups.map((g) => g.cuts[2]!.AP!))).toBeLessThan(AP!)
    expect(err).toMatch(/sensitivity: \d+ cuts on 1 runs\n(.*\n)*score: \d+ cuts/)
  })

  it('prints a table, and takes images without labels', async () => {
    const bare = join(folder, 'bare')
    for (const i of [0, 1, 2]) await put(bare, `${i}.png`, await drawing(i, 'png'))
    await put(bare, 'torn.jpg', (await drawing(3, 'jpeg')).subarray(0, 1000))
    const { code, out, err } = await cli('inspect', model, '--sensitivity', '--data', bare, '--images', '4', '--threads', '1')
    expect(code, err).toBe(0)
    expect(err).toContain('torn.jpg')
    expect(out).toContain('sensitivity: each group cut alone, the channels of lowest L1 norm first\n3 images of split "all", seed 0; mean over 2 outputs')
    expect(out).toMatch(/\ngroup +channels +kind +harm 30% +harm 50% +harm 70% +params +MACs\n/)
    expect(out).toMatch(/\nlayer2\.0\.conv1\.weight +48 +inner( +\d\.\d{3}){3} +-\d+\.\d% +-\d+\.\d%\n/)
    for (const line of out.split('\n').slice(1)) expect(line.length, line).toBeLessThanOrEqual(120)
  })
})

describe('bad input', () => {
  it.each([
    [['--sensitivity'], '--sensitivity needs images: give --data with a folder of them'],
    [['--data', 'shapes'], '--data is an option of --sensitivity; add --sensitivity, or leave it out'],
    [['--out', 'x'], '--out is an option of --sensitivity'],
    [['--ap'], '--ap is an option of --sensitivity'],
    [['--sensitivity', '--data', 'shapes', '--images', '0'], '--images must be a whole number from 1'],
    [['--sensitivity', '--data', 'shapes', '--split', 'night'], 'shapes has no split "night"'],
    [['--sensitivity', '--data', '/no/such/folder'], '/no/such/folder: no such folder; check the path'],
  ])('%j', async (argv, message) => {
    const { code, out, err } = await cli('inspect', model, ...argv)
    expect({ code, out }, err).toEqual({ code: 2, out: '' })
    expect(err).toContain(message)
  })

  it('--ap with labels that the model does not know, or without labels', async () => {
    const zebras = await yoloFolder(join(folder, 'zebras'), ['zebra'], [await drawing(0, 'jpeg')])
    const labelled = await cli('inspect', model, '--sensitivity', '--ap', '--data', zebras)
    expect(labelled.err).toMatch(/class "zebra" .*is unknown to the model/)
    expect(labelled.code).toBe(2)
    await put(folder, 'plain/0.png', await drawing(0, 'png'))
    expect((await cli('inspect', model, '--sensitivity', '--ap', '--data', join(folder, 'plain'))).err).toContain('holds images, but no labels that are known')
  })

  it('images of which none decodes', async () => {
    const data = await yoloFolder(join(folder, 'noise'), shapesClasses, [(await drawing(0, 'jpeg')).subarray(0, 1000)])
    const { code, err } = await cli('inspect', model, '--sensitivity', '--data', data, '--out', join(folder, 'noise-run'))
    expect(code).toBe(2)
    expect(err).toContain('none of the 1 images of split "all" can be read')
  })

  it('a folder that cannot be written is told before anything is measured', async () => {
    const file = await put(folder, 'a-file', 'text')
    const { code, err } = await cli('inspect', model, ...two, '--out', file)
    expect(code).toBe(2)
    expect(err).toBe(`espalier: ${file}: is a file, --out wants a folder; choose another name\n`)
  })
})
