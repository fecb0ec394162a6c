/**
 * Namespace → backend: ordered regular expressions, first match wins, not anchored (Kraken's backend manager,
 * spec origin-store-backends.md §7.2). Owns the backends it opened.
 */
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  silentLogger,
  type BackendManager,
  type CancelSignal,
  type Logger,
  type StorageBackend,
} from '@kraken/core/ports';
import type { BackendKind } from './kind.js';
import { BACKEND_KINDS } from './kinds.js';
import { NOOP_NAMESPACE, noopBackend } from './noop.js';
import { Settings } from './settings.js';

/** One item of `backends` in Kraken's YAML. */
export interface BackendRule {
  /** Regular expression, matched anywhere in the namespace. */
  readonly namespace: string;
  /** Exactly one key: the kind. A ready backend may stand in for its settings. */
  readonly backend: Readonly<Record<string, unknown>> | StorageBackend;
  readonly must_ready?: boolean;
}

/** What backends are made with beside their own settings. */
export interface BackendManagerOptions {
  /** `auth` of Kraken's YAML: kind → user → credentials. */
  readonly auth?: Readonly<Record<string, unknown>>;
  /** Further kinds of the embedding program. */
  readonly kinds?: readonly BackendKind[];
  readonly logger?: Logger;
}

/** A name that exists nowhere; not found is the answer that counts as ready. Valid for every pather. */
const READY_PROBE = { blob: 'ff'.repeat(32), tag: 'kraken-readiness/probe:none' };

/**
 * @throws KrakenError `config-invalid` naming the rule
 * @example
 * const backends = createBackendManager([{ namespace: '.*', backend: { file: { directory: '/var/kraken' } } }]);
 */
export function createBackendManager(
  rules: readonly BackendRule[],
  options: BackendManagerOptions = {},
): BackendManager {
  const kinds = new Map([...BACKEND_KINDS, ...(options.kinds ?? [])].map((kind) => [kind.name, kind]));
  const logger = options.logger ?? silentLogger;
  const opened = rules.map((rule, i) => {
    const path = `backends[${i}]`;
    return { pattern: compile(rule.namespace, path), rule, backend: openBackend(rule, path) };
  });

  function openBackend(rule: BackendRule, path: string): StorageBackend {
    if (typeof rule.backend['stat'] === 'function') return rule.backend as unknown as StorageBackend;
    const names = Object.keys(rule.backend);
    const name = names[0];
    if (names.length !== 1 || name === undefined) {
      throw new KrakenError(
        'config-invalid',
        `${path}.backend: expected exactly one kind, got ${names.length === 0 ? 'none' : names.join(', ')}`,
      );
    }
    const kind = kinds.get(name);
    if (kind === undefined) {
      throw new KrakenError(
        'config-invalid',
        `${path}.backend: unknown kind ${name}; known: ${[...kinds.keys()].join(', ')}`,
      );
    }
    const settings = new Settings((rule.backend as Record<string, unknown>)[name], `${path}.backend.${name}`);
    const backend = kind.open(settings, { auth: options.auth?.[name], logger });
    settings.finish();
    return backend;
  }

  return {
    forNamespace(namespace: string): StorageBackend {
      if (namespace === NOOP_NAMESPACE) return noopBackend;
      const found = opened.find(({ pattern }) => pattern.test(namespace));
      if (found === undefined)
        throw new KrakenError('backend-no-match', `no matches for namespace ${JSON.stringify(namespace)}`);
      return found.backend;
    },
    async checkReady(signal?: CancelSignal): Promise<void> {
      for (const { rule, backend } of opened) {
        if (rule.must_ready !== true) continue;
        try {
          await probe(backend, signal);
        } catch (cause) {
          throw new KrakenError(
            'not-ready',
            `backend for namespace '${rule.namespace}' not ready: ${cause instanceof Error ? cause.message : String(cause)}`,
            { cause },
          );
        }
      }
    },
    async close(): Promise<void> {
      await Promise.all([...new Set(opened.map(({ backend }) => backend))].map(async (backend) => backend.close()));
    },
  };
}

function compile(pattern: string, path: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new KrakenError('config-invalid', `${path}.namespace: not a regular expression: ${JSON.stringify(pattern)}`, {
      cause,
    });
  }
}

/** Absence is readiness. Tag pathers refuse blob names and the reverse: one of the two fits. */
async function probe(backend: StorageBackend, signal?: CancelSignal): Promise<void> {
  for (const name of [READY_PROBE.blob, READY_PROBE.tag]) {
    try {
      await backend.stat('kraken-readiness', name, signal);
      return;
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown')) return;
      if (!isKrakenError(error, 'request-invalid')) throw error;
    }
  }
}
