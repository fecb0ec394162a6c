// The agent of the reference server as a process, with a configuration of its own. Owns the process and its ports.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawn } from 'node:child_process';

const SERVER = new URL('../../packages/reference-server/bin/kraken-reference-server.cjs', import.meta.url).pathname;
const START_LIMIT_MS = 20_000;

export class Agent {
  #process;
  /** Port of the agent API. */
  port;
  /** From the start of the process to the first good answer of `/health`. */
  readyMs;

  /** @param {string} dir with `cache` and `download`, made when missing */
  static async start(dir) {
    const [port, registry, peer] = await freePorts(3);
    for (const name of ['cache', 'download']) mkdirSync(join(dir, name), { recursive: true });
    const config = join(dir, 'agent.yaml');
    writeFileSync(
      config,
      JSON.stringify({
        tracker: { hosts: { static: ['127.0.0.1:1'] } },
        build_index: { hosts: { static: ['127.0.0.1:1'] } },
        store: { download_dir: join(dir, 'download'), cache_dir: join(dir, 'cache') },
        allowed_cidrs: ['127.0.0.0/8'],
        access: { listen: '127.0.0.1' },
        tls: { server: { disabled: true }, client: { disabled: true } },
      }),
    );
    const agent = new Agent();
    const flags = {
      config,
      'agent-server-port': port,
      'agent-registry-port': registry,
      'peer-port': peer,
      'peer-ip': '127.0.0.1',
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const begun = performance.now();
    agent.port = port;
    agent.#process = spawn(process.execPath, [SERVER, 'agent', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    for (;;) {
      if (await isHealthy(port)) break;
      if (performance.now() - begun > START_LIMIT_MS || agent.#process.exitCode !== null)
        throw new Error('the agent did not start');
      await sleep(3);
    }
    agent.readyMs = performance.now() - begun;
    return agent;
  }

  /** CPU seconds so far, and memory now and at its peak. */
  usage() {
    const stat = readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8');
    const kib = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
    return {
      cpuSec: (Number(stat[11]) + Number(stat[12])) / 100,
      rssMiB: kib('VmRSS') / 1024,
      peakRssMiB: kib('VmHWM') / 1024,
    };
  }

  async stop() {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null) this.#process.kill('SIGKILL');
    else return;
    await ended;
  }
}

async function isHealthy(port) {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health`)).status === 200;
  } catch {
    // Not listening yet.
    return false;
  }
}

/** Ports that were free a moment ago. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
