/** @file HTML as text that cannot forget to escape: a template tag whose values are text unless they are HTML already. */

/** Text that is HTML. */
export interface Html {
  readonly markup: string
}

type Content = Html | string | number | undefined | false | readonly Content[]

/** A template whose values are escaped, but for HTML and lists of it; nothing comes of undefined and false. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return { markup: parts.map((part, i) => part + (i < values.length ? markupOf(values[i]) : '')).join('') }
}

/** What is known to be sound markup, such as an SVG that was serialised. */
export function trusted(markup: string): Html {
  return { markup }
}

function markupOf(value: Content): string {
  if (value === undefined || value === false) return ''
  if (typeof value === 'string') return escapeText(value)
  if (typeof value === 'number') return String(value)
  return 'markup' in value ? value.markup : value.map(markupOf).join('')
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => entities[c]!)
}

/** A table with a caption, headers of columns and of rows; all columns but the first hold numbers unless `text` says otherwise. */
export function tableOf(caption: string, header: readonly string[], rows: readonly (readonly (string | Html)[])[], text = false): Html {
  const cell = (value: string | Html, i: number): Html => (i === 0 ? html`<th scope="row">${value}</th>` : html`<td>${value}</td>`)
  return html`<div class="wide"><table${text ? trusted(' class="text"') : ''}><caption>${caption}</caption>
<thead><tr>${header.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${row.map(cell)}</tr>
`)}</tbody></table></div>
`
}

/** A part of the page under a heading. */
export function section(id: string, title: string, ...content: readonly Content[]): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}</section>
`
}

/** Why something that a reader looks for is not there. */
export function absent(why: string): Html {
  return html`<p class="absent">${why}</p>
`
}
