/** @file Decoded images kept for the next epoch. */
import type { Image, Sample } from '../detection/annotation.ts'

/** Keeps what was read until `limit` bytes are full. Nothing is thrown out for newer images: an epoch needs each once, so old and new are worth the same. */
export function caching(readImage: (sample: Sample) => Promise<Image>, limit: number): (sample: Sample) => Promise<Image> {
  const kept = new Map<string, Image>()
  let used = 0
  return async (sample) => {
    const known = kept.get(sample.path)
    if (known) return known
    const image = await readImage(sample)
    if (!kept.has(sample.path) && used + image.data.length <= limit) {
      used += image.data.length
      kept.set(sample.path, image)
    }
    return image
  }
}
