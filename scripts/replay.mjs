/**
 * Runs the swarm machine of a recording again and tells the first step at which it does something else.
 *
 *   npm run replay -- node.recording
 *
 * Exit code 0: no difference; 1: a difference; 2: not a recording.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { isKrakenError } from '../packages/core/dist/errors/index.js';
import { valueToJson } from '../packages/core/dist/machine/index.js';
import { replaySwarm } from '../packages/core/dist/swarm/index.js';

const { positionals } = parseArgs({ allowPositionals: true });
if (positionals.length !== 1) {
  console.error('npm run replay -- FILE');
  process.exit(2);
}

try {
  process.exitCode = await replay(positionals[0]);
} catch (error) {
  if (!isKrakenError(error) && error.code !== 'ENOENT') throw error;
  console.error(error.message);
  process.exitCode = 2;
}

/** @returns the exit code */
async function replay(file) {
  let running;
  let lineNumber = 0;
  let unread;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    lineNumber++;
    if (running === undefined) {
      running = replaySwarm(line);
      continue;
    }
    // Only the last line may be broken off: the process was killed while it wrote.
    if (unread !== undefined) throw unread;
    try {
      const difference = running.take(line);
      if (difference !== undefined) return tell(difference);
    } catch (error) {
      error.message = `line ${lineNumber}: ${error.message}`;
      unread = error;
    }
  }
  if (running === undefined) return tellEmpty(file);
  const end = unread === undefined ? (running.end ?? 'without an end: the process was killed') : 'broken off';
  console.log(`${running.steps} steps without difference; end of the recording: ${end}`);
  return 0;
}

function tellEmpty(file) {
  console.error(`${file} is empty`);
  return 2;
}

function tell({ step, now, event, expected, got }) {
  console.log(`step ${step} at ${now} ms differs`);
  console.log(`event     ${valueToJson(event)}`);
  console.log(`expected  ${outcome(expected)}`);
  console.log(`got       ${outcome(got)}`);
  for (const effect of got.effects ?? []) console.log(`          ${valueToJson(effect)}`);
  return 1;
}

function outcome({ crash, kinds, hash }) {
  if (crash !== undefined) return `crash: ${crash}`;
  return `${kinds === '' ? 'no effects' : kinds} (${hash})`;
}
