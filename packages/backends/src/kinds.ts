/** The table of backend kinds: one file and one line each. The conformance suite runs over it. */
import { file } from './file.js';
import type { BackendKind } from './kind.js';
import { memory } from './memory.js';
import { s3 } from './s3.js';
import { testfs } from './testfs.js';

/** The kinds that ship. */
export const BACKEND_KINDS: readonly BackendKind[] = [file, memory, s3, testfs];
