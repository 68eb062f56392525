/** @file Store: the only way readers and writers below the CLI touch files, so that browsers can bring their own. */

export interface FileStat {
  readonly size: number
  readonly isDirectory: boolean
}

/** A tree of files. Paths use `/`; relative ones start at the store's root. */
export interface Store {
  /** Whole file, in memory of its own: the caller may write there. Throws UserError naming the path when it is missing. */
  read(path: string): Promise<Uint8Array>
  /** `length` bytes from `offset`, in memory of their own. */
  readRange(path: string, offset: number, length: number): Promise<Uint8Array>
  readText(path: string): Promise<string>
  /** Names in a folder, sorted; [] when there is no such folder. */
  list(path: string): Promise<string[]>
  stat(path: string): Promise<FileStat | undefined>
  /** Writes to a temporary name beside `path`, then renames: whole or not at all. Creates folders. Chunks are written one after the other, never joined. */
  writeAtomic(path: string, data: Uint8Array | string | readonly Uint8Array[]): Promise<void>
  remove(path: string): Promise<void>
}
