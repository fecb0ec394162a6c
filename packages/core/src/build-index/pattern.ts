/** Regular expressions of the configuration, written for Go's RE2: unanchored, with flags in front. */
import { KrakenError } from '../errors/index.js';

/**
 * @param where named in the error
 * @throws KrakenError `config-invalid`
 */
export function compilePattern(pattern: string, where: string): RegExp {
  const inline = /^\(\?([ims]+)\)/.exec(pattern);
  try {
    return inline === null ? new RegExp(pattern) : new RegExp(pattern.slice(inline[0].length), inline[1]);
  } catch (error) {
    throw new KrakenError('config-invalid', `${where}: ${JSON.stringify(pattern)} is not a regular expression`, {
      cause: error,
    });
  }
}
