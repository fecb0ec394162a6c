/** Which pieces a pull wants of an open torrent: from its byte range to piece counts and readers, and back. */
import { pieceCount } from '../content/index.js';
import type { Dispatcher } from './dispatcher.js';
import type { Pull } from './pulls.js';

/** Count the pull's pieces as wanted. @returns false when it is a range that lacks nothing; nothing is counted then */
export function wantPieces(dispatcher: Dispatcher, pull: Pull): boolean {
  const { own, readers, metainfo } = dispatcher;
  const pieces = pieceCount(metainfo);
  pull.first = 0;
  pull.end = pieces;
  if (pull.range === undefined) own.wantAll();
  else {
    const { start, end } = pull.range;
    pull.first = Math.min(pieces, Math.max(0, Math.floor(start / metainfo.pieceLength)));
    pull.end = end <= start ? pull.first : Math.min(pieces, Math.ceil(end / metainfo.pieceLength));
    if (readers.addRange(pull, own.have)) return false;
    own.want(pull.first, pull.end);
  }
  pull.wanting = true;
  pull.reader = Math.max(pull.reader, pull.first);
  if (pull.streaming) readers.addReader(pull);
  return true;
}

/** The pull was answered: what only it wanted is not wanted any more. */
export function unwantPieces(dispatcher: Dispatcher, pull: Pull): void {
  if (!pull.wanting) return;
  pull.wanting = false;
  dispatcher.readers.remove(pull);
  if (pull.range === undefined) dispatcher.own.unwantAll();
  else dispatcher.own.unwant(pull.first, pull.end);
}
