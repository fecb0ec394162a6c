/**
 * One HTTP exchange as handlers see it. Owns the abort signal that fires when the client goes away.
 * Never writes a response.
 */
import { KrakenError } from '@kraken/core/errors';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a route handler gets. */
export interface RequestContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Decoded path parameters. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Aborts (reason: KrakenError `cancelled`) when the connection closes before the response was finished. */
  readonly signal: AbortSignal;
  /** The path as it came, still percent-encoded, without the query. */
  readonly rawPath: string;
}

/** Splits a request target into raw path and query; absolute-form targets (`http://host/path`) lose their origin. */
export function splitTarget(target: string): { rawPath: string; query: string } {
  let rest = target;
  if (!rest.startsWith('/')) {
    const scheme = rest.indexOf('://');
    const slash = scheme < 0 ? -1 : rest.indexOf('/', scheme + 3);
    rest = slash < 0 ? '/' : rest.slice(slash);
  }
  const mark = rest.indexOf('?');
  return mark < 0 ? { rawPath: rest, query: '' } : { rawPath: rest.slice(0, mark), query: rest.slice(mark + 1) };
}

class Exchange implements RequestContext {
  #query: URLSearchParams | undefined;
  #controller: AbortController | undefined;

  constructor(
    readonly req: IncomingMessage,
    readonly res: ServerResponse,
    readonly rawPath: string,
    private readonly queryText: string,
    readonly params: Readonly<Record<string, string>>,
  ) {}

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.queryText);
    return this.#query;
  }

  /** Made on first use: most small routes never ask for it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      const abort = (): void => {
        if (!this.res.writableFinished)
          controller.abort(new KrakenError('cancelled', 'the client closed the connection'));
      };
      if (this.res.destroyed) abort();
      else this.res.once('close', abort);
    }
    return this.#controller.signal;
  }
}

/** A context for handlers that are mounted outside the router (and for tests). */
export function createRequestContext(
  req: IncomingMessage,
  res: ServerResponse,
  params: Readonly<Record<string, string>> = {},
): RequestContext {
  const { rawPath, query } = splitTarget(req.url ?? '/');
  return new Exchange(req, res, rawPath, query, params);
}
