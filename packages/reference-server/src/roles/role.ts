/** What a running role is to the process that started it, and how its parts are taken down again. */
import type { Logger } from '@kraken/core/ports';

export interface RunningRole {
  readonly role: string;
  /** What listens where: label → port. */
  readonly ports: Readonly<Record<string, number>>;
  /** Look at the files of certificates now, instead of when their turn comes. */
  reloadTls(): Promise<void>;
  /** Stop accepting, finish what is under way for up to `graceMs`, then cut. Safe to call twice. */
  close(graceMs: number): Promise<void>;
}

/** How a role is started, beyond its configuration file. */
export interface RoleContext {
  readonly logger: Logger;
  /** Keys of the file that have no effect; logged. */
  readonly warnings: readonly string[];
  /** Whether the file has an `access` block. */
  readonly hasAccessBlock: boolean;
}

type Release = (graceMs: number) => void | Promise<void>;

/**
 * Takes parts down in the reverse order of their making. When a start fails half-way, `close` takes down what
 * there is.
 */
export class Lifetime {
  readonly #releases: Release[] = [];
  readonly #logger: Logger;
  #closed: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Remember how `part` goes; returns `part`. */
  own<T>(part: T, release: (part: T, graceMs: number) => void | Promise<void>): T {
    this.#releases.push((graceMs) => release(part, graceMs));
    return part;
  }

  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#closeAll(graceMs);
    return this.#closed;
  }

  async #closeAll(graceMs: number): Promise<void> {
    for (const release of this.#releases.reverse()) {
      try {
        await release(graceMs);
      } catch (error) {
        this.#logger.error({ err: error }, 'a part could not be closed');
      }
    }
  }
}

/** Run `start`; when it fails, take down what it made. */
export async function withLifetime<T>(logger: Logger, start: (lifetime: Lifetime) => Promise<T>): Promise<T> {
  const lifetime = new Lifetime(logger);
  try {
    return await start(lifetime);
  } catch (error) {
    await lifetime.close(0);
    throw error;
  }
}

/** Say at start what of the file has no effect and what stands open. */
export function warnAtStart(context: RoleContext, isTls: boolean): void {
  for (const key of context.warnings) context.logger.warn({ key }, 'this key has no effect here');
  if (!context.hasAccessBlock) {
    context.logger.warn(
      { tls: isTls },
      'no `access` block: every address may use the public ports as in Kraken; add `access: {allowed_cidrs: […]}` to restrict them',
    );
  }
}
