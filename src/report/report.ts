/** @file The report of one run, or of several beside each other: one page of HTML that needs nothing else. */
import { UserError } from '../tensor/error.ts'
import { type Html, html, trusted } from './html.ts'
import type { ReportRun } from './record.ts'
import type { SampleSet } from './samples.ts'
import { channelsSection } from './sections/channels.ts'
import { errorsSection, sizesSection } from './sections/errors.ts'
import { certificateSection, optionsSection, versionsSection } from './sections/facts.ts'
import { gradientsSection } from './sections/gradients.ts'
import { lossesSection } from './sections/losses.ts'
import { samplesSection } from './sections/samples.ts'
import { summarySection } from './sections/summary.ts'
import { tradeOffSection } from './sections/trade-off.ts'
import { style } from './style.ts'
import { variantsOf } from './variants.ts'

export interface ReportOptions {
  /** Makes the elements of the plots: the browser's own document, or a DOM library's. */
  readonly document: Document
  /** Default: the run's folder, or how many runs there are. */
  readonly title?: string
  /** Pictures of the runs that have them. */
  readonly samples?: readonly SampleSet[]
}

/** Bytes of a page, at most. */
export const pageLimit = 5_000_000

/** The page. Throws UserError where there is no run, or it exceeds `pageLimit`. */
export function reportOf(runs: readonly ReportRun[], { document, title, samples = [] }: ReportOptions): string {
  if (runs.length === 0) throw new UserError('a report needs at least one run; name the folder of one')
  const variants = variantsOf(runs)
  const sections: readonly Html[] = [
    summarySection(runs, variants),
    tradeOffSection(document, variants),
    sizesSection(document, runs, variants),
    errorsSection(document, runs, variants),
    channelsSection(document, runs, variants),
    gradientsSection(document, variants),
    lossesSection(document, runs, variants),
    samplesSection(samples),
    optionsSection(runs, variants),
    certificateSection(runs),
    versionsSection(runs),
  ]
  const page = pageOf(title ?? titleOf(runs), subtitleOf(runs), sections).markup
  const bytes = new TextEncoder().encode(page).length
  if (bytes > pageLimit) throw new UserError(`the report would have ${(bytes / 1e6).toFixed(1)} MB, more than ${pageLimit / 1e6}; ask for fewer sample images (--samples), or report fewer runs at once`)
  return page
}

function titleOf(runs: readonly ReportRun[]): string {
  return runs.length === 1 ? `${runs[0]!.record.method}: ${runs[0]!.name}` : `${runs.length} runs compared`
}

function subtitleOf(runs: readonly ReportRun[]): string {
  const all = (name: string, of: (run: ReportRun) => string | null | undefined): string[] => {
    const values = [...new Set(runs.map(of).filter((v) => v !== null && v !== undefined))]
    return values.length === 0 ? [] : [`${name} ${values.join(', ')}`]
  }
  return [...all('detector', (r) => r.record.arch), ...all('data', (r) => r.record.data), ...all('split', (r) => r.record.split)].join('; ')
}

const headings = /<h2 id="([^"]+)-title">(.*?)<\/h2>/

function pageOf(title: string, subtitle: string, sections: readonly Html[]): Html {
  const links = sections.map(({ markup }) => headings.exec(markup)!).map(([, id, heading]) => html`<li><a href="#${id}">${trusted(heading!)}</a></li>`)
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="espalier">
<title>${title}</title>
<style>${trusted(style)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p>${subtitle}</p>
<nav aria-label="Sections"><ul>${links}</ul></nav>
</header>
<main>
${sections}</main>
</body>
</html>
`
}
