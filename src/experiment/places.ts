/** @file A YAML text with the line of everything in it, so that an error can say where. */
import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { UserError } from '../tensor/error.ts'

export type Path = readonly PropertyKey[]

export interface PlacedYaml {
  readonly value: unknown
  /** "file.yaml:12" of what lies at a path, or of the nearest thing above it. */
  place(path: Path): string
}

/** Throws UserError naming file and line where the text is no YAML. */
export function readYaml(text: string, file: string): PlacedYaml {
  const lines = new LineCounter()
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = doc.errors
  if (error) throw new UserError(`${file}:${lines.linePos(error.pos[0]).line}: is no YAML: ${error.message}; mend the file`)
  return { value: doc.toJS() as unknown, place: (path) => `${file}:${lines.linePos(startOf(doc, path)).line}` }
}

/** Offset of the key, or of the entry of a list, at a path. */
function startOf(doc: Document, path: Path): number {
  let node: unknown = doc.contents
  let start = doc.contents?.range?.[0] ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key: k }) => isScalar(k) && String(k.value) === String(key))
      if (!pair) break
      start = (pair.key as Node).range?.[0] ?? start
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      start = (node as Node | undefined)?.range?.[0] ?? start
    } else break
  }
  return start
}
