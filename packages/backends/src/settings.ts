/** Typed reading of one backend's settings; unknown keys are errors. */
import { parseByteSize } from '@kraken/core/content';
import { KrakenError } from '@kraken/core/errors';

/** The settings of one backend: each is read once by its type, and what nobody read is an error. */
export class Settings {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #read = new Set<string>();

  /**
   * @param values the mapping under the kind's key; `null` counts as empty
   * @param path for messages, e.g. `backends[0].backend.s3`
   * @throws KrakenError `config-invalid` when it is no mapping
   */
  constructor(values: unknown, path: string) {
    if (values !== null && values !== undefined && (typeof values !== 'object' || Array.isArray(values))) {
      throw new KrakenError('config-invalid', `${path}: expected a mapping`);
    }
    this.#values = (values ?? {}) as Record<string, unknown>;
    this.#path = path;
  }

  /** Text; without `fallback` it is required. */
  text(key: string, fallback?: string): string {
    const value = this.#take(key);
    if (value === undefined) {
      if (fallback === undefined) throw new KrakenError('config-invalid', `${this.#path}.${key}: required`);
      return fallback;
    }
    if (typeof value === 'number') return String(value);
    if (typeof value !== 'string') throw this.#bad(key, 'text', value);
    return value;
  }

  /** True or false. @throws KrakenError `config-invalid` */
  flag(key: string, fallback: boolean): boolean {
    const value = this.#take(key);
    if (value === undefined) return fallback;
    if (typeof value !== 'boolean') throw this.#bad(key, 'true or false', value);
    return value;
  }

  /** Integer in [min, max]; 0 and absent mean `fallback`, as in Kraken. */
  integer(key: string, fallback: number, min = 1, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(key) ?? fallback;
    if (value === 0) return fallback;
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
      throw this.#bad(key, `an integer from ${min} to ${max}`, value);
    }
    return value as number;
  }

  /** Bytes, from a number or text such as `64MB`. */
  byteSize(key: string, fallback: number): number {
    const value = this.#take(key);
    if (value === undefined || value === 0) return fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
    if (typeof value !== 'string') throw this.#bad(key, 'a byte size', value);
    try {
      return Number(parseByteSize(value));
    } catch (cause) {
      throw new KrakenError(
        'config-invalid',
        `${this.#path}.${key}: expected a byte size, got ${JSON.stringify(value)}`,
        { cause },
      );
    }
  }

  /** @throws KrakenError `config-invalid` when a key was never read */
  finish(): void {
    const unknown = Object.keys(this.#values).filter((key) => !this.#read.has(key));
    if (unknown.length > 0) {
      throw new KrakenError(
        'config-invalid',
        `${this.#path}: unknown ${unknown.length === 1 ? 'key' : 'keys'} ${unknown.join(', ')}; known: ${[...this.#read].join(', ')}`,
      );
    }
  }

  #take(key: string): unknown {
    this.#read.add(key);
    return this.#values[key] ?? undefined;
  }

  #bad(key: string, expected: string, got: unknown): KrakenError {
    return new KrakenError('config-invalid', `${this.#path}.${key}: expected ${expected}, got ${JSON.stringify(got)}`);
  }
}
