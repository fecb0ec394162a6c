// Announces of a tracker full of peers, each answered with fifty of them, against a handler that does nothing. Load by wrk.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Child } from '../lib/child.mjs';
import { announceBody, infoHashOf, PEERS, TORRENTS } from './announces.mjs';

const run = promisify(execFile);
const SECONDS = 4;
const CONNECTIONS = 64;
/** Different requests of the load. */
const REQUESTS = 5000;

/** @returns {Promise<{ tracker: Run[], bare: Run[] }>} with Run = { perSec, cpuMsPerThousand } */
export async function trackerAnnounce(payloads, rounds) {
  const script = writeLoad(payloads.temporary());
  const start = (what) =>
    new Child(what, process.execPath, [new URL('announce-process.mjs', import.meta.url).pathname, what]);
  const servers = { tracker: start('tracker'), bare: start('bare') };
  try {
    const ports = {};
    for (const [name, child] of Object.entries(servers)) ports[name] = (await child.next('ready')).port;
    const results = { tracker: [], bare: [] };
    for (let n = -1; n < rounds; n++) {
      for (const [name, child] of Object.entries(servers)) {
        const before = await usageOf(child);
        const { perSec, requests } = await load(ports[name], name === 'tracker' ? script : undefined);
        const cpuSec = (await usageOf(child)).cpuSec - before.cpuSec;
        // The first round warms up.
        if (n >= 0) results[name].push({ perSec, cpuMsPerThousand: (cpuSec * 1e6) / requests });
      }
    }
    return results;
  } finally {
    await Promise.all(Object.values(servers).map((child) => child.stop()));
  }
}

async function load(port, script) {
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, ...(script === undefined ? [] : ['-s', script])];
  const { stdout } = await run('wrk', [...args, `http://127.0.0.1:${port}/`]);
  const failed = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  if (failed !== null) throw new Error(`${failed[1]} requests were refused`);
  return {
    perSec: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
  };
}

/** Announces of peers of all torrents, in a random order. */
function writeLoad(dir) {
  const script = join(dir, 'announces.lua');
  const lines = Array.from({ length: REQUESTS }, (_, n) => {
    const torrent = (n * 7919) % TORRENTS;
    const body = announceBody(torrent, n % PEERS);
    return `requests[${n + 1}] = wrk.format("POST", "/announce/${infoHashOf(torrent)}", nil, ${JSON.stringify(body)})`;
  });
  writeFileSync(
    script,
    `local requests = {}\nlocal at = 0\ninit = function(args)\n${lines.join('\n')}\nend\n` +
      `request = function()\n  at = at % ${REQUESTS} + 1\n  return requests[at]\nend\n`,
  );
  return script;
}

async function usageOf(child) {
  child.send({});
  return child.next('usage');
}
