/**
 * Makes a Docker daemon pull through the agent's registry. Owns the call to the daemon's API; knows no other runtime.
 * Source: spec tracker-agent-ring.md §7.5.
 *
 * Differs from Go: an error that the daemon reports inside its progress stream is an error here too.
 */
import { KrakenError } from '@kraken/core/errors';
import type { Dispatcher } from 'undici';
import { undici } from '../http/undici.js';
import type { PreloadRequest } from './agent-handler.js';

/** Which daemon pulls, and from where. */
export interface DockerPreloadOptions {
  /** `unix:///path` or `tcp://host[:port][/base]`. Default `unix:///var/run/docker.sock`. */
  readonly dockerHost?: string;
  /** API version. Default 1.21, as in Go. */
  readonly version?: string;
  /** What the daemon pulls from: `127.0.0.1:<agent registry port>`. */
  readonly registry: string;
  /** Silence of the daemon during a pull. Default 10 min. */
  readonly idleTimeoutMs?: number;
}

const PROGRESS_LINE_MAX = 65_536;

function endpoint(dockerHost: string): { origin: string; base: string; socketPath?: string } {
  const split = dockerHost.indexOf('://');
  if (split < 0) throw new KrakenError('config-invalid', `unable to parse docker host ${JSON.stringify(dockerHost)}`);
  const protocol = dockerHost.slice(0, split);
  const rest = dockerHost.slice(split + 3);
  if (protocol === 'unix') return { origin: 'http://docker', base: '', socketPath: rest };
  if (protocol !== 'tcp') throw new KrakenError('config-invalid', `protocol ${protocol} not supported`);
  const slash = rest.indexOf('/');
  return { origin: `http://${slash < 0 ? rest : rest.slice(0, slash)}`, base: slash < 0 ? '' : rest.slice(slash) };
}

/** The error of a progress line, if it has one. */
function progressError(line: string): string | undefined {
  if (!line.includes('"error"')) return undefined;
  try {
    const value = JSON.parse(line) as { error?: unknown };
    return typeof value.error === 'string' ? value.error : undefined;
  } catch {
    // A line cut at the limit, or no JSON: progress is informative only.
    return undefined;
  }
}

async function readProgress(body: AsyncIterable<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  let problem: string | undefined;
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = (lines.pop() ?? '').slice(0, PROGRESS_LINE_MAX);
    for (const line of lines) problem ??= progressError(line);
  }
  return problem ?? progressError(rest);
}

/** For `AgentHandlerOptions.preload`. Refuses other runtimes. @throws KrakenError `config-invalid` for a host that cannot be read */
export function createDockerPreload(
  options: DockerPreloadOptions,
): (request: PreloadRequest, signal: AbortSignal) => Promise<void> {
  const { origin, base, socketPath } = endpoint(options.dockerHost ?? 'unix:///var/run/docker.sock');
  const version = (options.version ?? '1.21').replace(/^v/, '');
  const timeoutMs = options.idleTimeoutMs ?? 600_000;
  let agent: Dispatcher | undefined;
  const dispatcher = (): Dispatcher =>
    (agent ??= new (undici().Agent)({
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: { timeout: 32_000, ...(socketPath === undefined ? {} : { socketPath }) },
    }));
  return async ({ runtime, repository, tag }, signal) => {
    if (runtime !== 'docker') throw new KrakenError('unsupported', `no ${runtime} client on this agent`);
    const query = new URLSearchParams({ fromImage: `${options.registry}/${repository}`, tag }).toString();
    const path = `${base}/v${version}/images/create?${query}`;
    const response = await dispatcher().request({
      origin,
      path,
      method: 'POST',
      signal,
      headers: { 'x-registry-auth': '' },
    });
    if (response.statusCode !== 200) {
      const text = (await response.body.text()).slice(0, PROGRESS_LINE_MAX);
      throw new KrakenError(
        'upstream-failed',
        `error posting to /images/create: code ${response.statusCode}, err: ${text}`,
      );
    }
    const problem = await readProgress(response.body as AsyncIterable<Uint8Array>);
    if (problem !== undefined) throw new KrakenError('upstream-failed', problem);
  };
}
