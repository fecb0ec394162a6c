/**
 * Metainfo in JSON: what trackers and origins answer and what `_torrentmeta` holds. Source: spec p2p.md §1.6.
 *
 * Differs from Go: metainfo that contradicts itself (lengths that are not sensible, a wrong number of sums) is
 * refused, and the digest is normalised to lower case before the info hash is taken.
 */
import { KrakenError } from '../errors/index.js';
import { digestFromHex, digestHex } from './digest.js';
import { asInteger, asObject, getArray, getInteger, getObject, getString } from './go-json-fields.js';
import { parseGoJson, type GoJson } from './go-json.js';
import { createMetaInfo, type MetaInfo } from './metainfo.js';

const UINT32_MAX = 2 ** 32 - 1;

/** The exact text that Go writes: key order fixed, no spaces, no newline, `null` for no sums. A root follows as a key of ours. */
export function serializeMetaInfo(metainfo: MetaInfo): string {
  const sums = metainfo.pieceSums.length === 0 ? 'null' : `[${metainfo.pieceSums.join(',')}]`;
  const root = metainfo.piecesRoot === undefined ? '' : `,"PiecesRoot":"${metainfo.piecesRoot}"`;
  return (
    `{"Info":{"PieceLength":${metainfo.pieceLength},"PieceSums":${sums},` +
    `"Name":"${digestHex(metainfo.digest)}","Length":${metainfo.length}}${root}}`
  );
}

/**
 * Reads metainfo with Go's rules for keys, `null` and duplicates; only space may follow.
 * @throws KrakenError `metainfo-invalid`
 */
export function parseMetaInfo(text: string): MetaInfo {
  try {
    return fromJson(parseGoJson(text));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new KrakenError('metainfo-invalid', message, { cause: error });
  }
}

function fromJson(value: GoJson): MetaInfo {
  const metainfo = asObject(value, 'metainfo');
  const info = getObject(metainfo, 'Info');
  const pieceLength = getInteger(info, 'PieceLength');
  const pieceSums = getArray(info, 'PieceSums').map((sum) =>
    sum === null ? 0 : asInteger(sum, 'PieceSums', 0, UINT32_MAX),
  );
  const length = getInteger(info, 'Length');
  const piecesRoot = getString(metainfo, 'PiecesRoot');
  return createMetaInfo({
    digest: digestFromHex(getString(info, 'Name')),
    length,
    pieceLength,
    pieceSums,
    ...(piecesRoot === '' ? {} : { piecesRoot }),
  });
}
