/** @file The machine that the numbers are of. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGB: number
  readonly platform: string
  readonly node: string
  readonly onnxruntimeNode: string
  readonly onnxruntimeWeb: string
}

export function machine(): Machine {
  const version = (name: string): string => {
    const about = readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')
    return (JSON.parse(about) as { version: string }).version
  }
  return {
    cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), memoryGB: totalmem() / 1e9,
    platform: `${process.platform} ${process.arch}`, node: process.version,
    onnxruntimeNode: version('onnxruntime-node'), onnxruntimeWeb: version('onnxruntime-web'),
  }
}

/** Load averages over 1, 5 and 15 minutes. */
export function load(): string {
  return loadavg().map((v) => v.toFixed(2)).join(' ')
}

export function describe(m: Machine): string[] {
  return [
    `${m.cpu}, ${m.cores} cores, ${m.memoryGB.toFixed(1)} GB, ${m.platform}`,
    `node ${m.node}, onnxruntime-node ${m.onnxruntimeNode}, onnxruntime-web ${m.onnxruntimeWeb}`,
  ]
}
