/**
 * undici, loaded when the first request is made: it is a third of the start-up time and of the memory of an agent that
 * has nothing to do yet. Owns nothing but the moment.
 */
import { createRequire } from 'node:module';
import type * as library from 'undici';

type Undici = typeof library;

const load = createRequire(import.meta.url);
let loaded: Undici | undefined;

export function undici(): Undici {
  return (loaded ??= load('undici') as Undici);
}
