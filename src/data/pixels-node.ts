/**
 * @file Images read and made ready by a worker thread. ONNX Runtime's Node package runs a model on the thread that asks for it, which does nothing
 * else meanwhile: only another thread can prepare the next batch during a step.
 */
import { Worker } from 'node:worker_threads'
import type { Sample } from '../detection/annotation.ts'
import { UserError } from '../tensor/error.ts'
import type { LoaderOptions } from './loader.ts'
import type { PixelJob } from './pixels.ts'

export interface PixelRequest {
  readonly id: number
  readonly sample: Sample
  readonly job: PixelJob
  readonly cacheBytes: number
}

export type PixelAnswer =
  | { readonly id: number; readonly pixels: Float32Array<ArrayBuffer> }
  | { readonly id: number; readonly error: Error; readonly user: boolean }

interface Waiting {
  resolve(pixels: Float32Array<ArrayBuffer>): void
  reject(error: unknown): void
}

/** For images that are files: paths as the samples have them, from the working directory. One worker for all, started by the first image. */
export const pixelsApart: NonNullable<LoaderOptions['pixels']> = (sample, job, cacheBytes) => new Promise((resolve, reject) => {
  worker ??= startWorker()
  // A process that waits for images lives; one that does not may end, though the worker would go on.
  if (waiting.size === 0) worker.ref()
  waiting.set(++last, { resolve, reject })
  worker.postMessage({ id: last, sample, job, cacheBytes } satisfies PixelRequest)
})

let worker: Worker | undefined
let last = 0
const waiting = new Map<number, Waiting>()

/** The worker's module; in a checkout it is TypeScript, which older Nodes read by tsx alone. */
function workerModule(): URL {
  const source = import.meta.url.endsWith('.ts')
  const url = new URL(`./pixels-worker-node.${source ? 'ts' : 'js'}`, import.meta.url)
  if (!source || ('typescript' in process.features && process.features.typescript)) return url
  return new URL(`data:text/javascript,import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))}; register({ tsconfig: false }); await import(${JSON.stringify(url)})`)
}

function startWorker(): Worker {
  const started = new Worker(workerModule())
  started.on('message', (answer: PixelAnswer) => {
    const { resolve, reject } = waiting.get(answer.id)!
    waiting.delete(answer.id)
    if (waiting.size === 0) started.unref()
    if ('pixels' in answer) resolve(answer.pixels)
    else reject(answer.user ? new UserError(answer.error.message, { cause: answer.error }) : answer.error)
  })
  started.on('error', (error) => {
    worker = undefined
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  })
  return started
}
