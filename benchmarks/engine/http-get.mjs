// One large blob from an agent that has it, and the same file from nginx with sendfile; both to curl.
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent, freePorts } from '../lib/agent.mjs';

const run = promisify(execFile);
const MIB = 1024;

/** @returns {Promise<{ agent: Run[], nginx: Run[] }>} with Run = { mbPerSec, cpuPerGB } */
export async function httpGet(payloads, rounds) {
  const { dir, digest } = await payloads.store(MIB, { pieceLayer: true });
  const { path, length } = await payloads.file(MIB);
  const own = payloads.temporary();
  cpSync(join(dir, 'cache'), join(own, 'cache'), { recursive: true });
  const agent = await Agent.start(own);
  const nginx = await startNginx(payloads.temporary(), payloads.dir);
  try {
    const urls = {
      agent: `http://127.0.0.1:${agent.port}/namespace/bench/blobs/${digest}`,
      nginx: `http://127.0.0.1:${nginx.port}/${path.split('/').at(-1)}`,
    };
    const results = { agent: [], nginx: [] };
    // Once unmeasured: connections, caches and compiled code are there then.
    for (const url of Object.values(urls)) await get(url, length);
    for (let n = 0; n < rounds; n++) {
      for (const [name, server] of Object.entries({ agent, nginx })) {
        const before = server.usage().cpuSec;
        const seconds = await get(urls[name], length);
        const cpuSec = server.usage().cpuSec - before;
        results[name].push({ mbPerSec: length / 1e6 / seconds, cpuPerGB: cpuSec / (length / 1e9) });
      }
    }
    return results;
  } finally {
    await agent.stop();
    await nginx.stop();
    payloads.remove(own);
  }
}

/** @returns seconds from the first request byte to the last response byte */
async function get(url, length) {
  const { stdout } = await run('curl', [
    '-sS',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code} %{size_download} %{time_total}',
    url,
  ]);
  const [status, size, seconds] = stdout.split(' ').map(Number);
  if (status !== 200 || size !== length) throw new Error(`${url}: status ${status}, ${size} of ${length} bytes`);
  return seconds;
}

async function startNginx(dir, root) {
  const [port] = await freePorts(1);
  mkdirSync(join(dir, 'tmp'));
  const config = join(dir, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr; user root;
     events { worker_connections 256; }
     http {
       sendfile on; tcp_nopush on; access_log off; default_type application/octet-stream;
       client_body_temp_path ${dir}/tmp; proxy_temp_path ${dir}/tmp; fastcgi_temp_path ${dir}/tmp;
       uwsgi_temp_path ${dir}/tmp; scgi_temp_path ${dir}/tmp;
       server { listen 127.0.0.1:${port}; root ${root}; }
     }`,
  );
  const process = spawn('/usr/sbin/nginx', ['-c', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => process.once('exit', resolve));
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
  for (let n = 0; n < 400 && !(await isUp()); n++) await sleep(10);
  return {
    port,
    usage: () => ({ cpuSec: [process.pid, ...childrenOf(process.pid)].reduce((sum, pid) => sum + cpuSecOf(pid), 0) }),
    stop: async () => {
      process.kill('SIGTERM');
      await ended;
    },
  };
}

function childrenOf(pid) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => parentOf(other) === pid);
}

function parentOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[1]);
  } catch {
    // It has just ended.
    return undefined;
  }
}

function cpuSecOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(stat[11]) + Number(stat[12])) / 100;
}
