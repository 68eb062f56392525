/** @file The embedded data set as an image source, for tests. */
import { shapesDataset } from '../../src/data/shapes.ts'
import { nodeCodec } from '../../src/data/image-node.ts'
import type { ImageSource } from '../../src/train/source.ts'

/** The first `count` images of a split of `shapes`, `size` pixels wide and high. */
export function shapesSource(split: 'train' | 'val' | 'test', count: number, size = 96): ImageSource {
  const { dataset, image } = shapesDataset({ seed: 0, split, count, size })
  return { dataset, readImage: async (sample) => image(sample), cropResize: nodeCodec.cropResize }
}
