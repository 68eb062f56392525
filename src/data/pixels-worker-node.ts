/** @file The worker of pixels-node.ts: reads images and makes inputs of them, one job a message. */
import { parentPort } from 'node:worker_threads'
import { nodeStore } from '../storage/node.ts'
import { UserError } from '../tensor/error.ts'
import { caching } from './cache.ts'
import { imageReader, readSample } from './codec.ts'
import { nodeCodec } from './image-node.ts'
import { renderPixels } from './pixels.ts'
import type { PixelAnswer, PixelRequest } from './pixels-node.ts'

/** One cache for each limit that loaders ask for: one trains, others measure and keep nothing. */
const readers = new Map<number, ReturnType<typeof caching>>()

function readerOf(cacheBytes: number): ReturnType<typeof caching> {
  const reader = readers.get(cacheBytes) ?? caching(imageReader(nodeStore(), nodeCodec), cacheBytes)
  readers.set(cacheBytes, reader)
  return reader
}

async function answer({ id, sample, job, cacheBytes }: PixelRequest): Promise<void> {
  try {
    const pixels = await renderPixels(await readSample(readerOf(cacheBytes), sample), job, nodeCodec.cropResize)
    parentPort!.postMessage({ id, pixels } satisfies PixelAnswer, [pixels.buffer])
  } catch (error) {
    // Errors lose their class on the way.
    parentPort!.postMessage({ id, error: error instanceof Error ? error : new Error(String(error)), user: error instanceof UserError } satisfies PixelAnswer)
  }
}

parentPort!.on('message', (request: PixelRequest) => void answer(request))
