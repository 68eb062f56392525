/** @file Public API of espalier/storage. A folder on disk: espalier/storage/node. */
export { memoryStore } from './memory.ts'
export type { FileStat, Store } from './store.ts'
