/** @file How the page looks: black on white and on paper, light on dark where the reader asks for that. */

/** Colours of series that can be told apart by most readers, and by all with the symbols; each pair has 4.5:1 and more against its paper. */
const light = ['#0b62a4', '#b4500b', '#00704f', '#9c2f83', '#b3261e', '#6b5800', '#4b4fc4', '#4d5761']
const dark = ['#6cb6f2', '#f2a65a', '#4fcfa4', '#e892d0', '#f58f86', '#d9c34f', '#a9acff', '#aab4bf']

export const seriesColours = light.length

const series = (colours: readonly string[]): string => colours.map((c, i) => `--s${i}: ${c};`).join(' ')
const lightSet = `--paper: #ffffff; --ink: #1d2126; --quiet: #59626c; --line: #d5dae0; --bar: #c3cad2; ${series(light)}`
const darkSet = `--paper: #15181c; --ink: #e4e7eb; --quiet: #a3acb6; --line: #3a4149; --bar: #4a535d; ${series(dark)}`

export const style = `
:root { color-scheme: light dark; ${lightSet} }
@media (prefers-color-scheme: dark) { :root { ${darkSet} } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem }
a { color: var(--s0) }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: 1rem 0 }
.wide { overflow-x: auto; margin: 0 0 1.25rem }
table { min-width: min(100%, 34rem); border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--quiet); padding-bottom: .35rem }
th, td { padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; white-space: nowrap }
th:first-child, .text th, .text td { text-align: left }
.text td, .text th { white-space: normal; overflow-wrap: anywhere }
.text th:first-child { min-width: 9rem }
thead th { font-weight: 600; white-space: normal; vertical-align: bottom; min-width: 3.2rem }
tbody th { font-weight: 400 }
figure { margin: 0 0 1.75rem }
figcaption { color: var(--quiet); font-size: .9rem; margin-bottom: .5rem }
figcaption b { color: var(--ink); display: block; font-size: 1rem }
svg text { white-space: pre }
figure svg { max-width: 100%; height: auto; display: block; background: none }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 1.5rem }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; padding: 0; margin: 0 0 .5rem; font-size: .85rem }
.legend svg { display: inline-block; vertical-align: -2px; margin-right: .35rem }
.absent { color: var(--quiet); font-style: italic }
.sample { margin: 0 0 1.5rem }
h4 { font-size: 1rem; margin: 0 0 .25rem }
.sample p { margin: 0 0 .4rem; color: var(--quiet); font-size: .9rem }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .75rem }
.pictures figure { margin: 0 }
.pictures img { width: 100%; height: auto; display: block }
.pictures figcaption { margin: .2rem 0 0 }
@media print {
  :root { color-scheme: light; ${lightSet} --ink: #000000; --quiet: #333333 }
  body { max-width: none; padding: 0; font-size: 10pt }
  nav { display: none }
  figure, tr { break-inside: avoid }
  .sample { display: inline-block; width: 100% }
  h2, h3, figcaption, caption, thead { break-after: avoid }
  .wide { overflow: visible }
  table { font-size: 8pt }
  .panels { grid-template-columns: 1fr 1fr }
  figure svg { max-height: 21cm; width: auto }
  .pictures { grid-template-columns: repeat(3, 1fr) }
}
`
