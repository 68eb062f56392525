/** @file prune --select backward and --widths curvature on the command line: channels are chosen from the detector as it came, and keep most of what it knows. */
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bareModel, cli, cliJson, filesIn, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const trained = fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url))
const few = ['--data', 'shapes', '--limit', '16', '--images', '16', '--threads', '1', '--remove-params', '0.6', '--finetune-epochs', '0']

interface Result {
  readonly before: { AP: number; params: number }
  readonly cut: { AP: number; params: number }
  readonly passes: { selection: number; total: number }
  readonly certificate: { ok: boolean }
}

describe('prune --select backward', () => {
  it('keeps, without any training, what other choices of as many channels lose', async () => {
    const prune = async (name: string, ...more: string[]): Promise<Result> => (await cliJson('prune', trained, ...few, ...more, '--out', join(folder, name))) as unknown as Result
    const lcp = await prune('lcp', '--method', 'lcp', '--select', 'backward', '--widths', 'curvature')
    const l1 = await prune('l1', '--method', 'l1', '--widths', 'curvature', '--recalibrate', '16')
    expect(lcp.cut.params).toBe(l1.cut.params)
    expect(lcp.cut.params).toBeLessThanOrEqual(0.4 * lcp.before.params)
    expect(lcp.cut.AP).toBeGreaterThan(0.75 * lcp.before.AP)
    expect(lcp.cut.AP).toBeGreaterThan(l1.cut.AP)
    expect(lcp.passes).toMatchObject({ selection: 16, total: 16 })
    expect(lcp.certificate.ok).toBe(true)
    expect(readJson(join(folder, 'lcp', 'run.json'))).toMatchObject({ method: 'lcp', lcp: { select: 'backward' } })
  }, 600_000)

  it('gives the same plan for the same seed, another without what the detector makes of a layer, and reaches the budget in steps too', async () => {
    const planned = async (name: string, ...more: string[]): Promise<unknown> => {
      await cliJson('prune', trained, ...few, ...more, '--dry-run', '--out', join(folder, name))
      return (readJson(join(folder, name, 'plan.json')) as { groups: unknown }).groups
    }
    const again = await planned('again', '--method', 'lcp', '--select', 'backward', '--widths', 'curvature')
    expect(again).toEqual((readJson(join(folder, 'lcp', 'plan.json')) as { groups: unknown }).groups)
    // The widths are the same: channels differ.
    expect(await planned('alone', '--method', 'reconstruction', '--select', 'backward', '--widths', 'curvature')).not.toEqual(again)
    await planned('steps', '--method', 'lcp', '--select', 'backward', '--widths', 'curvature', '--rounds', '2', '--round-epochs', '0')
    const { before, after } = readJson(join(folder, 'steps', 'run.json')) as unknown as { before: { params: number }; after: { params: number } }
    expect(after.params).toBeLessThanOrEqual(0.4 * before.params)
  }, 600_000)

  it('refuses options of the stages that it has not, and detectors and methods it does not fit', async () => {
    const detector = await putModel(folder, 'detector.onnx', smallDetector())
    const out = join(folder, 'refused')
    const refused = async (...argv: string[]): Promise<string> => {
      const { code, err } = await cli('prune', detector, ...few, '--out', out, ...argv)
      expect(code, err).toBe(2)
      expect(filesIn(folder)).not.toContain('refused')
      return err
    }
    const backward = ['--method', 'lcp', '--select', 'backward']
    expect(await refused(...backward, '--alpha', '2')).toContain('--alpha has no meaning with --select backward')
    expect(await refused(...backward, '--no-reconstruction')).toContain('--no-reconstruction has no meaning with --select backward')
    expect(await refused(...backward, '--select-block', '4')).toContain('--select-block has no meaning')
    expect(await refused(...backward, '--epsilon', '0.1')).toContain('--epsilon has no meaning')
    expect(await refused('--method', 'dcp', '--select', 'backward')).toContain('--select backward has no meaning with --method dcp')
    expect(await refused('--method', 'l1', '--widths', 'curvature', '--width-images', '8')).toContain('--width-images has no meaning with --widths curvature')
    expect(await refused('--method', 'l1', '--widths', 'curvature', '--ranking', 'global')).toContain('--ranking global and --widths curvature both')
    const bare = await putModel(folder, 'bare.onnx', bareModel())
    const { code, err } = await cli('prune', bare, '--method', 'l1', '--remove-macs', '0.3', '--widths', 'curvature', '--out', out)
    expect(code).toBe(2)
    expect(err).toContain('--widths curvature needs images')
  })
})
