/**
 * JSON as Go's decoder sees it: object keys in order with their duplicates, numbers by their spelling (`1.0` is
 * not an integer there). `JSON.parse` loses both. Source: spec tracker-agent-ring.md §0.1.
 * Owns syntax and string escaping; reading fields by Go's rules is in `go-json-fields.ts`.
 */
import { KrakenError } from '../errors/index.js';

/** A number that is not an integer within ±(2^53-1): a fraction, an exponent, or too large. `text` is its spelling. */
export class GoJsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** An object's entries in the order of the text, duplicates included. */
export class GoJsonObject {
  readonly entries: readonly (readonly [key: string, value: GoJson])[];

  constructor(entries: readonly (readonly [key: string, value: GoJson])[]) {
    this.entries = entries;
  }
}

/** A value. A plain `number` was spelled as an integer and is exact. */
export type GoJson = null | boolean | string | number | GoJsonNumber | GoJsonObject | readonly GoJson[];

/** Deepest nesting that is read; Kraken's messages need 3. */
export const JSON_DEPTH_MAX = 64;

/**
 * Parses one value. Linear in the text; the caller bounds its length.
 * @param options `allowTrailing`: ignore whatever follows the value, as Go's HTTP decoders do
 * @throws KrakenError `request-invalid`
 */
export function parseGoJson(text: string, options: { readonly allowTrailing?: boolean } = {}): GoJson {
  const parser = new Parser(text);
  const value = parser.value(0);
  if (options.allowTrailing !== true) parser.end();
  return value;
}

const HTML_OR_SEPARATOR = /[<>&\u2028\u2029]/g;
const LONE_SURROGATE = /\p{Surrogate}/gu;

/** A JSON string literal spelled as Go does: `<`, `>`, `&`, U+2028 and U+2029 escaped. */
export function goJsonString(text: string): string {
  return JSON.stringify(wellFormed(text)).replace(
    HTML_OR_SEPARATOR,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, '\ufffd');
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('after top-level value');
  }

  value(depth: number): GoJson {
    if (depth > JSON_DEPTH_MAX) throw invalid(`nesting exceeds ${JSON_DEPTH_MAX} levels`);
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): GoJsonObject {
    const entries: [string, GoJson][] = [];
    this.#at++;
    if (this.#takes('}')) return new GoJsonObject(entries);
    do {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"') throw this.#unexpected('looking for beginning of object key string');
      const key = this.#string();
      if (!this.#takes(':')) throw this.#unexpected('after object key');
      entries.push([key, this.value(depth + 1)]);
    } while (this.#takes(','));
    if (!this.#takes('}')) throw this.#unexpected('after object key:value pair');
    return new GoJsonObject(entries);
  }

  #array(depth: number): GoJson[] {
    const elements: GoJson[] = [];
    this.#at++;
    if (this.#takes(']')) return elements;
    do {
      elements.push(this.value(depth + 1));
    } while (this.#takes(','));
    if (!this.#takes(']')) throw this.#unexpected('after array element');
    return elements;
  }

  #string(): string {
    const from = this.#at;
    let escaped = false;
    for (let at = from + 1; at < this.#text.length; at++) {
      const unit = this.#text.charCodeAt(at);
      if (unit === QUOTE) {
        this.#at = at + 1;
        return escaped ? this.#unescape(from) : wellFormed(this.#text.slice(from + 1, at));
      }
      if (unit < 0x20) {
        this.#at = at;
        throw this.#unexpected('in string literal');
      }
      if (unit === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
    throw invalid('unexpected end of JSON input');
  }

  /** The literal from `from` to the current position, whose quotes and control characters have been checked. */
  #unescape(from: number): string {
    try {
      return wellFormed(JSON.parse(this.#text.slice(from, this.#at)) as string);
    } catch (cause) {
      throw new KrakenError('request-invalid', 'json: invalid character in string escape code', { cause });
    }
  }

  #number(): number | GoJsonNumber {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#unexpected('looking for beginning of value');
    this.#at = NUMBER.lastIndex;
    const [spelling, fraction, exponent] = match;
    if (fraction === undefined && exponent === undefined) {
      const value = Number(spelling);
      if (Number.isSafeInteger(value)) return value;
    }
    return new GoJsonNumber(spelling);
  }

  #literal<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected(`in literal ${word}`);
    this.#at += word.length;
    return value;
  }

  /** Skips space; then takes `character` if it is next. */
  #takes(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(where: string): KrakenError {
    const character = this.#text[this.#at];
    if (character === undefined) return invalid('unexpected end of JSON input');
    return invalid(`invalid character ${JSON.stringify(character)} ${where}`);
  }
}

function invalid(what: string): KrakenError {
  return new KrakenError('request-invalid', `json: ${what}`);
}
