/** @file Which Python on this machine has a peer's packages. None is needed: what is missing is named in the table. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter } from 'node:path'
import { promisify } from 'node:util'

export interface Peer {
  readonly python: string
  /** Version by module, as its package metadata or `__version__` has it. */
  readonly versions: Readonly<Record<string, string>>
}

/** Pythons to ask, best first: those of ESPALIER_BENCH_PYTHON (separated as in PATH), python3 of PATH, the system's own. */
function pythons(): string[] {
  const named = (process.env.ESPALIER_BENCH_PYTHON ?? '').split(delimiter).filter((path) => path !== '')
  return [...new Set([...named, 'python3', ...['/usr/bin/python3'].filter((path) => existsSync(path))])]
}

const question = `
import importlib, importlib.metadata, json, sys
versions = {}
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    try:
        versions[name] = importlib.metadata.version(name.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        versions[name] = getattr(module, "__version__", "?")
print(json.dumps(versions))
`

/** The first Python that imports all the modules. */
export async function findPeer(modules: readonly string[]): Promise<Peer | undefined> {
  for (const python of pythons()) {
    try {
      const { stdout } = await promisify(execFile)(python, ['-c', question, ...modules])
      return { python, versions: JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, string> }
    } catch {
      // This one is not there, or lacks a module: the next.
    }
  }
  return undefined
}
