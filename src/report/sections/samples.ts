/** @file Images with what was found in them, before and after, the worst losses first. */
import { absent, type Html, html, section, trusted } from '../html.ts'
import type { SampleSet } from '../samples.ts'

export function samplesSection(sets: readonly SampleSet[]): Html {
  if (sets.length === 0) return section('samples', 'Sample images', absent('No sample images were asked for.'))
  return section('samples', 'Sample images', ...sets.map(setOf))
}

function setOf(set: SampleSet): Html {
  if ('why' in set) return absent(`${set.run}: no sample images: ${set.why}`)
  const { run, samples, images, split, threshold, compared } = set
  const order = compared
    ? 'the images that lost most by the pruning first (panoptic quality before minus after)'
    : 'the worst first (by panoptic quality)'
  return html`<h3>${run}</h3>
<p>Of ${images} images of split "${split}", ${order}. Boxes scored ${threshold} or higher. Panoptic quality is the sum of the IoU of the right
boxes over their number and half the number of false and missed ones: 1 is perfect.</p>
${samples.map((sample) => html`<div class="sample"><h4>${sample.name}</h4>
<p>${sample.pictures.filter((p) => p.quality !== undefined).map((p) => `${p.label} ${p.quality!.toFixed(3)}`).join(', ')}</p>
<div class="pictures">${sample.pictures.map((picture) => html`<figure><img src="data:image/webp;base64,${trusted(picture.base64)}" width="${picture.width}" height="${picture.height}" alt="${`${sample.name}, ${picture.label}: ${picture.alt}`}"><figcaption>${picture.label}</figcaption></figure>
`)}</div></div>
`)}`
}
