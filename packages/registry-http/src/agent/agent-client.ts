/**
 * Typed client of the agent server API, ours and Go's. Never retries. Source: spec tracker-agent-ring.md §7.2, §7.3.
 *
 * Differs from Go's client: no limit on the time a whole body takes.
 */
import { parseDigest, parseInfoHash, parsePeerId, type Digest } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';
import { escapePathSegment } from '@kraken/core/http';
import type { ByteRange, CancelSignal } from '@kraken/core/ports';
import { upstreamFailure, type HttpClient } from '../http/index.js';
import type { BlacklistEntry } from './agent-handler.js';
import { bytesHex } from './hex-bytes.js';

/** Source of the time limits: spec tracker-agent-ring.md §9.1. */
const SMALL_TIMEOUT_MS = 10_000;
/** A Go agent sends the head of a blob only after it has all of it. */
const BLOB_TIMEOUT_MS = 600_000;
const NS_PER_MS = 1_000_000;

/** What other programs ask of an agent. */
export interface AgentClient {
  /** @throws KrakenError `tag-unknown`, `upstream-failed`, `network-error` */
  getTag(tag: string, signal?: CancelSignal): Promise<Digest>;
  /**
   * `length` is absent when the agent does not say (Go). A range is honoured by our agents only: `partial` tells.
   * @throws KrakenError `blob-unknown`, `upstream-failed`, `network-error`
   */
  download(
    namespace: string,
    digest: Digest,
    options?: { range?: ByteRange; signal?: CancelSignal },
  ): Promise<{ length?: number; partial: boolean; stream: AsyncIterable<Uint8Array> }>;
  /** Drop the blob; no error when it is not there. */
  remove(digest: Digest, signal?: CancelSignal): Promise<void>;
  /** Peers that the agent leaves alone. */
  blacklist(signal?: CancelSignal): Promise<readonly BlacklistEntry[]>;
  /** Go field names, durations in ns. */
  reconfigure(config: unknown, signal?: CancelSignal): Promise<void>;
  /** Whether the agent runs. @throws KrakenError */
  checkHealth(signal?: CancelSignal): Promise<void>;
  /** @throws KrakenError `not-ready` with the agent's text, `network-error` */
  checkReady(signal?: CancelSignal): Promise<void>;
}

/** `code` in place of the agent's 404. */
function unknownAs(code: 'blob-unknown' | 'tag-unknown', name: string): (error: unknown) => never {
  return (error) => {
    if (upstreamFailure(error)?.status === 404)
      throw new KrakenError(code, `${name} is not known to the agent`, { cause: error });
    throw error;
  };
}

function parseBlacklist(text: string): readonly BlacklistEntry[] {
  const malformed = (): KrakenError => new KrakenError('upstream-failed', 'the agent answered a malformed blacklist');
  const value: unknown = JSON.parse(text);
  if (value === null) return [];
  if (!Array.isArray(value)) throw malformed();
  return value.map((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) throw malformed();
    const { peer_id: peerId, info_hash: infoHash, remaining } = entry as Record<string, unknown>;
    const peerHex = bytesHex(peerId);
    const infoHex = bytesHex(infoHash);
    if (peerHex === undefined || infoHex === undefined || typeof remaining !== 'number') throw malformed();
    return { peerId: parsePeerId(peerHex), infoHash: parseInfoHash(infoHex), remainingMs: remaining / NS_PER_MS };
  });
}

/** A client of one agent. @param host `host:port` of the agent server */
export function createAgentClient(http: HttpClient, host: string): AgentClient {
  const small = { headersTimeoutMs: SMALL_TIMEOUT_MS };
  return {
    async getTag(tag, signal) {
      const response = await http
        .request(host, `/tags/${escapePathSegment(tag)}`, { ...small, signal })
        .catch(unknownAs('tag-unknown', tag));
      return parseDigest(await response.text(1_024));
    },
    async download(namespace, digest, options = {}) {
      const { range, signal } = options;
      const path = `/namespace/${escapePathSegment(namespace)}/blobs/${digest}`;
      const response = await http
        .request(host, path, {
          headersTimeoutMs: BLOB_TIMEOUT_MS,
          idleTimeoutMs: BLOB_TIMEOUT_MS,
          accept: [200, 206],
          signal,
          ...(range === undefined ? {} : { headers: { range: `bytes=${range.start}-${range.end - 1}` } }),
        })
        .catch(unknownAs('blob-unknown', digest));
      const length = response.header('content-length');
      return {
        ...(length === undefined ? {} : { length: Number(length) }),
        partial: response.status === 206,
        stream: response.body,
      };
    },
    async remove(digest, signal) {
      await (await http.request(host, `/blobs/${digest}`, { ...small, method: 'DELETE', signal })).discard();
    },
    async blacklist(signal) {
      return parseBlacklist(await (await http.request(host, '/x/blacklist', { ...small, signal })).text());
    },
    async reconfigure(config, signal) {
      const body = JSON.stringify(config);
      await (await http.request(host, '/x/config/scheduler', { ...small, method: 'PATCH', body, signal })).discard();
    },
    async checkHealth(signal) {
      await (await http.request(host, '/health', { ...small, signal })).discard();
    },
    async checkReady(signal) {
      const response = await http.request(host, '/readiness', { ...small, signal, accept: [200, 503] });
      const text = await response.text(65_536);
      if (response.status !== 200) throw new KrakenError('not-ready', text);
    },
  };
}
