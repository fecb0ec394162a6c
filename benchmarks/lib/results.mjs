// Results that are kept: `results/YYYY-MM-DD-KIND.md` and `.json`, with a number from the second one of a day on.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';

const RESULTS = new URL('../results/', import.meta.url);

/** @param {string} startedAt ISO 8601 @param {string} kind `engine`, `soak`, … @param {string} json @param {string} text Markdown */
export function saveResult(startedAt, kind, json, text) {
  mkdirSync(RESULTS, { recursive: true });
  const first = `${startedAt.slice(0, 10)}-${kind}`;
  let name = first;
  for (let n = 2; existsSync(new URL(`${name}.json`, RESULTS)); n++) name = `${first}-${n}`;
  writeFileSync(new URL(`${name}.json`, RESULTS), json);
  writeFileSync(new URL(`${name}.md`, RESULTS), text);
}
