/** @file Writes a data set of COCO's size and layout: annotations of the real length from a seed, images that are links to a few drawings. Usage: npx tsx scripts/coco-sized.ts DIR [--images 118287]. */
import { closeSync, linkSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cocoSized, imagesOf } from '../bench/coco-like.ts'
import { encodeImage } from '../src/data/image-node.ts'
import { shapesDataset } from '../src/data/shapes.ts'
import { createRng, type Rng } from '../src/tensor/rng.ts'

/** Images of COCO's splits of 2017. */
const cocoImages = { train2017: 118_287, val2017: 5000 } as const
/** Mean objects an image of train2017: 860,001 over all. */
const objects = 7.27
/** Mean corners of a polygon; with this many train2017's file comes to its real length, some 450 MB. */
const corners = 25
const side = 640
/** Different images behind the links. */
const drawings = 16
/** Bytes written at a time. */
const atOnce = 2 ** 22

/** Both splits; `train` images in the first, of which the second has its share in proportion. */
export async function writeCocoSized(folder: string, train: number): Promise<void> {
  const shapes = shapesDataset({ seed: 0, split: 'train', count: drawings, size: side })
  mkdirSync(join(folder, 'annotations'), { recursive: true })
  mkdirSync(join(folder, 'drawings'), { recursive: true })
  const sources: string[] = []
  for (const [i, sample] of shapes.dataset.samples.entries()) {
    sources.push(join(folder, 'drawings', `${i}.jpg`))
    writeFileSync(sources[i]!, await encodeImage(shapes.image(sample)))
  }
  for (const [split, all] of Object.entries(cocoImages)) {
    const images = Math.max(1, Math.round((all * train) / cocoImages.train2017))
    writeInstances(join(folder, 'annotations', `instances_${split}.json`), split, images)
    mkdirSync(join(folder, split), { recursive: true })
    for (let i = 0; i < images; i++) linkSync(sources[i % drawings]!, join(folder, split, fileName(i)))
  }
}

function fileName(image: number): string {
  return `${String(image + 1).padStart(12, '0')}.jpg`
}

/** In the order of COCO's own files: information, licences, images, annotations, categories. */
function writeInstances(path: string, split: string, images: number): void {
  const file = openSync(path, 'w')
  let text = ''
  const write = (more: string): void => {
    text += more
    if (text.length >= atOnce) {
      writeSync(file, text)
      text = ''
    }
  }
  try {
    write('{"info": {"description": "like COCO 2017", "year": 2017}, "licenses": [{"url": "", "id": 1, "name": "none"}], "images": [')
    for (let i = 0; i < images; i++) {
      const name = fileName(i)
      const url = `http://images.invalid/${split}/${name}`
      write(`${i > 0 ? ', ' : ''}${spaced({ license: 1, file_name: name, coco_url: url, height: side, width: side, date_captured: '2013-11-14 11:18:45', flickr_url: `${url}?of=the-length-that-such-addresses-have`, id: i + 1 })}`)
    }
    write('], "annotations": [')
    const rng = createRng(`coco-sized/${split}`)
    let annotation = 0
    let image = 0
    for (const { truth } of imagesOf({ ...cocoSized, seed: `coco-sized/${split}`, images, objects, detections: 0 })) {
      image++
      for (const { label, bbox, area, crowd } of truth) {
        const segmentation = crowd ? { counts: Array.from({ length: 8 * corners }, () => rng.int(900)), size: [side, side] } : [polygon(rng, bbox)]
        write(`${annotation > 0 ? ', ' : ''}${spaced({ segmentation, area, iscrowd: crowd ? 1 : 0, image_id: image, bbox, category_id: label + 1, id: ++annotation })}`)
      }
    }
    write(`], "categories": ${spaced(Array.from({ length: cocoSized.classes }, (_, k) => ({ supercategory: 'any', id: k + 1, name: `class ${k + 1}` })))}}`)
    writeSync(file, text)
  } finally {
    closeSync(file)
  }
}

/** JSON with a space behind each comma and colon, as Python writes it. */
function spaced(value: object): string {
  return JSON.stringify(value).replaceAll(',', ', ').replaceAll('":', '": ')
}

function polygon(rng: Rng, [x, y, w, h]: readonly number[]): number[] {
  const points = 4 + rng.int(2 * (corners - 4))
  return Array.from({ length: 2 * points }, (_, i) => Math.round((i % 2 === 0 ? x! + rng.next() * w! : y! + rng.next() * h!) * 100) / 100)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals: [folder] } = parseArgs({ allowPositionals: true, options: { images: { type: 'string', default: String(cocoImages.train2017) } } })
  const images = Number(values.images)
  if (folder === undefined || !Number.isInteger(images) || images < 1) {
    process.stderr.write('usage: npx tsx scripts/coco-sized.ts DIR [--images N]\n')
    process.exitCode = 2
  } else await writeCocoSized(folder, images)
}
