/** @file Help, usage errors and exit codes, in the process and through the launcher. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { cli, filesIn, temporaryFolder } from './support.ts'

const commands = ['train', 'eval', 'score', 'predict', 'card', 'inspect', 'prune', 'finetune', 'bench', 'profile', 'export', 'demo']
const launcher = fileURLToPath(new URL('../../bin/espalier.js', import.meta.url))

describe('help', () => {
  it('lists every command', async () => {
    const { code, out, err } = await cli('--help')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const name of commands) expect(out).toContain(`\n  ${name} `)
    expect(out).toContain('Examples:')
  })

  it.each(commands)('%s: options and examples', async (name) => {
    const { code, out, err } = await cli(name, '--help')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const option of ['--seed', '--threads', '--ep', '--json', '--quiet']) expect(out).toContain(option)
    expect(out).toContain(`Examples:\n  espalier ${name}`)
    expect((await cli('help', name)).out).toBe(out)
  })

  it('prints the version of the package', async () => {
    expect((await cli('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('usage errors exit with 2 and say what is wrong', () => {
  it.each([
    [[], 'Usage: espalier'],
    [['prunes'], "espalier: unknown command 'prunes'"],
    [['eval', 'm.onnx'], "espalier: required option '--data <DIR>' not specified"],
    [['eval', 'm.onnx', '--data', 'd', '--bogus'], "espalier: unknown option '--bogus'"],
    [['inspect'], "espalier: missing required argument 'model'"],
    [['inspect', 'a', 'b'], 'espalier: too many arguments'],
    [['bench', 'a', '--runs', 'many'], 'espalier: --runs must be a whole number from 1, not "many"'],
    [['bench', 'a', '--runs', '1.5'], 'espalier: --runs must be a whole number from 1, not "1.5"'],
    [['train', '--arch', 'ssd', '--data', 'd', '--out', 'o'], 'espalier: --arch must be one of ssd300-resnet50'],
    [['train', '--arch', 'ssd-small', '--data', '', '--out', 'o'], 'espalier: --data must not be empty'],
    [['prune', 'm', '--data', 'd', '--out', 'o', '--remove-params', '1'], 'espalier: --remove-params must be a number above 0 and below 1, not "1"'],
    [['prune', 'm', '--data', 'd', '--out', 'o', '--method', 'best'], 'espalier: --method must be one of lcp, dcp, reconstruction, thinet, taylor, slimming, fpgm, l2, l1, random, not "best"'],
  ])('%j', async (argv, message) => {
    const { code, out, err } = await cli(...argv)
    expect(err).toContain(message)
    expect({ code, out }).toEqual({ code: 2, out: '' })
  })
})

function launch(argv: readonly string[]) {
  const child = spawn(process.execPath, [launcher, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.on('data', (data) => (out += String(data)))
  child.stderr.on('data', (data) => (err += String(data)))
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  return { child, ended }
}

describe('the launcher', () => {
  const folder = temporaryFolder()

  it('passes the exit code on', async () => {
    const { code, out, err } = await launch(['inspect', join(folder, 'none.onnx')]).ended
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toBe(`espalier: ${join(folder, 'none.onnx')}: no such file; check the path\n`)
  })

  it('an interrupt ends with 130 and leaves the log alone', async () => {
    const out = join(folder, 'run')
    const { child, ended } = launch(['train', '--arch', 'ssd-small', '--data', 'shapes', '--limit', '16', '--epochs', '10000', '--threads', '1', '--out', out])
    while (!existsSync(join(out, 'log.txt')) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 50))
    await new Promise((resolve) => setTimeout(resolve, 500))
    child.kill('SIGINT')
    expect((await ended).code).toBe(130)
    expect(filesIn(out)).toEqual(['log.txt'])
    expect(readdirSync(folder)).toEqual(['run'])
  })
})
