/** @file How soon the command line is there: help, inspecting a model of 100 MB, writing one. */
import { spawnSync } from 'node:child_process'
import { cpSync, symlinkSync } from 'node:fs'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { interleaved, ours, statsOf, timed, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

export const start: Benchmark = {
  name: 'start',
  title: 'start: help, inspect and save; the package as it is installed',
  measures: 'Whole processes on the clock, in turns with a bare `node -e 0`, medians; help is given as what it takes beyond the bare one. Saving is held against a plain write of the same bytes, both renamed into place and neither forced to the disk.',
  run,
  child,
}

async function run({ quick, folder, log }: BenchContext): Promise<Row[]> {
  log('building the package')
  const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')], { encoding: 'utf8' })
  if (tsc.status !== 0) throw new Error(`the package cannot be built: ${tsc.stdout}${tsc.stderr}`)
  for (const name of ['bin', 'package.json']) cpSync(join(root, name), join(folder, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { saveModel } = await import('../src/onnx/save.ts')
  const { nodeStore } = await import('../src/storage/node.ts')
  const model = join(folder, 'model.onnx')
  await saveModel(nodeStore(), model, buildDetector(quick ? 'ssd300-resnet18' : 'ssd300-vgg16', { classes: Array.from({ length: 20 }, (_, i) => `class ${i}`), seed: 0 }))
  const size = (await stat(model)).size / 1e6
  const [samples] = await interleaved([ours('start', [folder, quick ? 3 : 9])], quick ? 1 : 3, log)
  const row = (what: string, key: string, unit: string, goal?: Row['goal']): Row => ({ what, unit, ours: statsOf(samples!, key), goal })
  const file = `a model of ${size.toFixed(0)} MB`
  return [
    row('node -e 0', 'bare', 'ms'),
    row('espalier --help, beyond it', 'help', 'ms', { of: 'ours', atMost: 120 }),
    row('in a checkout, beyond it', 'checkout', 'ms'),
    row(`inspect ${file}`, 'inspect', 's', quick ? undefined : { of: 'ours', atMost: 1 }),
    row('its peak memory, in sizes of the file', 'inspectSizes', 'x', quick ? undefined : { of: 'ours', atMost: 2.5 }),
    row('peak memory of node -e 0', 'barePeak', 'MB'),
    { what: `save ${file}`, unit: 's', ours: statsOf(samples!, 'save'), peer: { ...statsOf(samples!, 'write'), name: 'plain write', version: process.version } },
    row('processor time of it, beyond the plain write', 'saveExtra', 's'),
  ]
}

async function child([folder, rounds]: readonly string[]): Promise<Sample> {
  const model = join(folder!, 'model.onnx')
  const built = join(folder!, 'bin/espalier.js')
  const commands = { bare: ['-e', '0'], help: [built, '--help'], checkout: [join(root, 'bin/espalier.js'), '--help'], inspect: [built, 'inspect', model] }
  const times: Record<string, number[]> = {}
  const note = (name: string, value: number): void => void (times[name] ??= []).push(value)
  for (let i = 0; i < Number(rounds); i++) {
    for (const [name, args] of Object.entries(commands)) {
      const begun = performance.now()
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
      if (status !== 0) throw new Error(`${args.join(' ')} ended with code ${status}: ${stderr}`)
      note(name, performance.now() - begun)
    }
  }
  await writing(model, folder!, Number(rounds), note)
  const of = (name: string): number => times[name]!.sort((a, b) => a - b)[times[name]!.length >> 1]!
  const size = (await stat(model)).size / 1e6
  return {
    bare: of('bare'), help: of('help') - of('bare'), checkout: of('checkout') - of('bare'), inspect: of('inspect') / 1000,
    inspectSizes: peakOf(commands.inspect) / size, barePeak: peakOf(commands.bare),
    save: of('save'), write: of('write'), saveExtra: of('saveCpu') - of('writeCpu'),
  }
}

async function writing(model: string, folder: string, rounds: number, note: (name: string, value: number) => void): Promise<void> {
  const { loadModel } = await import('../src/onnx/load.ts')
  const { saveModel } = await import('../src/onnx/save.ts')
  const { nodeStore } = await import('../src/storage/node.ts')
  const store = nodeStore()
  const loaded = await loadModel(store, model)
  const bytes = await readFile(model)
  const [saved, plain] = [join(folder, 'saved.onnx'), join(folder, 'plain.onnx')]
  for (let i = 0; i < rounds; i++) {
    const save = await timed(() => saveModel(store, saved, loaded))
    const write = await timed(async () => {
      await writeFile(`${plain}.tmp`, bytes)
      await rename(`${plain}.tmp`, plain)
    })
    for (const [name, { seconds, cpuSeconds }] of Object.entries({ save, write })) {
      note(name, seconds)
      note(`${name}Cpu`, cpuSeconds)
    }
  }
}

/** Says a process's peak at its end, as cli/peak-memory.ts does. Loaded by `--import`, so it takes no part of its own worth mention. */
const tellPeak = `data:text/javascript,${encodeURIComponent(`
import { readFileSync } from 'node:fs'
process.on('exit', () => {
  const found = process.platform === 'linux' && /^VmHWM:\\s+(\\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))
  process.stderr.write(String((found ? Number(found[1]) : process.resourceUsage().maxRSS) * 1.024e-3))
})`)}`

/** Largest resident size of a process that runs `args`, 10^6 bytes. */
function peakOf(args: readonly string[]): number {
  const { stderr } = spawnSync(process.execPath, ['--import', tellPeak, ...args], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
  if (!(Number(stderr) > 0)) throw new Error(`${args.join(' ')} told no peak: ${stderr}`)
  return Number(stderr)
}
